import { join } from 'node:path'
import type { Test } from 'brittle'
import type { Cluster, ClusterNode } from '../helpers/cluster.ts'
import { CrashLoad } from '../helpers/crash.ts'
import { filesOf } from '../helpers/damage.ts'
import { SeededRandom } from '../helpers/random.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { seed, size } from '../helpers/sizes.ts'
import { waitFor } from '../helpers/system.ts'
import type { Worker } from '../helpers/worker-client.ts'
import { checkSmallWrites } from '../helpers/worker-pages.ts'

const volume = new SharedVolume()
const PROBLEMS_SHOWN = 10
const WRITING_LIMIT_MS = 120_000
const LEFT_OPEN = 'entry that was open when the last process ended is closed'

interface Round {
  readonly name: string
  victims(cluster: Cluster): ClusterNode[]
  remount(victims: readonly ClusterNode[]): Promise<void>
}

async function inOrder(nodes: readonly ClusterNode[]): Promise<void> {
  for (const node of nodes) await node.mount()
}

async function atOnce(nodes: readonly ClusterNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.mount()))
}

const rounds: readonly Round[] = [
  { name: 'B killed', victims: (c) => [c.node(1)], remount: inOrder },
  { name: 'A killed', victims: (c) => [c.node(0)], remount: inOrder },
  { name: 'both killed, mounted A first', victims: (c) => [...c.nodes], remount: inOrder },
  { name: 'both killed, mounted at once', victims: (c) => [...c.nodes], remount: atOnce }
]

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function runRound(
  t: Test,
  cluster: Cluster,
  load: CrashLoad,
  random: SeededRandom,
  round: Round
): Promise<string[]> {
  await load.start()
  // Not a wait for a condition: the moment of the crash is what is drawn.
  await pause(200 + random.below(1500))
  const victims = round.victims(cluster)
  await Promise.all(victims.map((node) => node.kill()))
  for (const node of victims) node.killWorkers()
  await pause(random.below(1000))
  await round.remount(victims)
  await pause(random.below(500))
  const failures = await load.stop(new Set(victims))
  for (const failure of failures) t.comment(`${round.name}: failed meanwhile: ${failure}`)
  const problems = await load.check()
  // The authority never depends on another member for longer than its removal takes.
  const refused = victims.includes(cluster.node(0)) ? [] : failures
  return [...problems, ...refused]
}

scenario('crash - the same load without a crash', {}, volume, async (t) => {
  const { cluster } = await volume.pair()
  const load = new CrashLoad(cluster, 'calm', new SeededRandom(seed))
  await load.start()
  await pause(size(2000, 60_000))
  t.alike(await load.stop(new Set()), [], `no failure, seed ${seed}`)
  t.alike((await load.check()).slice(0, PROBLEMS_SHOWN), [], 'equal on both nodes')
})

scenario(
  'crash - SIGKILL under load, mounted again by mount alone',
  { minutes: 30, daemons: true },
  volume,
  async (t) => {
    const { cluster } = await volume.pair()
    const random = new SeededRandom(seed)
    const load = new CrashLoad(cluster, 'crash', random)
    const count = size(4, 20)
    for (let i = 0; i < count; i++) {
      const round = rounds[i % rounds.length] ?? rounds[0]
      if (round === undefined) throw new Error('no rounds')
      const problems = await runRound(t, cluster, load, random, round)
      t.alike(problems.slice(0, PROBLEMS_SHOWN), [], `round ${i + 1}, ${round.name}, seed ${seed}`)
      if (problems.length > 0) return
    }
    t.comment(load.summary())
  }
)

/** How much its writers have written, as of now. */
function segmentBytes(node: ClusterNode): number {
  return filesOf(join(node.stateDir, 'segments')).reduce((sum, file) => sum + file.sizeBytes, 0)
}

scenario(
  'crash - SIGKILL amid small writes without fsync: what was answered is there',
  { minutes: 5, daemons: true },
  volume,
  async (t) => {
    const { nodeA, nodeB, pathA, pathB } = await volume.pair()
    const random = new SeededRandom(seed)
    const count = size(2, 20)
    for (let i = 0; i < count; i++) {
      const name = `pages-${i}`
      const before = segmentBytes(nodeA)
      const args = { path: pathA(name), pages: 32, seed: seed + i }
      const writing = nodeA.worker().call('writeUntilFailure', args, WRITING_LIMIT_MS)
      // When something else fails first, that is the failure to be reported.
      writing.catch(() => {})
      const isUnderWay = () => segmentBytes(nodeA) > before + 256 * 1024
      await waitFor('small writes', 30_000, isUnderWay)
      await pause(random.below(100))
      // B is no majority: it does not go on without what stands on A alone.
      await nodeA.kill()
      const wrote = await writing
      nodeA.killWorkers()
      await nodeA.mount()
      const read = async (worker: Worker, file: string) => {
        const content = Buffer.from(await worker.call('readBase64', { path: file }), 'base64')
        return { content, lines: await worker.call('readText', { path: `${file}.lines` }) }
      }
      const onA = await read(nodeA.worker(), pathA(name))
      const onB = await read(nodeB.worker(), pathB(name))
      const problems = checkSmallWrites(wrote, onA.content, onA.lines)
      t.alike(problems.slice(0, PROBLEMS_SHOWN), [], `round ${i + 1}, ${wrote.code}, seed ${seed}`)
      t.ok(onA.content.equals(onB.content) && onA.lines === onB.lines, 'equal on both nodes')
      for (const node of [nodeA, nodeB]) node.killWorkers()
    }
    const closed = nodeA.log().split(LEFT_OPEN).length - 1
    t.comment(`${closed} starts closed an entry that was left open`)
  }
)

scenario(
  'crash - files open for writing on the node that survives',
  { daemons: true },
  volume,
  async (t) => {
    const { nodeB, a, pathA, pathB } = await volume.pair()
    const fd = await a.call('open', { path: pathA('log'), flags: 'a' })
    await a.call('writeHandle', { path: '', fd, text: 'before\n' })
    nodeB.killWorkers()
    await nodeB.kill()
    await a.call('writeHandle', { path: '', fd, text: 'while B is away\n' })
    await a.call('fsync', { fd })
    await nodeB.mount()
    await a.call('writeHandle', { path: '', fd, text: 'after\n' })
    const b = nodeB.worker()
    const text = await b.call('readText', { path: pathB('log') })
    t.is(text, 'before\nwhile B is away\nafter\n', 'the handle works throughout')
    await b.call('write', { path: pathB('log'), text: 'from B\n', flags: 'a' })
    await a.call('writeHandle', { path: '', fd, text: 'from A\n' })
    t.is(await b.call('readText', { path: pathB('log') }), `${text}from B\nfrom A\n`)
  }
)

scenario(
  'crash - unlinked but open files do not stay for ever',
  { daemons: true },
  volume,
  async (t) => {
    const { nodeB, a, b, pathA, pathB } = await volume.pair()
    await b.call('write', { path: pathB('f'), text: 'orphan'.repeat(100_000) })
    await b.call('open', { path: pathB('f'), flags: 'r' })
    const before = await a.call('hashTree', { path: pathA('') })
    await a.call('unlink', { path: pathA('f') })
    nodeB.killWorkers()
    await nodeB.kill()
    await nodeB.mount()
    const onB = await nodeB.worker().call('hashTree', { path: pathB('') })
    const onA = await a.call('hashTree', { path: pathA('') })
    t.alike(onB, onA, 'equal after the crash')
    t.is(onA.count, before.count - 1, 'the name is gone')
  }
)

finishVolume(volume)
