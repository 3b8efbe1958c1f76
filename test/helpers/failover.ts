/** Steps of the failover tests: waiting for members, and rounds of a fault under the mixed load. */
import { join } from 'node:path'
import type { Cluster, ClusterMember, ClusterNode } from './cluster.ts'
import { askStatus, type StatusReport } from './control.ts'
import { historyNowUs, type SlowCall } from './history/operations.ts'
import type { HistoryLoad } from './history-load.ts'
import { longestStalls, type Stalls } from './stalls.ts'
import { waitFor } from './system.ts'

const LIMIT_MS = 60_000
/** After this, operations that still wait when a fault began do not count as going on. */
const SETTLE_US = 3_500_000

export function statusOf(member: ClusterMember): Promise<StatusReport | undefined> {
  return askStatus(join(member.stateDir, 'control.sock'))
}

/** What `member` says of `other`; undefined when it says nothing. */
async function viewOf(member: ClusterMember, other: ClusterMember) {
  return (await statusOf(member))?.members?.find(({ id }) => id === other.id)
}

/** The data member that decides, as the others see it. */
export async function authorityOf(cluster: Cluster): Promise<ClusterNode> {
  for (const node of cluster.nodes) {
    const report = await statusOf(node)
    const found = cluster.nodes.find(({ id }) => id === report?.authority?.id)
    if (report?.authority?.reachable !== false && found !== undefined) return found
  }
  throw new Error('no member knows an authority that it reaches')
}

/** Waits until all members that run agree that all of `nodes` are live and in sync. */
export async function untilInSync(nodes: readonly ClusterNode[]): Promise<void> {
  const names = nodes.map(({ name }) => name).join(', ')
  await waitFor(`${names} live and in sync`, LIMIT_MS, async () => {
    for (const node of nodes) {
      for (const other of nodes) {
        const view = await viewOf(node, other)
        if (!view?.live || !view.inSync) return false
      }
    }
    return true
  })
}

export interface FaultPlan {
  /** Nodes that may lose what they did not make durable. */
  readonly victims: readonly ClusterNode[]
  /** It is not known before which of the victims stop: who goes on has to keep everything. */
  readonly anyOfThem?: boolean
  /** Refused writes of the victims are searched for: they began after the lease was lost. */
  readonly late?: boolean
  /** Time under load before, within and after the fault. */
  readonly pauseMs: readonly [before: number, within: number, after: number]
  readonly cause: () => Promise<void>
  /** `load` may be started again on nodes whose daemon is another one. */
  readonly repair: () => Promise<void>
}

export interface FaultOutcome {
  readonly problems: readonly string[]
  /** Nodes on which operations went on while the fault lasted, by name. */
  readonly wentOn: readonly string[]
  /** Errors the processes of victims got, by errno. */
  readonly refused: Readonly<Record<string, number>>
  /** Of the nodes that went on, from the fault until it was repaired. */
  readonly stalls: Stalls
  /** The same from the repair on: taking a member in again holds up the others, too. */
  readonly afterwards: Stalls
  /** The same before the fault: what the load does to itself on this machine. */
  readonly calm: Stalls
  /** From the repair until everything succeeded again on the slowest victim. */
  readonly rejoinMs: number
}

/** One fault under the mixed load on all nodes, and what was found afterwards. */
export async function runFault(
  cluster: Cluster,
  load: HistoryLoad,
  plan: FaultPlan
): Promise<FaultOutcome> {
  const [before, within, after] = plan.pauseMs
  await load.start()
  await pause(before)
  const faults = plan.victims.map((node) => load.beginFault(node, plan.late ?? false))
  const causedUs = historyNowUs()
  await plan.cause()
  await pause(within)
  const wentOn = load.nodesThatWork(causedUs + SETTLE_US)
  const repairedUs = historyNowUs()
  await plan.repair()
  const rejoined = await Promise.all(plan.victims.map((node) => load.untilServing(node)))
  for (const fault of faults) load.endFault(fault)
  await pause(after)
  await load.stop()
  await untilInSync(cluster.nodes)
  if (plan.anyOfThem) load.forgetFaultsOf(wentOn)
  const victims = load.faultyNodes()
  const slow = load.slowCalls().filter(({ node }) => !victims.has(node))
  const endOf = ({ fromUs, durationUs }: SlowCall): number => fromUs + durationUs
  return {
    problems: await load.judge(),
    wentOn,
    refused: load.refusals(causedUs),
    calm: longestStalls(slow.filter((call) => endOf(call) < causedUs)),
    stalls: longestStalls(
      slow.filter((call) => endOf(call) >= causedUs && call.fromUs < repairedUs)
    ),
    afterwards: longestStalls(slow.filter((call) => call.fromUs >= repairedUs)),
    rejoinMs: Math.max(0, ...rejoined)
  }
}

/** One line for the output of a test. */
export function tell(outcome: FaultOutcome): string {
  const { stalls, afterwards, calm, rejoinMs, wentOn, refused } = outcome
  const errors = Object.entries(refused).map(([code, count]) => `${code}:${count}`)
  return [
    `longest operation ${stalls.operationMs.toFixed(0)} ms (before ${calm.operationMs.toFixed(0)}` +
      `, afterwards ${afterwards.operationMs.toFixed(0)})`,
    `longest lock wait ${stalls.lockMs.toFixed(0)} ms`,
    `went on: ${wentOn.join(', ') || 'none'}`,
    `refused: ${errors.join(' ') || 'none'}`,
    `well again after ${rejoinMs.toFixed(0)} ms`
  ].join('; ')
}

/** The moments of faults are drawn; everything else waits for conditions. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
