import { Alternation, type Side } from '../helpers/alternation.ts'
import { SeededRandom } from '../helpers/random.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { seed, size } from '../helpers/sizes.ts'

const volume = new SharedVolume()
const PROBLEMS_MAX = 10

scenario('read after write - alternating nodes', { minutes: 30 }, volume, async (t) => {
  const pair = await volume.pair()
  const sideA: Side = { name: 'A', worker: pair.a, path: pair.pathA }
  const sideB: Side = { name: 'B', worker: pair.b, path: pair.pathB }
  const random = new SeededRandom(seed)
  const alternation = new Alternation(random)
  const count = size(1000, 5000)
  const problems: string[] = []
  for (let i = 0; i < count && problems.length < PROBLEMS_MAX; i++) {
    const [writer, reader] = random.chance(0.5) ? [sideA, sideB] : [sideB, sideA]
    for (const problem of await alternation.step(writer, reader)) {
      problems.push(`step ${i}, written on ${writer.name}: ${problem}`)
    }
  }
  t.alike(problems.slice(0, PROBLEMS_MAX), [], `${count} alternations, seed ${seed}`)
})

scenario('read after write - through a handle that was open before', {}, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  await a.call('write', { path: pathA('f'), text: 'generation 0000' })
  const fd = await b.call('open', { path: pathB('f'), flags: 'r' })
  const wrong: string[] = []
  for (let i = 1; i <= size(200, 2000); i++) {
    const text = `generation ${String(i).padStart(4, '0')}`
    await a.call('write', { path: pathA('f'), text, flags: 'r+', offset: 0 })
    const seen = await b.call('readHandleText', { fd, offset: 0, length: 100 })
    if (seen !== text) wrong.push(`${seen} instead of ${text}`)
    const grown = await b.call('fstat', { fd })
    if (grown.size !== text.length) wrong.push(`fstat size ${grown.size}`)
  }
  t.alike(wrong, [], 'each read shows the write before it')
})

for (const sizeBytes of [4096, 65_536, 131_072]) {
  // A local filesystem may mix two writes in one read, so a reference run proves nothing here.
  scenario(
    `read after write - never torn while ${sizeBytes} bytes are overwritten`,
    { daemons: true },
    volume,
    async (t) => {
      const { a, b, pathA, pathB } = await volume.pair()
      const count = size(500, 5000)
      await a.call('write', { path: pathA('f'), text: '\0'.repeat(sizeBytes) })
      const watching = b.call('watchUniform', { path: pathB('f'), sizeBytes, last: 255 }, 120_000)
      await a.call('overwriteUniform', { path: pathA('f'), sizeBytes, count }, 120_000)
      await a.call('write', {
        path: pathA('f'),
        text: '\u00ff'.repeat(sizeBytes),
        flags: 'r+',
        offset: 0
      })
      const { reads, torn, changes } = await watching
      t.is(torn, 0, 'no read mixes two writes')
      t.ok(changes > 2, `${reads} reads saw ${changes} changes`)
    }
  )
}

scenario('read after write - extended attributes', { programs: ['python3'] }, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const xattr = (code: string, path: string): readonly string[] => [
    'python3',
    '-c',
    `import os,sys;p=sys.argv[1];${code}`,
    path
  ]
  await a.call('write', { path: pathA('f'), text: 'x' })
  const set = xattr("os.setxattr(p,'user.colour',b'red')", pathA('f'))
  t.is((await a.call('exec', { argv: set })).stderr, '', 'set on A')
  const get = xattr("print(os.listxattr(p),os.getxattr(p,'user.colour'))", pathB('f'))
  const seen = await b.call('exec', { argv: get })
  t.is(seen.stdout.trim(), "['user.colour'] b'red'", 'seen on B')
  const remove = xattr("os.removexattr(p,'user.colour')", pathB('f'))
  t.is((await b.call('exec', { argv: remove })).stderr, '', 'removed on B')
  const list = xattr('print(os.listxattr(p))', pathA('f'))
  t.is((await a.call('exec', { argv: list })).stdout.trim(), '[]', 'gone on A')
})

finishVolume(volume)
