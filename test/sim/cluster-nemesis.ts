/** What goes wrong in the simulated cluster, drawn by the seed, one thing after the other. */
import type { MemberId } from '../../src/fs/primitives.ts'
import { KINDS } from './cluster-parameters.ts'
import type { ClusterWorld, SimNode } from './cluster-world.ts'

const SECOND_US = 1_000_000
const TOGETHER_US = 50_000

export class Nemesis {
  readonly #world: ClusterWorld
  readonly #onDone: () => void
  /** Until when two members cannot connect. */
  readonly #cutUntilUs = new Map<string, number>()
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
    const until = this.#cutUntilUs.get(`${a.id}/${b.id}`) ?? 0
    return this.#isAtWork && until > this.#world.scheduler.nowUs
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
    const dice = random.below(11)
    if (dice === 1 && parameters.freezes) this.#freeze(node, spanUs)
    else if (dice === 2 && parameters.leaves) this.#leave(node, spanUs)
    else if (dice === 3 && parameters.diskStalls) this.#stallDisk(node, spanUs)
    else if (dice === 4 && parameters.memberChanges) this.#changeMembers()
    else if (dice === 5 && parameters.partitions) this.#isolate(node, spanUs)
    else if (dice === 10 && parameters.partitions) this.#strand(spanUs)
    else if (dice > 7 && parameters.partitions) this.#split(spanUs)
    else if (dice > 5 && parameters.partitions) this.#cut(spanUs)
    else this.crash(node, parameters.powerCuts && random.chance(0.6), spanUs)
    if (parameters.powerCuts && random.chance(0.1)) {
      for (const other of world.members()) this.crash(other, true, spanUs)
    }
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
    const untilUs = world.scheduler.nowUs + spanUs
    const how = world.random.below(5)
    world.note(`${a.id}/${b.id}: cut ${how} for ${spanUs}`)
    world.count('cuts')
    if (how < 2) {
      const [from, to] = how === 0 ? [a, b] : [b, a]
      for (const kind of KINDS) world.network(kind).stall(from.id, to.id, untilUs)
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
