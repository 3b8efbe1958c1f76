import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'

const volume = new SharedVolume()

scenario('unlink while open - here and on the other node', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('f'), text: 'kept' })
  const here = await a.call('open', { path: pathA('f'), flags: 'r+' })
  const there = await b.call('open', { path: pathB('f'), flags: 'r+' })
  await a.call('unlink', { path: pathA('f') })
  t.is(await b.outcome('stat', { path: pathB('f') }), 'ENOENT', 'the name is gone on B')
  t.is((await b.call('fstat', { fd: there })).nlink, 0, 'no link is left')
  const readBoth = async (): Promise<string[]> => [
    await a.call('readHandleText', { fd: here, offset: 0, length: 100 }),
    await b.call('readHandleText', { fd: there, offset: 0, length: 100 })
  ]
  t.alike(await readBoth(), ['kept', 'kept'], 'readable through both handles')
  await b.call('writeHandle', { path: '', fd: there, text: 'changed', offset: 0 })
  t.alike(await readBoth(), ['changed', 'changed'], 'written on B, read on both')
  await a.call('close', { fd: here })
  const after = await b.call('readHandleText', { fd: there, offset: 0, length: 100 })
  t.is(after, 'changed', 'the last handle still reads')
  await a.call('write', { path: pathA('f'), text: 'another' })
  const old = await b.call('readHandleText', { fd: there, offset: 0, length: 100 })
  t.is(old, 'changed', 'a new file of that name is another file')
  await b.call('close', { fd: there })
  t.is(await b.call('readText', { path: pathB('f') }), 'another')
})

scenario('unlink while open - the other node removes it', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('f'), text: 'x'.repeat(300_000) })
  const fd = await a.call('open', { path: pathA('f'), flags: 'r' })
  await b.call('unlink', { path: pathB('f') })
  await b.call('write', { path: pathB('g'), text: 'y'.repeat(300_000) })
  const end = await a.call('readHandleText', { fd, offset: 299_990, length: 100 })
  t.is(end, 'x'.repeat(10), 'A reads what B removed')
  await a.call('close', { fd })
  t.alike(await a.call('readdir', { path: pathA('') }), ['g'])
})

scenario('rename over an open file - old handle reads the old file', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('f'), text: 'old' })
  const fd = await a.call('open', { path: pathA('f'), flags: 'r' })
  await b.call('write', { path: pathB('new'), text: 'new' })
  await b.call('rename', { path: pathB('new'), to: pathB('f') })
  t.is(await a.call('readHandleText', { fd, offset: 0, length: 10 }), 'old', 'handle')
  t.is(await a.call('readText', { path: pathA('f') }), 'new', 'name')
  t.is((await a.call('fstat', { fd })).nlink, 0, 'the old file has no link')
  await a.call('close', { fd })
})

scenario('hard links - one file under two names on both nodes', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('one'), text: 'first' })
  await b.call('link', { path: pathB('one'), to: pathB('two') })
  const one = await a.call('stat', { path: pathA('one') })
  const two = await a.call('stat', { path: pathA('two') })
  t.alike(one, two, 'the same inode and attributes')
  t.is(two.nlink, 2, 'two links')
  await a.call('write', { path: pathA('two'), text: ' more', flags: 'a' })
  t.is(await b.call('readText', { path: pathB('one') }), 'first more', 'written by the other name')
  await a.call('unlink', { path: pathA('one') })
  t.is((await b.call('stat', { path: pathB('two') })).nlink, 1, 'one link left')
  t.is(await b.call('readText', { path: pathB('two') }), 'first more')
  t.is(await b.outcome('link', { path: pathB(''), to: pathB('folder') }), 'EPERM', 'not a folder')
})

scenario(
  'special files - FIFO, socket and device nodes',
  { programs: ['mkfifo'] },
  volume,
  async (t) => {
    const { a, b, nodeA, pathA, pathB } = await volume.pair()
    t.is((await a.call('exec', { argv: ['mkfifo', '-m', '600', pathA('pipe')] })).stderr, '')
    const pipe = await b.call('stat', { path: pathB('pipe') })
    t.alike([pipe.type, pipe.mode], ['fifo', 0o600], 'FIFO on B')
    const device = await a.call('exec', { argv: ['mknod', pathA('null'), 'c', '1', '3'] })
    t.is(device.stderr, '', 'mknod as root')
    const seen = await b.call('exec', { argv: ['stat', '-c', '%F %t:%T', pathB('null')] })
    t.is(seen.stdout.trim(), 'character special file 1:3', 'device numbers on B')
    const catching = nodeA.worker().call('exec', {
      argv: ['sh', '-c', `cat < ${pathA('pipe')} > ${pathA('out')}`]
    })
    const write = { argv: ['sh', '-c', `echo through > ${pathA('pipe')}`] }
    t.is((await a.call('exec', write)).code, 0, 'a FIFO connects two processes of one node')
    t.is((await catching).code, 0)
    t.is(await b.call('readText', { path: pathB('out') }), 'through\n')
    await a.call('listenSocket', { path: pathA('sock') })
    t.is((await b.call('stat', { path: pathB('sock') })).type, 'socket', 'socket on B')
    for (const name of ['pipe', 'null', 'sock']) await b.call('unlink', { path: pathB(name) })
    t.alike(await a.call('readdir', { path: pathA('') }), ['out'], 'removed from B')
  }
)

scenario('sparse files - holes read as zeros on the other node', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const end = 5 * 2 ** 30
  await a.call('write', { path: pathA('f'), text: 'end', offset: end })
  t.is((await b.call('stat', { path: pathB('f') })).size, end + 3, 'size past 4 GiB')
  const fd = await b.call('open', { path: pathB('f'), flags: 'r' })
  t.is(await b.call('readHandleText', { fd, offset: end - 2, length: 9 }), '\0\0end', 'the end')
  t.is(await b.call('readHandleText', { fd, offset: 2 ** 30, length: 3 }), '\0\0\0', 'a hole')
  await a.call('truncate', { path: pathA('f'), size: 2 })
  await a.call('truncate', { path: pathA('f'), size: end + 3 })
  t.is(await b.call('readHandleText', { fd, offset: end, length: 3 }), '\0\0\0', 'cut off is zeros')
  await b.call('close', { fd })
})

scenario('names and errors - as the kernel filesystems give them', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const longest = 'n'.repeat(255)
  await a.call('write', { path: pathA(longest), text: '1' })
  await a.call('write', { path: pathA('é ü\n"quoted"'), text: '2' })
  t.alike(await b.call('readdir', { path: pathB('') }), [longest, 'é ü\n"quoted"'].sort())
  t.is(await b.outcome('write', { path: pathB(`${longest}n`), text: '' }), 'ENAMETOOLONG')
  await a.call('makeFolders', { path: pathA('full/inner') })
  t.is(await b.outcome('rmdir', { path: pathB('full') }), 'ENOTEMPTY', 'rmdir')
  t.is(await b.outcome('rename', { path: pathB('full'), to: pathB('full/inner/x') }), 'EINVAL')
  t.is(await b.outcome('unlink', { path: pathB('full') }), 'EISDIR', 'unlink of a folder')
  t.is(await b.outcome('rmdir', { path: pathB(longest) }), 'ENOTDIR', 'rmdir of a file')
  t.is(await b.outcome('readdir', { path: pathB('none') }), 'ENOENT')
  t.is(await b.outcome('rename', { path: pathB(longest), to: pathB('full') }), 'EISDIR')
  t.is(await b.outcome('rename', { path: pathB('full'), to: pathB(longest) }), 'ENOTDIR')
})

finishVolume(volume)
