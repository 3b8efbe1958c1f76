/** What goes wrong in the simulated cluster, drawn by the seed, one thing after the other. */
import type { MemberId } from '../../src/fs/primitives.ts'
import { KINDS } from './cluster-parameters.ts'
import type { ClusterWorld, SimNode } from './cluster-world.ts'

const SECOND_US = 1_000_000
const TOGETHER_US = 50_000
/** Just longer than a lease, and longer than what follows its end. */
const STRAGGLER_BACK_US = [1_500_000, 3_500_000] as const
/** Their place among the faults. */
const FAVOURITES = { strand: 10, straggle: 11 } as const
const FLICKERS_MAX = 4
const FLICKER_US = 400_000
const STRAGGLER_AWAY_US = [3_000_000, 7_000_000] as const

export class Nemesis {
  readonly #world: ClusterWorld
  readonly #onDone: () => void
  /** Until when two members cannot connect. */
  readonly #cutUntilUs = new Map<string, number>()
  /** Until when one hears nobody: a connection takes answers. */
  readonly #deafUntilUs = new Map<SimNode, number>()
  #isAtWork = true

  constructor(world: ClusterWorld, onDone: () => void) {
    this.#world = world
    this.#onDone = onDone
  }

  /** Faults may still happen. */
  get isAtWork(): boolean {
    return this.#isAtWork
  }

  isCut(a: SimNode, b: SimNode): boolean {
    const { nowUs } = this.#world.scheduler
    if ([a, b].some((node) => (this.#deafUntilUs.get(node) ?? 0) > nowUs)) return true
    const until = this.#cutUntilUs.get(`${a.id}/${b.id}`) ?? 0
    return this.#isAtWork && until > nowUs
  }

  begin(steps: number): void {
    const { scheduler, random, parameters } = this.#world
    if (steps === 0) {
      scheduler.after(random.below(8 * SECOND_US), () => {
        this.#isAtWork = false
        this.#onDone()
      })
      return
    }
    this.#one()
    const gapUs = random.chance(parameters.together) ? TOGETHER_US : parameters.faultGapUs
    scheduler.after(random.below(gapUs), () => this.begin(steps - 1))
  }

  crash(node: SimNode, powerCut: boolean, spanUs: number): void {
    const world = this.#world
    world.note(`${node.id}: ${powerCut ? 'power cut' : 'killed'} for ${spanUs}`)
    world.count(powerCut ? 'powerCuts' : 'kills')
    node.kill(powerCut)
    // A machine that loses its power tells nobody; the kernel of a killed process does.
    const silent = powerCut && world.random.chance(0.5)
    if (!silent) world.disconnectAll(node.id)
    this.#bootAfter(node, spanUs)
  }

  /** It is heard by the others and hears nobody. */
  deafen(node: SimNode, spanUs: number): void {
    const world = this.#world
    world.note(`${node.id}: hears nobody for ${spanUs}`)
    world.count('deafened')
    this.#deafUntilUs.set(node, world.scheduler.nowUs + spanUs)
    for (const other of world.nodes()) if (other !== node) this.#stall(other.id, node.id, spanUs)
  }

  #bootAfter(node: SimNode, spanUs: number): void {
    this.#world.scheduler.after(spanUs, () => {
      if (node.process) return
      this.#world.disconnectAll(node.id)
      node.boot()
    })
  }

  #one(): void {
    const world = this.#world
    const { random, parameters } = world
    const node = this.#pick()
    const spanUs = random.below(random.pick([SECOND_US / 2, 4 * SECOND_US, 12 * SECOND_US]))
    const { favourite } = parameters
    const drawn = random.below(12)
    const dice = favourite !== undefined && random.chance(0.5) ? FAVOURITES[favourite] : drawn
    if (dice === 1 && parameters.freezes) this.#freeze(node, spanUs)
    else if (dice === 2 && parameters.leaves) this.#leave(node, spanUs)
    else if (dice === 3 && parameters.diskStalls) this.#stallDisk(node, spanUs)
    else if (dice === 4 && parameters.memberChanges) this.#changeMembers()
    else if (dice === 5 && parameters.partitions) this.#isolate(node, spanUs)
    else if (dice === 10 && parameters.partitions) this.#strand(spanUs)
    else if (dice === 11 && parameters.partitions) this.#straggle(node)
    else if (dice > 7 && parameters.partitions) this.#split(spanUs)
    else if (dice > 5 && parameters.partitions) this.#cut(spanUs)
    else this.crash(node, parameters.powerCuts && random.chance(0.6), spanUs)
    if (parameters.powerCuts && random.chance(0.1)) {
      for (const other of world.members()) this.crash(other, true, spanUs)
    }
  }

  /** One more thing goes wrong in the middle of an epoch change. */
  onSeal(from: MemberId, to: MemberId): void {
    const { random, parameters, scheduler } = this.#world
    if (!this.#isAtWork || !random.chance(parameters.atSeals)) return
    scheduler.after(random.below(random.pick([1000, 50_000, 400_000])), () => {
      if (this.#isAtWork) this.#disturb(from, to)
    })
  }

  #disturb(from: MemberId, to: MemberId): void {
    const world = this.#world
    const { random, parameters } = world
    const nodes = world.nodes()
    const leader = nodes.find(({ id }) => id === from)
    const sealed = nodes.find(({ id }) => id === to)
    if (!leader || !sealed) return
    const spanUs = random.below(2 * SECOND_US)
    const dice = random.below(8)
    world.note(`${from}/${to}: disturbed ${dice} while it is sealed, for ${spanUs}`)
    world.count('disturbed')
    if (dice === 3 && parameters.diskStalls) this.#stallDisk(sealed, spanUs)
    else if (dice === 4) {
      const other = random.pick(nodes)
      if (other !== leader) this.#part(...inOrder(leader, other), random.below(spanUs + 1))
    } else if (dice === 5) this.crash(random.pick([leader, sealed]), parameters.powerCuts, spanUs)
    else if (dice > 5) this.#straggle(leader)
    else {
      if (dice !== 1) this.#stall(from, to, spanUs)
      if (dice !== 2) this.#stall(to, from, spanUs)
    }
  }

  #stall(from: MemberId, to: MemberId, spanUs: number): void {
    const world = this.#world
    const untilUs = world.scheduler.nowUs + spanUs
    for (const kind of KINDS) world.network(kind).stall(from, to, untilUs)
  }

  #pick(): SimNode {
    const world = this.#world
    const { random, parameters } = world
    const nodes = world.nodes()
    const leader = nodes.find(({ id }) => id === world.ledger.record?.authority)
    return leader && random.chance(parameters.aimed) ? leader : random.pick(nodes)
  }

  #freeze(node: SimNode, spanUs: number): void {
    this.#world.note(`${node.id}: frozen for ${spanUs}`)
    this.#world.count('freezes')
    node.process?.freeze(this.#world.scheduler.nowUs + spanUs)
  }

  #leave(node: SimNode, spanUs: number): void {
    this.#world.note(`${node.id}: leaves for ${spanUs}`)
    this.#world.count('leaves')
    node.leave()
    this.#bootAfter(node, spanUs)
    // A stop that takes longer than the pause ends before the member starts again.
    this.#world.scheduler.after(spanUs + 10 * SECOND_US, () => node.boot())
  }

  #stallDisk(node: SimNode, spanUs: number): void {
    this.#world.note(`${node.id}: disk stalls for ${spanUs}`)
    this.#world.count('diskStalls')
    node.disk.stalledUntilUs = this.#world.scheduler.nowUs + spanUs
  }

  #isolate(node: SimNode, spanUs: number): void {
    for (const [a, b] of this.#world.pairs()) {
      if (a === node || b === node) this.#part(a, b, spanUs)
    }
    this.#world.count('isolations')
  }

  /** Cut off, it meets some of the others again while they are about to go on without it. */
  #straggle(node: SimNode): void {
    const world = this.#world
    const { random, parameters, scheduler } = world
    const others = world.nodes().filter((other) => other !== node)
    if (others.length === 0) return
    for (const other of others) {
      const [fromUs, toUs] = random.chance(0.5) ? STRAGGLER_BACK_US : STRAGGLER_AWAY_US
      this.#part(...inOrder(node, other), random.between(fromUs, toUs))
    }
    for (let i = random.below(FLICKERS_MAX); i > 0; i--) {
      scheduler.after(random.between(...STRAGGLER_BACK_US), () => {
        this.#part(...inOrder(node, random.pick(others)), random.below(FLICKER_US))
      })
    }
    // An epoch change takes as long as the slowest disk.
    if (parameters.diskStalls) {
      this.#stallDisk(random.pick(others), random.between(...STRAGGLER_AWAY_US))
    }
    world.note(`${node.id} straggles`)
    world.count('straggled')
  }

  /** In two, anyhow. */
  #split(spanUs: number): void {
    const world = this.#world
    const side = new Set(world.nodes().filter(() => world.random.chance(0.5)))
    for (const [a, b] of world.pairs()) {
      if (side.has(a) !== side.has(b)) this.#part(a, b, spanUs)
    }
    world.note(`${[...side].map(({ id }) => id)} split from the others for ${spanUs}`)
    world.count('splits')
  }

  /** One member reaches the leader alone, which is cut off with it, or stops while it is slow. */
  #strand(anyUs: number): void {
    const world = this.#world
    const { random, parameters, ledger } = world
    const leader = world.members().find(({ id }) => id === ledger.record?.authority)
    const others = world.nodes().filter((node) => node !== leader)
    const lonely = random.pick(world.members().filter((member) => member !== leader))
    if (!leader || !lonely) return
    const stops = parameters.leaves && parameters.diskStalls && random.chance(0.5)
    // Longer than a member that stops waits for the others.
    const spanUs = stops ? 12 * SECOND_US : anyUs
    world.note(`${lonely.id} reaches ${leader.id} alone for ${spanUs}`)
    world.count('stranded')
    for (const other of others) {
      if (other === lonely) continue
      this.#part(...inOrder(lonely, other), spanUs)
      // Who stops still reaches a witness, which can vote for another one.
      if (!stops || world.members().some((m) => m === other)) {
        this.#part(...inOrder(leader, other), spanUs)
      }
    }
    if (!stops) return
    this.#stallDisk(lonely, spanUs)
    world.scheduler.after(random.below(SECOND_US), () => this.#leave(leader, spanUs))
  }

  #cut(spanUs: number): void {
    const world = this.#world
    const [a, b] = world.random.pick(world.pairs())
    const how = world.random.below(5)
    world.note(`${a.id}/${b.id}: cut ${how} for ${spanUs}`)
    world.count('cuts')
    if (how < 2) {
      const [from, to] = how === 0 ? [a, b] : [b, a]
      this.#stall(from.id, to.id, spanUs)
    } else if (how === 2) {
      world.network(world.random.pick(KINDS)).disconnect(a.id, b.id)
    } else this.#part(a, b, spanUs)
  }

  #part(a: SimNode, b: SimNode, spanUs: number): void {
    const world = this.#world
    this.#cutUntilUs.set(`${a.id}/${b.id}`, world.scheduler.nowUs + spanUs)
    for (const kind of KINDS) world.network(kind).disconnect(a.id, b.id)
  }

  /** As an administrator would, on a member that serves; it may be refused or come to nothing. */
  #changeMembers(): void {
    const world = this.#world
    const { random } = world
    const asked = random.pick(world.members())
    const { replica, process } = asked
    if (!replica || !process || !asked.isLive) return
    const { members, nextMemberId } = replica.record
    const data = members.filter((m) => m.role === 'data')
    const dice = random.below(3)
    const change = (() => {
      if (dice === 0 && data.length > 2) {
        return { kind: 'remove', id: random.pick(data).id } as const
      }
      if (dice === 1 && data.length < 5) {
        const id = nextMemberId as MemberId
        const publicKey = id.toString(16).padStart(64, '0')
        const addresses = ['127.0.0.1:1']
        const info = { id, name: `m${id}`, publicKey, addresses, role: 'data' } as const
        return { kind: 'add', member: info } as const
      }
      if (random.chance(0.3)) return { kind: 'tie-breaker' } as const
      return { kind: 'tie-breaker', id: random.pick(data).id } as const
    })()
    world.note(`${asked.id}: asks for ${JSON.stringify(change)}`)
    world.count('memberChanges')
    const made = replica.changeMembers(change).catch((error: unknown) => {
      world.note(`${asked.id}: ${error instanceof Error ? error.message : error}`)
    })
    world.background(made, process)
  }
}

/** Pairs are named by the lower number first. */
function inOrder(a: SimNode, b: SimNode): [SimNode, SimNode] {
  return a.id < b.id ? [a, b] : [b, a]
}
