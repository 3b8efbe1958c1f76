/** Every way in which the network between two nodes and a witness can be cut, and no witness at all. */
import type { Test } from 'brittle'
import { runCli } from '../helpers/cli.ts'
import { type Cluster, type ClusterMember, makeCluster } from '../helpers/cluster.ts'
import { authorityOf, runFault, statusOf, tell, untilInSync } from '../helpers/failover.ts'
import { HistoryLoad } from '../helpers/history-load.ts'
import type { Direction } from '../helpers/network.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { seed } from '../helpers/sizes.ts'
import { waitFor } from '../helpers/system.ts'

const volume = new SharedVolume({ network: true, voting: 'witness' })
const options = { minutes: 30, daemons: true, programs: ['cc'], soak: true }
const CUT_MS = 8000
const PROBLEMS_SHOWN = 10
const MOUNT_OPTIONS = ['-o', 'isolation_timeout=4']
/** An operation that has to end by the isolation limit, with room for a busy machine. */
const ENDED_LIMIT_MS = 30_000
const UNMOUNT_LIMIT_MS = 10_000

const A = 'node-a'
const B = 'node-b'
const W = 'witness'

interface Cut {
  readonly name: string
  readonly directions: readonly Direction[]
  /** How many of the two nodes may go on: at least this many. */
  readonly goOn: number
}

function between(some: readonly string[], others: readonly string[]): Direction[] {
  return some.flatMap((one) =>
    others.flatMap((other): Direction[] => [
      [one, other],
      [other, one]
    ])
  )
}

const CUTS: readonly Cut[] = [
  { name: 'A and B', directions: between([A], [B]), goOn: 1 },
  { name: 'A and witness', directions: between([A], [W]), goOn: 2 },
  { name: 'B and witness', directions: between([B], [W]), goOn: 2 },
  { name: 'A from all', directions: between([A], [B, W]), goOn: 1 },
  { name: 'B from all', directions: between([B], [A, W]), goOn: 1 },
  { name: 'witness from all', directions: between([W], [A, B]), goOn: 2 },
  { name: 'A to B', directions: [[A, B]], goOn: 1 },
  { name: 'B to A', directions: [[B, A]], goOn: 1 },
  { name: 'A to witness', directions: [[A, W]], goOn: 1 },
  { name: 'witness to A', directions: [[W, A]], goOn: 1 },
  { name: 'B to witness', directions: [[B, W]], goOn: 1 },
  { name: 'witness to B', directions: [[W, B]], goOn: 1 },
  {
    name: 'A to all',
    directions: [
      [A, B],
      [A, W]
    ],
    goOn: 1
  },
  {
    name: 'all to A',
    directions: [
      [B, A],
      [W, A]
    ],
    goOn: 1
  },
  {
    name: 'everyone from everyone',
    directions: between([A], [B, W]).concat(between([B], [W])),
    goOn: 0
  }
]

for (const [index, { name, directions, goOn }] of CUTS.entries()) {
  scenario(`failover network - silence, ${name}`, options, volume, async (t) => {
    const cluster = await volume.cluster()
    await untilInSync(cluster.nodes)
    const load = new HistoryLoad(cluster, `cut-${index}`, seed + index * 100)
    const authority = await authorityOf(cluster)
    const outcome = await runFault(cluster, load, {
      victims: cluster.nodes,
      anyOfThem: true,
      pauseMs: [1000, CUT_MS, 500],
      cause: () => cluster.network.stall(...directions),
      repair: () => cluster.network.heal()
    })
    t.alike(outcome.problems.slice(0, PROBLEMS_SHOWN), [], `seed ${seed}`)
    t.comment(`${name}, ${authority.name} was the authority: ${tell(outcome)}`)
    t.ok(outcome.wentOn.length >= goOn, `at least ${goOn} go on`)
    if (goOn === 0) t.is(outcome.wentOn.length, 0, 'nobody goes on')
  })
}

finishVolume(volume)

/** A volume of a test's own, with a short isolation limit. */
async function isolating(t: Test, voting: 'witness' | 'plain'): Promise<Cluster> {
  const cluster = await makeCluster({ network: true, voting, mountOptions: MOUNT_OPTIONS })
  t.teardown(() => cluster.destroyNow())
  await untilInSync(cluster.nodes)
  return cluster
}

async function reasonsOf(member: ClusterMember): Promise<string> {
  return ((await statusOf(member))?.warnings ?? []).join('; ')
}

scenario(
  'failover network - an isolated node blocks, fails, comes back',
  options,
  undefined,
  async (t) => {
    const cluster = await isolating(t, 'witness')
    const authority = await authorityOf(cluster)
    for (const victim of [cluster.nodes.find((node) => node !== authority), authority]) {
      if (victim === undefined) throw new Error('no other node')
      const rest = [A, B, W].filter((name) => name !== victim.name)
      const worker = victim.worker()
      const write = { path: victim.path('f'), text: 'x', fsync: true }
      await worker.call('write', write)
      await cluster.network.stallBetween([victim.name], rest)
      t.is(await worker.outcome('write', write, ENDED_LIMIT_MS), 'EIO', `${victim.name}: refused`)
      const status = await runCli(['status', victim.stateDir])
      t.unlike(status.code, 0, 'status has another exit code')
      t.comment(`${victim.name}: exit code ${status.code}: ${await reasonsOf(victim)}`)
      await cluster.network.heal()
      await waitFor(`${victim.name} serves again`, ENDED_LIMIT_MS, async () => {
        return (await worker.outcome('write', write, ENDED_LIMIT_MS)) === 'ok'
      })
      await untilInSync(cluster.nodes)
    }
    await cluster.close()
  }
)

scenario('failover network - an isolated node unmounts', options, undefined, async (t) => {
  const cluster = await isolating(t, 'witness')
  const victim = await authorityOf(cluster)
  const others = cluster.nodes.filter((node) => node !== victim)
  await victim.worker().call('write', { path: victim.path('f'), text: 'not durable' })
  await cluster.network.stallBetween([victim.name], [...others.map(({ name }) => name), W])
  victim.killWorkers()
  const start = performance.now()
  const answer = await runCli(['unmount', victim.mountPath], { deadlineMs: UNMOUNT_LIMIT_MS })
  t.ok(answer.code >= 0, `ended by itself with ${answer.code}: ${answer.stderr.trim()}`)
  t.comment(`unmount of an isolated node took ${(performance.now() - start).toFixed(0)} ms`)
  await waitFor('its daemon has ended', UNMOUNT_LIMIT_MS, () => victim.pid() === undefined)
  await cluster.network.heal()
  await victim.mount(...MOUNT_OPTIONS)
  await untilInSync(cluster.nodes)
  await cluster.close()
})

scenario(
  'failover network - no witness and no tie-breaker: neither acknowledges',
  { ...options, soak: false },
  undefined,
  async (t) => {
    const cluster = await isolating(t, 'plain')
    for (const node of cluster.nodes) {
      const reasons = await reasonsOf(node)
      t.ok(/stop/.test(reasons), `${node.name} says before what will happen: ${reasons}`)
    }
    await cluster.network.stallBetween([A], [B])
    const outcomes = await Promise.all(
      cluster.nodes.map((node) => {
        const write = { path: node.path('f'), text: node.name, fsync: true }
        return node.worker().outcome('write', write, ENDED_LIMIT_MS)
      })
    )
    t.alike(outcomes, ['EIO', 'EIO'], 'neither acknowledges')
    for (const node of cluster.nodes) {
      const { code } = await node.status()
      t.unlike(code, 0, `${node.name}: exit code ${code}`)
      // Between two incarnations it has nothing to tell for a moment.
      let reasons = ''
      await waitFor(`${node.name} says why`, ENDED_LIMIT_MS, async () => {
        reasons = await reasonsOf(node)
        return reasons !== ''
      })
      t.comment(`${node.name} says why and what to do: ${reasons}`)
    }
    await cluster.network.heal()
    await untilInSync(cluster.nodes)
    for (const node of cluster.nodes) {
      await waitFor(`${node.name} serves again`, ENDED_LIMIT_MS, async () => {
        const write = { path: node.path('g'), text: node.name, fsync: true }
        return (await node.worker().outcome('write', write, ENDED_LIMIT_MS)) === 'ok'
      })
    }
    await cluster.close()
  }
)

scenario('failover network - the tie-breaker goes on alone', options, undefined, async (t) => {
  const cluster = await isolating(t, 'plain')
  const preferred = cluster.node(1)
  const other = cluster.node(0)
  await setTieBreaker(cluster, B)
  for (const cut of ['silence', 'death'] as const) {
    if (cut === 'silence') await cluster.network.stallBetween([A], [B])
    else await other.kill()
    const worker = preferred.worker()
    const write = { path: preferred.path('f'), text: cut, fsync: true }
    await waitFor(`${preferred.name} goes on`, ENDED_LIMIT_MS, async () => {
      return (await worker.outcome('write', write, ENDED_LIMIT_MS)) === 'ok'
    })
    if (cut === 'silence') {
      const refused = { path: other.path('f'), text: 'other', fsync: true }
      t.is(await other.worker().outcome('write', refused, ENDED_LIMIT_MS), 'EIO', 'the other not')
      await cluster.network.heal()
    } else {
      await other.mount(...MOUNT_OPTIONS)
    }
    await untilInSync(cluster.nodes)
    t.is(await other.worker().call('readText', { path: other.path('f') }), cut)
  }
  await preferred.kill()
  const alone = { path: other.path('f'), text: 'alone', fsync: true }
  t.is(await other.worker().outcome('write', alone, ENDED_LIMIT_MS), 'EIO', 'the other never does')
  await preferred.mount(...MOUNT_OPTIONS)
  await untilInSync(cluster.nodes)
  await cluster.close()
})

async function setTieBreaker(cluster: Cluster, name: string): Promise<void> {
  const authority = await authorityOf(cluster)
  const answer = await runCli(['members', authority.stateDir, 'tie-breaker', name])
  if (answer.code !== 0) throw new Error(`tie-breaker ${name}: ${answer.stderr.trim()}`)
}
