import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { size } from '../helpers/sizes.ts'
import { residentBytes } from '../helpers/system.ts'

const volume = new SharedVolume()
const MIB = 2 ** 20
const MEMORY_MAX_MIB = 400
const SAMPLE_MS = 20
const DEADLINE_MS = size(4, 40) * 60_000

scenario(
  'memory - bounded while writing as fast as possible',
  { minutes: 45, daemons: true },
  volume,
  async (t) => {
    const { a, nodeA, nodeB, b, pathA, pathB } = await volume.pair()
    const pids = [nodeA.pid() ?? 0, nodeB.pid() ?? 0]
    const peak = [0, 0]
    const sampling = setInterval(() => {
      pids.forEach((pid, index) => {
        peak[index] = Math.max(peak[index] ?? 0, residentBytes(pid))
      })
    }, SAMPLE_MS)
    const sizeBytes = size(512, 4096) * MIB
    try {
      const big = { path: pathA('big'), sizeBytes, chunkBytes: 4 * MIB }
      const { seconds } = await a.call('writeStream', big, DEADLINE_MS)
      t.comment(`${sizeBytes / MIB} MiB in ${seconds.toFixed(1)} s, fsync included`)
      t.is((await b.call('stat', { path: pathB('big') })).size, sizeBytes, 'all of it is there')
      const digests = await Promise.all([
        a.call('digestStream', { path: pathA('big') }, DEADLINE_MS),
        b.call('digestStream', { path: pathB('big') }, DEADLINE_MS)
      ])
      t.is(digests[1], digests[0], 'the same bytes on both')
    } finally {
      clearInterval(sampling)
    }
    t.alike([nodeA.pid() ?? 0, nodeB.pid() ?? 0], pids, 'the same daemons still run')
    peak.forEach((bytes, index) => {
      const mib = Math.round(bytes / MIB)
      t.ok(bytes > 0 && mib < MEMORY_MAX_MIB, `daemon ${'AB'[index]}: peak ${mib} MiB`)
    })
  }
)

scenario(
  'memory - bounded while many small files are written',
  { minutes: 30, daemons: true },
  volume,
  async (t) => {
    const { a, b, nodeA, nodeB, pathA, pathB } = await volume.pair()
    const pids = [nodeA.pid() ?? 0, nodeB.pid() ?? 0]
    const count = size(1500, 50_000)
    await Promise.all([
      a.call('makeTree', { path: pathA('a'), seed: 1, count }, DEADLINE_MS),
      b.call('makeTree', { path: pathB('b'), seed: 2, count }, DEADLINE_MS)
    ])
    pids.forEach((pid, index) => {
      const mib = Math.round(residentBytes(pid) / MIB)
      t.ok(mib > 0 && mib < MEMORY_MAX_MIB, `daemon ${'AB'[index]}: ${mib} MiB`)
    })
    const trees = [
      await a.call('hashTree', { path: pathA('') }, DEADLINE_MS),
      await b.call('hashTree', { path: pathB('') }, DEADLINE_MS)
    ]
    t.alike(trees[1], trees[0], 'both nodes equal')
  }
)

finishVolume(volume)
