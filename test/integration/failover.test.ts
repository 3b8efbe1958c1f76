/**
 * Two nodes and a witness under the mixed load, while one of the three is killed, frozen, cut off
 * or stopped in the orderly way. What the others do meanwhile is judged by their own histories.
 */
import type { Test } from 'brittle'
import type { Cluster, ClusterNode } from '../helpers/cluster.ts'
import {
  authorityOf,
  type FaultOutcome,
  type FaultPlan,
  runFault,
  statusOf,
  tell,
  untilInSync
} from '../helpers/failover.ts'
import { freezeWithWrites } from '../helpers/frozen-writes.ts'
import { HistoryLoad } from '../helpers/history-load.ts'
import { SeededRandom } from '../helpers/random.ts'
import { finishVolume, SharedVolume, scenario } from '../helpers/scenario.ts'
import { isSoak, seed, size } from '../helpers/sizes.ts'
import { summary } from '../helpers/stalls.ts'
import { waitFor } from '../helpers/system.ts'

const volume = new SharedVolume({ network: true, voting: 'witness' })
const random = new SeededRandom(seed)
const usual = { minutes: 30, daemons: true, programs: ['cc'] }
const options = { ...usual, soak: true }
const FROZEN_MS = 3 * 1800
const PROBLEMS_SHOWN = 10
const LIMIT_MS = 60_000
let rounds = 0

interface Round {
  readonly load: HistoryLoad
  readonly cluster: Cluster
}

async function newRound(): Promise<Round> {
  const cluster = await volume.cluster()
  await untilInSync(cluster.nodes)
  const name = `round-${++rounds}`
  return { cluster, load: new HistoryLoad(cluster, name, seed + rounds * 100) }
}

async function otherThanAuthority(cluster: Cluster): Promise<ClusterNode> {
  const authority = await authorityOf(cluster)
  const other = cluster.nodes.find((node) => node !== authority)
  if (other === undefined) throw new Error('there is no other node')
  return other
}

/** Times around a fault: drawn, but the fault lasts at least `withinMs`. */
function times(withinMs: number): FaultPlan['pauseMs'] {
  return [size(300, 1500) + random.below(600), withinMs, size(200, 1500)]
}

function killPlan({ cluster, load }: Round, victim: ClusterNode | undefined): FaultPlan {
  const pauseMs = times(size(2500, 2500) + random.below(1000))
  if (victim === undefined) {
    const { witness } = cluster
    return {
      victims: [],
      pauseMs,
      cause: () => witness.kill(),
      repair: () => witness.start()
    }
  }
  return {
    victims: [victim],
    pauseMs,
    cause: async () => {
      await victim.kill()
      await load.killOn(victim)
    },
    repair: async () => {
      await victim.mount()
      load.startOn(victim)
    }
  }
}

function judge(t: Test, what: string, outcome: FaultOutcome): void {
  t.alike(outcome.problems.slice(0, PROBLEMS_SHOWN), [], `${what}, seed ${seed}`)
  t.comment(`${what}: ${tell(outcome)}`)
}

scenario('failover - the mixed load without a fault', options, volume, async (t) => {
  if (!isSoak) return t.comment('at soak size: the others contain it')
  const round = await newRound()
  const nothing = async (): Promise<void> => {}
  const plan = { victims: [], pauseMs: times(20_000), cause: nothing, repair: nothing }
  judge(t, 'no fault', await runFault(round.cluster, round.load, plan))
})

/** In turn; at the usual size the authority and the other data member, one after the other. */
async function victimOf({ cluster }: Round, turn: number): Promise<ClusterNode | undefined> {
  if (isSoak) return [cluster.node(1), undefined, cluster.node(0)][turn % 3]
  return turn === 0 ? await authorityOf(cluster) : await otherThanAuthority(cluster)
}

scenario('failover - SIGKILL of A, B or the witness', usual, volume, async (t) => {
  const stalls: number[] = []
  const lockWaits: number[] = []
  for (let i = 0; i < size(2, 30); i++) {
    const round = await newRound()
    const victim = await victimOf(round, i)
    const wasAuthority = (await authorityOf(round.cluster)) === victim
    const outcome = await runFault(round.cluster, round.load, killPlan(round, victim))
    judge(t, `round ${i + 1}, ${victim?.name ?? 'witness'}${wasAuthority ? '*' : ''}`, outcome)
    if (outcome.problems.length > 0) return
    stalls.push(outcome.stalls.operationMs)
    lockWaits.push(outcome.stalls.lockMs)
  }
  t.comment(`longest operation: ${summary(stalls)}; longest lock wait: ${summary(lockWaits)}`)
})

scenario(
  'failover - what a frozen node had begun, lost, or begins later',
  usual,
  volume,
  async (t) => {
    for (let i = 0; i < size(1, 6); i++) {
      const { cluster } = await newRound()
      const isAuthority = i % 2 === 1
      const victim = isAuthority ? await authorityOf(cluster) : await otherThanAuthority(cluster)
      t.comment(`${isAuthority ? 'authority' : 'ordinary member'} ${victim.name}`)
      await freezeWithWrites(t, cluster, victim, `frozen-${i}`)
    }
  }
)

scenario('failover - frozen past its lease and resumed', options, volume, async (t) => {
  for (let i = 0; i < size(1, 6); i++) {
    const round = await newRound()
    const { cluster } = round
    const isAuthority = i % 2 === 1
    const victim = isAuthority ? await authorityOf(cluster) : await otherThanAuthority(cluster)
    const outcome = await runFault(cluster, round.load, {
      victims: [victim],
      late: true,
      pauseMs: times(FROZEN_MS),
      cause: async () => void victim.signal('SIGSTOP'),
      repair: async () => void victim.signal('SIGCONT')
    })
    judge(t, `${isAuthority ? 'authority' : 'ordinary member'} ${victim.name}`, outcome)
    t.alike(
      outcome.wentOn,
      cluster.nodes.filter((node) => node !== victim).map(({ name }) => name),
      'the other goes on'
    )
  }
})

scenario(
  'failover - two nodes cut from each other, both reach the witness',
  options,
  volume,
  async (t) => {
    for (let i = 0; i < size(1, 6); i++) {
      const { cluster, load } = await newRound()
      const names = cluster.nodes.map(({ name }) => name)
      const sides = [names.slice(0, 1), names.slice(1)] as const
      const outcome = await runFault(cluster, load, {
        victims: cluster.nodes,
        anyOfThem: true,
        late: true,
        pauseMs: times(6000),
        cause: () =>
          i % 2 === 0
            ? cluster.network.stallBetween(...sides)
            : cluster.network.cutBetween(...sides),
        repair: () => cluster.network.heal()
      })
      judge(t, i % 2 === 0 ? 'silence' : 'reset', outcome)
      t.is(outcome.wentOn.length, 1, `exactly one goes on: ${outcome.wentOn}`)
    }
  }
)

scenario(
  'failover - two nodes cut from each other: one alone acknowledges',
  usual,
  volume,
  async (t) => {
    const { cluster } = await newRound()
    const [a, b] = cluster.nodes.map((node) => new FirstWrite(node))
    if (!a || !b) throw new Error('two nodes are needed')
    await cluster.network.stallBetween([a.node.name], [b.node.name])
    a.begin()
    b.begin()
    const winner = await Promise.race([a.answered, b.answered])
    t.is(winner.outcome, 'ok', `${winner.node.name} goes on`)
    const loser = winner === a ? b : a
    await waitFor('the other is out', LIMIT_MS, async () => {
      const report = await statusOf(winner.node)
      return report?.members?.some(({ id, live }) => id === loser.node.id && !live) ?? false
    })
    const more = { path: winner.node.path('first'), text: 'more', fsync: true }
    t.is(await winner.node.worker().outcome('write', more), 'ok')
    t.not(loser.outcome, 'ok', `${loser.node.name} acknowledges nothing`)
    await cluster.network.heal()
    await loser.answered
    t.ok(loser.outcome === 'EIO' || loser.outcome === 'ok', `afterwards: ${loser.outcome}`)
    await untilInSync(cluster.nodes)
  }
)

/** A durable write that takes as long as it takes. */
class FirstWrite {
  readonly node: ClusterNode
  outcome: string | undefined
  answered: Promise<FirstWrite> = Promise.resolve(this)

  constructor(node: ClusterNode) {
    this.node = node
  }

  begin(): void {
    const write = { path: this.node.path(`first-${this.node.name}`), text: 'x', fsync: true }
    const work = this.node.worker().outcome('write', write, LIMIT_MS)
    this.answered = work.then((outcome) => {
      this.outcome = outcome
      return this
    })
  }
}

scenario('failover - the authority is unmounted', options, volume, async (t) => {
  const pauses: number[] = []
  for (let i = 0; i < size(1, 10); i++) {
    const { cluster, load } = await newRound()
    const leaving = await authorityOf(cluster)
    const staying = await otherThanAuthority(cluster)
    const outcome = await runFault(cluster, load, {
      victims: [leaving],
      pauseMs: times(1000),
      cause: async () => {
        await load.killOn(leaving)
        await leaving.unmount()
        t.is((await statusOf(staying))?.authority?.id, staying.id, 'the other has taken over')
      },
      repair: async () => {
        await leaving.mount()
        load.startOn(leaving)
      }
    })
    judge(t, `${leaving.name} leaves`, outcome)
    pauses.push(outcome.stalls.operationMs)
  }
  t.comment(`longest operation: ${summary(pauses)}`)
})

scenario('failover - status tells what happened', options, volume, async (t) => {
  const cluster = await volume.cluster()
  await untilInSync(cluster.nodes)
  const failovers = []
  for (const node of cluster.nodes) {
    t.is((await node.status()).code, 0, `${node.name} has a quorum`)
    const report = await statusOf(node)
    t.is(report?.quorum?.have, 3)
    t.is(report?.quorum?.need, 2)
    if (report?.lastFailover) failovers.push(report.lastFailover)
  }
  t.ok(
    failovers.some(({ durationMs, reason }) => durationMs >= 0 && reason !== ''),
    'how long the last one took and why'
  )
})

finishVolume(volume)
