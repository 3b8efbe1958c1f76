import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { size } from '../helpers/sizes.ts'

const volume = new SharedVolume()
const START_DELAY_MS = 300

scenario('append - both nodes to one O_APPEND file at once', { minutes: 10 }, volume, async (t) => {
  const { a, b, pathA, pathB } = await volume.pair()
  const count = 10_000
  await a.call('write', { path: pathA('log'), text: '' })
  const atMs = Date.now() + START_DELAY_MS
  const deadline = 240_000
  const [fromA, fromB] = await Promise.all([
    a.call('appendLines', { path: pathA('log'), tag: 'A', count, atMs }, deadline),
    b.call('appendLines', { path: pathB('log'), tag: 'B', count, atMs }, deadline)
  ])
  const both = Math.min(fromA.lastMs, fromB.lastMs) - Math.max(fromA.firstMs, fromB.firstMs)
  t.ok(both > 0, `both were appending for ${both.toFixed(0)} ms`)

  const text = await b.call('readText', { path: pathB('log') }, deadline)
  const lines = text.split('\n')
  t.is(lines.pop(), '', 'ends with a whole line')
  t.is(lines.length, 2 * count, 'number of lines')
  const next = { A: 0, B: 0 }
  let broken = 0
  let turns = 0
  let previous = ''
  for (const line of lines) {
    const match = /^([AB]) (\d+) (x*)$/.exec(line)
    const tag = match?.[1] === 'A' ? 'A' : 'B'
    const index = Number(match?.[2])
    if (match === null || index !== next[tag] || match[3]?.length !== index % 60) broken++
    next[tag]++
    if (tag !== previous) turns++
    previous = tag
  }
  t.is(broken, 0, 'every line whole, each node in its own order')
  t.ok(turns > 2, `the nodes took turns ${turns} times in the file`)
  t.is(
    await a.call('digest', { path: pathA('log') }),
    await b.call('digest', { path: pathB('log') })
  )
})

scenario('append - several writers on each node', {}, volume, async (t) => {
  const { nodeA, nodeB, a, pathA, pathB, b } = await volume.pair()
  await a.call('write', { path: pathA('log'), text: '' })
  const count = size(300, 3000)
  const atMs = Date.now() + START_DELAY_MS
  const bursts = ['p', 'q', 'r'].flatMap((tag) => [
    nodeA
      .worker()
      .call('appendLines', { path: pathA('log'), tag: `A${tag}`, count, atMs }, 120_000),
    nodeB.worker().call('appendLines', { path: pathB('log'), tag: `B${tag}`, count, atMs }, 120_000)
  ])
  await Promise.all(bursts)
  const lines = (await b.call('readText', { path: pathB('log') })).trimEnd().split('\n')
  t.is(lines.length, bursts.length * count, 'number of lines')
  t.is(new Set(lines).size, lines.length, 'every line once')
})

finishVolume(volume)
