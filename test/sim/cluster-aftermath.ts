/**
 * After the last fault: everything is healed and the members have to come together. Then, in some
 * runs, one member of the healthy cluster dies, or hears nobody any more, and where a majority is left the
 * others have to serve again soon.
 */
import type { MemberId } from '../../src/fs/primitives.ts'
import { isMajority } from '../../src/replication/register/voters.ts'
import { SimClient } from './cluster-client.ts'
import { LivenessError } from './cluster-faults.ts'
import { SimMember } from './cluster-member.ts'
import type { Nemesis } from './cluster-nemesis.ts'
import { KINDS } from './cluster-parameters.ts'
import type { ClusterWorld, SimNode } from './cluster-world.ts'

const SECOND_US = 1_000_000
/** Virtual time after the last fault in which all members must be live and equal. */
export const PATIENCE_US = 120 * SECOND_US
/** In which the others serve after the death of one. */
const RECOVERY_US = 3 * SECOND_US
const DEAF_US = 5 * SECOND_US
/** Until it is known that a member hears nobody: two heartbeats, by a slow clock. */
const NOTICED_US = 660_000
/** A change of epoch takes so many messages and syncs one after the other, on a slow machine. */
const SLOW_STEPS = 10
const POLL_US = 50_000
const SERVING_POLL_US = 300_000
/** So long a member comes back, over a disk that stands still. */
const SLOW_RETURN_US = 15 * SECOND_US
/** Everybody waits so long for one that joins. */
const JOINER_US = 2 * SECOND_US
/** For connections that come one after the other, and what was lost meanwhile. */
const SETTLE_US = 2 * SECOND_US

export class Aftermath {
  readonly #world: ClusterWorld
  readonly #nemesis: Nemesis
  #mayKill: boolean

  constructor(world: ClusterWorld, nemesis: Nemesis) {
    this.#world = world
    this.#nemesis = nemesis
    this.#mayKill = world.parameters.killsHealthy
  }

  begin(): void {
    const world = this.#world
    world.note('healed')
    for (const kind of KINDS) world.network(kind).heal()
    for (const node of world.nodes()) {
      if (node instanceof SimMember) node.disk.stalledUntilUs = 0
      world.disconnectAll(node.id)
      node.boot()
    }
    this.#awaitProgress(world.scheduler.nowUs + PATIENCE_US, new Set())
  }

  /** Every member has to answer a write, an fsync and a lock begun after the faults. */
  #awaitProgress(endUs: number, served: Set<MemberId>): void {
    const world = this.#world
    if (world.scheduler.nowUs > endUs) {
      world.fail(new LivenessError(`no progress after the faults: ${world.describeMembers()}`))
      return
    }
    const members = world.current()
    for (const member of members) {
      if (served.has(member.id)) continue
      const probe = this.#probe(member)
      if (probe) world.background(probe.then((done) => done && served.add(member.id)))
    }
    if (!members.every(({ id }) => served.has(id)) || !world.allLive()) {
      world.scheduler.after(SECOND_US, () => this.#awaitProgress(endUs, served))
    } else if (this.#mayKill) {
      this.#mayKill = false
      world.scheduler.after(SETTLE_US, () => this.#killOne() || world.end())
    } else world.end()
  }

  #probe(member: SimMember): Promise<boolean> | undefined {
    const { replica, state, process } = member
    if (!replica || !state || !process || !member.isLive) return undefined
    return new SimClient({ world: this.#world, member, replica, state, process }).probe()
  }

  /** False when the cluster cannot do without any one, or is not whole. */
  #killOne(): boolean {
    const world = this.#world
    const { random, parameters } = world
    const { record } = world.ledger
    const isWhole =
      record &&
      world.isConnected() &&
      world.nodes().every(({ process }) => !process?.isFrozen) &&
      world.allLive() &&
      world.current().every(({ id }) => record.inSync.includes(id))
    if (!isWhole) return false
    const victims = world.nodes().filter(({ id, process }) => {
      const goesOn =
        isMajority(record.voters, (m) => m !== id) && record.inSync.some((m) => m !== id)
      return process && goesOn && record.members.some((m) => m.id === id)
    })
    if (victims.length === 0) return false
    const victim = random.pick(victims)
    const others = world.current().filter((member) => member !== victim)
    if (parameters.deafens) this.#nemesis.deafen(victim, DEAF_US)
    else {
      const powerCut = parameters.powerCuts && random.chance(0.5)
      this.#nemesis.crash(victim, powerCut, random.between(4, 5) * SECOND_US)
    }
    this.#awaitRecovery(victim, others, {
      startUs: world.scheduler.nowUs,
      served: new Set(),
      probed: new Set()
    })
    return true
  }

  #awaitRecovery(
    victim: SimNode,
    others: readonly SimMember[],
    run: {
      readonly startUs: number
      readonly served: Set<SimMember>
      readonly probed: Set<SimMember>
    }
  ): void {
    const world = this.#world
    const { startUs, served, probed } = run
    const { nowUs } = world.scheduler
    if (others.every((member) => served.has(member))) {
      world.count(`recoveredIn${Math.ceil((nowUs - startUs) / SECOND_US)}s`)
      const isAway = !victim.process && !world.ledger.record?.inSync.includes(victim.id)
      if (world.parameters.returnsSlowly && isAway) this.#awaitSlowReturn(victim, others)
      else this.#awaitProgress(nowUs + PATIENCE_US, new Set())
      return
    }
    if (nowUs - startUs > this.#recoveryUs()) {
      const late = others.filter((member) => !served.has(member)).map(({ id }) => id)
      const what = `${late} do not serve ${(nowUs - startUs) / SECOND_US} s after the death of`
      world.fail(new LivenessError(`${what} ${victim.id}: ${world.describeMembers()}`))
      return
    }
    for (const member of others) {
      if (served.has(member) || probed.has(member)) continue
      const probe = this.#probe(member)
      if (!probe) continue
      probed.add(member)
      const done = probe.then((isServed) => {
        probed.delete(member)
        if (isServed) served.add(member)
      })
      world.background(done)
    }
    world.scheduler.after(POLL_US, () => this.#awaitRecovery(victim, others, run))
  }

  /** Nobody is kept waiting by a member that comes back on a disk that stands still. */
  #awaitSlowReturn(victim: SimNode, others: readonly SimMember[]): void {
    const world = this.#world
    const endUs = world.scheduler.nowUs + SLOW_RETURN_US
    world.note(`${victim.id}: disk stands still`)
    victim.disk.stalledUntilUs = endUs
    world.count('slowReturns')
    let running = others.length
    for (const member of others) {
      this.#keepServing(member, endUs, () => {
        if (--running === 0) this.#awaitProgress(world.scheduler.nowUs + PATIENCE_US, new Set())
      })
    }
  }

  #keepServing(member: SimMember, endUs: number, onEnd: () => void): void {
    const world = this.#world
    const { scheduler } = world
    const limitUs = this.#recoveryUs() + JOINER_US
    let servedUs = scheduler.nowUs
    let isProbed = false
    const look = (): void => {
      if (scheduler.nowUs > endUs) {
        onEnd()
        return
      }
      if (scheduler.nowUs - servedUs > limitUs) {
        const what = `${member.id} does not serve for ${limitUs / SECOND_US} s`
        world.fail(new LivenessError(`${what} for a joiner: ${world.describeMembers()}`))
        return
      }
      const probe = isProbed ? undefined : this.#probe(member)
      if (probe) {
        isProbed = true
        const done = probe.then((isServed) => {
          isProbed = false
          if (isServed) servedUs = scheduler.nowUs
        })
        world.background(done)
      }
      scheduler.after(SERVING_POLL_US, look)
    }
    look()
  }

  #recoveryUs(): number {
    const { delayMaxUs, syncMaxUs, deafens } = this.#world.parameters
    const isSlow = delayMaxUs > 2000 || syncMaxUs > 20_000
    return (
      RECOVERY_US +
      (deafens ? NOTICED_US : 0) +
      (isSlow ? SLOW_STEPS * (delayMaxUs + syncMaxUs) : 0)
    )
  }
}
