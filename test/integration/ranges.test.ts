import type { ClusterNode } from '../helpers/cluster.ts'
import { REGION_BYTES } from '../helpers/regions.ts'
import { runChild } from '../helpers/run-child.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { size } from '../helpers/sizes.ts'

const volume = new SharedVolume()
const REGIONS = 4
const START_DELAY_MS = 1000

interface Report {
  readonly startMs: number
  readonly endMs: number
  readonly errors: readonly string[]
}

/** Runs one writer for each region, on the node given for it. Returns writes a second. */
async function writeRegions(
  nodes: readonly ClusterNode[],
  pathOn: (node: ClusterNode) => string,
  count: number
): Promise<{ readonly rate: number; readonly errors: readonly string[] }> {
  const atMs = String(Date.now() + START_DELAY_MS)
  const outputs = await Promise.all(
    nodes.map((node, region) => {
      return runChild('region-writer.js', [pathOn(node), String(region), String(count), atMs])
    })
  )
  const reports = outputs.map((output) => JSON.parse(output) as Report)
  const startMs = Math.min(...reports.map((report) => report.startMs))
  const endMs = Math.max(...reports.map((report) => report.endMs))
  const rate = (count * nodes.length * 1000) / Math.max(1, endMs - startMs)
  return { rate, errors: reports.flatMap((report) => report.errors) }
}

scenario('ranges - writers of both nodes in regions of one file', {}, volume, async (t) => {
  const { nodeA, nodeB, a, pathA, pathB } = await volume.pair()
  const count = size(1000, 10_000)
  const rates: number[] = []
  for (const nodes of [
    [nodeA, nodeA, nodeA, nodeA],
    [nodeA, nodeB, nodeA, nodeB]
  ]) {
    const file = `regions${rates.length}`
    await a.call('write', { path: pathA(file), text: '' })
    await a.call('truncate', { path: pathA(file), size: REGIONS * REGION_BYTES })
    const pathOn = (node: ClusterNode) => (node === nodeA ? pathA(file) : pathB(file))
    const { rate, errors } = await writeRegions(nodes, pathOn, count)
    rates.push(rate)
    t.alike(errors, [], 'each writer reads what it wrote')
    const check = [String(REGIONS), String(count)]
    t.is(await runChild('region-checker.js', [pathA(file), ...check]), 'ok', 'content seen by A')
    t.is(await runChild('region-checker.js', [pathB(file), ...check]), 'ok', 'content seen by B')
  }
  t.comment(`writes/s on one node and on two: ${rates.map((rate) => rate.toFixed(0)).join(', ')}`)
})

scenario('ranges - a file grows on one node while the other rewrites it', {}, volume, async (t) => {
  const { a, b, nodeB, pathA, pathB } = await volume.pair()
  const writes = size(500, 5000)
  await a.call('write', { path: pathA('grows'), text: '' })
  await a.call('truncate', { path: pathA('grows'), size: REGION_BYTES })
  const count = size(300, 3000)
  const atMs = Date.now() + START_DELAY_MS
  const rewritten = runChild('region-writer.js', [
    pathB('grows'),
    '0',
    String(writes),
    String(atMs)
  ])
  await a.call('appendLines', { path: pathA('grows'), tag: 'A', count, atMs }, 120_000)
  const report = JSON.parse(await rewritten) as Report
  t.alike(report.errors, [], nodeB.name)
  const [onA, onB] = await Promise.all([
    a.call('stat', { path: pathA('grows') }),
    b.call('stat', { path: pathB('grows') })
  ])
  t.alike(onB, onA, 'size and times are the same on both nodes')
  t.ok(onA.size > REGION_BYTES)
  t.is(
    await a.call('digest', { path: pathA('grows') }),
    await b.call('digest', { path: pathB('grows') })
  )
})

finishVolume(volume)
