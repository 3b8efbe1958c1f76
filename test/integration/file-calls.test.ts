/** System calls beyond the common ones, made on one node and looked at from the other. */
import { nativeProgram } from '../helpers/native-program.ts'
import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'
import type { Worker } from '../helpers/worker-client.ts'

const volume = new SharedVolume()
const MIB = 2 ** 20
const TIB = 2 ** 40
const KEEP = 1
const PUNCH = 2
const COLLAPSE = 8
const ZERO = 16
const INSERT = 32

/** What file-calls prints. */
async function call(worker: Worker, ...words: readonly (string | number)[]): Promise<string> {
  const argv = [nativeProgram('file-calls'), ...words.map(String)]
  const { code, stdout, stderr } = await worker.call('exec', { argv })
  return code === 0 ? stdout.trim() : `${code} ${stderr}`
}

async function run(worker: Worker, ...argv: readonly string[]): Promise<string> {
  const { stdout, stderr } = await worker.call('exec', { argv })
  return `${stdout}${stderr}`.trim()
}

async function segmentBytes(pair: Pair): Promise<number> {
  const folder = `${pair.nodeB.stateDir}/segments`
  const [size = ''] = (await run(pair.a, 'du', '-sk', folder)).split('\t')
  return Number(size) * 1024
}

const cc = { programs: ['cc'] }

scenario('O_TMPFILE - named on A, read on B; never after O_EXCL', cc, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  t.is(await call(a, 'tmpfile', pathA(''), 'text', pathA('named')), '0', 'no link at first')
  t.is(await b.call('readText', { path: pathB('named') }), 'text')
  t.is((await b.call('stat', { path: pathB('named') })).nlink, 1)
  t.is(await call(a, 'tmpfile', pathA(''), 'text', pathA('no'), 'excl'), 'ENOENT')
  t.is(await call(b, 'relink', pathB('named'), pathB('again')), 'ENOENT')
  t.alike(await a.call('readdir', { path: pathA('') }), [])
})

scenario('copy_file_range - shares what A wrote, from B', cc, volume, async (t) => {
  const pair = await volume.pair()
  const { a, b, pathA, pathB } = pair
  const sizeBytes = 24 * MIB
  await a.call('writeStream', { path: pathA('f'), sizeBytes, chunkBytes: MIB })
  const digest = await a.call('digest', { path: pathA('f') })
  const before = await segmentBytes(pair)
  for (const copy of ['one', 'two', 'three']) {
    t.is(await call(b, 'copy', pathB('f'), 0, pathB(copy), 0, 2 ** 40), String(sizeBytes))
  }
  t.is(await run(b, 'cp', '--reflink=auto', pathB('f'), pathB('four')), '')
  t.is(await a.call('digest', { path: pathA('three') }), digest, 'the copy on A')
  t.is(await a.call('digest', { path: pathA('four') }), digest, 'the copy by cp on A')
  t.ok((await segmentBytes(pair)) - before < sizeBytes / 2, 'nothing was copied on the disk')
  await a.call('unlink', { path: pathA('f') })
  await a.call('write', { path: pathA('one'), text: 'changed', offset: 5 * MIB, flags: 'r+' })
  t.is(await b.call('digest', { path: pathB('two') }), digest, 'what is shared does not change')
  t.not(await b.call('digest', { path: pathB('one') }), digest)
  t.is(await call(a, 'copy', pathA('two'), 0, pathA('two'), 5, 10), 'EINVAL', 'overlap')
  t.is(await call(b, 'clone', pathB('two'), pathB('five')), 'EOPNOTSUPP', 'FICLONE')
})

scenario('statx - the time of birth stays', cc, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('f'), text: '1' })
  const [birth = ''] = (await call(a, 'birth', pathA('f'))).split(' ')
  await b.call('chmod', { path: pathB('f'), mode: 0o600 })
  await b.call('rename', { path: pathB('f'), to: pathB('g') })
  const [later, change = ''] = (await call(b, 'birth', pathB('g'))).split(' ')
  t.is(later, birth)
  t.ok(change > birth, `${change} is behind ${birth}`)
})

scenario('fallocate and lseek - holes and data on both nodes', cc, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const [f, g] = [pathA('f'), pathB('f')]
  await a.call('write', { path: f, text: 'x'.repeat(65536) })
  t.is(await call(b, 'fallocate', g, KEEP | PUNCH, 8192, 16384), 'ok')
  t.is(await call(a, 'size', f), '65536 96', 'size and blocks')
  t.is(await call(a, 'seek', f, 'hole', 0), '8192')
  t.is(await call(a, 'seek', f, 'data', 8192), '24576')
  t.is(await call(a, 'seek', f, 'hole', 65535), '65536')
  t.is(await call(a, 'seek', f, 'data', 65536), 'ENXIO')
  t.is(await call(a, 'fallocate', f, ZERO, 65000, 1000), 'ok')
  t.is(await call(b, 'size', g), '66000 95')
  t.is(await call(a, 'fallocate', f, KEEP, 0, 2 ** 30), 'ok')
  t.is(await call(a, 'fallocate', f, 0, 0, 100_000), 'ok')
  t.is(await call(b, 'size', g), '100000 95')
  t.is(await call(a, 'fallocate', f, COLLAPSE, 0, 4096), 'EOPNOTSUPP')
  t.is(await call(a, 'fallocate', f, INSERT, 0, 4096), 'EOPNOTSUPP')
  t.is(await call(a, 'fallocate', f, PUNCH, 0, 4096), 'EOPNOTSUPP', 'only with KEEP_SIZE')
})

scenario('large offsets - a hole of 1 TiB, and the ends of the range', cc, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const [f, g] = [pathA('f'), pathB('f')]
  t.is(await call(a, 'pwrite', f, TIB, 'end'), '3')
  t.is(await call(b, 'size', g), `${TIB + 3} 1`)
  t.is(await call(b, 'pread', g, TIB - 10, 100), '13')
  t.is(await call(b, 'seek', g, 'data', 1), String(TIB))
  const last = '9223372036854775807'
  const far = '9223372036854775000'
  t.is(await call(a, 'pread', f, far, 100), '0')
  t.is(await call(a, 'pwrite', f, far, 'x'), 'EFBIG')
  t.is(await call(a, 'truncate', f, last), 'EFBIG')
  t.is(await call(a, 'truncate', f, -1), 'EINVAL')
  t.is(await call(a, 'fallocate', f, 0, last, 1), 'EFBIG')
  t.is(await call(a, 'seek', f, 'data', last), 'ENXIO')
  t.is(await call(a, 'truncate', f, 2 ** 53 - 4096), 'ok')
  t.is(await call(b, 'size', g), `${2 ** 53 - 4096} 1`)
})

scenario('renameat2 - exchange, no replace, whiteout', cc, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('f'), text: 'file' })
  await a.call('makeFolders', { path: pathA('d/inner') })
  t.is(await call(b, 'rename', 1, pathB('f'), pathB('d')), 'EEXIST')
  t.is(await call(b, 'rename', 2, pathB('f'), pathB('d')), 'ok')
  t.is(await a.call('readText', { path: pathA('d') }), 'file')
  t.alike(await a.call('readdir', { path: pathA('f') }), ['inner'])
  t.is(await call(b, 'rename', 2, pathB('f'), pathB('f/inner')), 'EINVAL')
  t.is(await call(a, 'rename', 4, pathA('d'), pathA('moved')), 'ok')
  t.is(await run(b, 'stat', '-c', '%F %t:%T %a', pathB('d')), 'character special file 0:0 0')
  t.is(await b.call('readText', { path: pathB('moved') }), 'file')
})

scenario('extended attributes - namespaces, limits, errno', cc, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const [f, g] = [pathA('f'), pathB('f')]
  await a.call('write', { path: f, text: '' })
  t.is(await call(a, 'getxattr', f, 'user.a', 10), 'ENODATA')
  t.is(await call(a, 'setxattr', f, 'user.a', 65536, 0), 'ok')
  t.is(await call(b, 'getxattr', g, 'user.a', 65536), '65536')
  t.is(await call(b, 'getxattr', g, 'user.a', 100), 'ERANGE')
  t.is(await call(b, 'getxattr', g, 'user.a', 0), '65536')
  t.is(await call(a, 'setxattr', f, 'user.a', 65537, 0), 'E2BIG')
  t.is(await call(b, 'setxattr', g, 'user.a', 1, 1), 'EEXIST')
  t.is(await call(b, 'setxattr', g, 'user.b', 1, 2), 'ENODATA')
  t.is(await call(b, 'setxattr', g, `user.${'n'.repeat(250)}`, 0, 0), 'ok')
  t.is(await call(b, 'setxattr', g, `user.${'n'.repeat(251)}`, 0, 0), 'ERANGE')
  t.is(await call(a, 'setxattr', f, 'trusted.a', 5, 0), 'ok')
  t.is(await call(b, 'getxattr', g, 'trusted.a', 5), '5')
  t.is(await call(a, 'setxattr', f, 'security.a', 5, 0), 'ok')
  t.is(await call(b, 'getxattr', g, 'security.a', 5), '5')
  t.is(await call(a, 'setxattr', f, 'other.a', 5, 0), 'EOPNOTSUPP')
  t.is(await call(a, 'setxattr', f, 'system.posix_acl_access', 5, 0), 'EOPNOTSUPP')
  t.is(await call(b, 'removexattr', g, 'user.a'), 'ok')
  t.is(await call(a, 'removexattr', f, 'user.a'), 'ENODATA')
})

scenario(
  'access control lists - set on A, inherited and enforced on B',
  { programs: ['setfacl', 'getfacl'] },
  volume,
  async (t) => {
    const { a, b, pathA, pathB } = await volume.pair()
    await a.call('makeFolders', { path: pathA('d') })
    t.is(await run(a, 'setfacl', '-d', '-m', 'u:1000:rw,g:4:r', pathA('d')), '')
    t.is(await run(b, 'sh', '-c', `umask 077; touch ${pathB('d/f')}; mkdir ${pathB('d/sub')}`), '')
    const list = async (worker: Worker, path: string) => {
      const text = await run(worker, 'getfacl', '-cpnE', path)
      return text.replaceAll(/\s+/g, ' ')
    }
    const access = 'user::rw- user:1000:rw- group::r-x group:4:r-- mask::rw- other::r--'
    t.is(await list(a, pathA('d/f')), access)
    t.ok((await list(a, pathA('d/sub'))).includes('default:user:1000:rw-'))
    await b.call('chmod', { path: pathB('d/f'), mode: 0o640 })
    t.is((await a.call('stat', { path: pathA('d/f') })).mode, 0o640)
    t.ok((await list(a, pathA('d/f'))).includes('mask::r--'))
    t.is(await run(a, 'setfacl', '-m', 'u:1000:rwx', pathA('d/f')), '')
    t.is((await b.call('stat', { path: pathB('d/f') })).mode, 0o670)
    t.is(await run(b, 'setfacl', '-b', pathB('d/f')), '')
    t.is(await list(a, pathA('d/f')), 'user::rw- group::r-x other::---')
    t.is((await a.call('stat', { path: pathA('d/f') })).mode, 0o650)
  }
)

finishVolume(volume)
