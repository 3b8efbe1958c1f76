/**
 * The lock protocol in a simulated cluster: real nodes over bytes, their processes, faults, epochs
 * with changing authorities, and the end of all faults, after which every wait must end. One seed
 * draws everything, parameters too.
 */
import { FsError } from '../../src/fs/errno.ts'
import type { Clock } from '../../src/fs/ports/clock.ts'
import { LOCK_END, type LockRequest } from '../../src/fs/ports/lock-service.ts'
import type { Epoch, Ino, MemberId } from '../../src/fs/primitives.ts'
import { decodeLockPacket, encodeLockPacket } from '../../src/replication/lock/lock-codec.ts'
import { LockNode } from '../../src/replication/lock/lock-node.ts'
import { BYTES, LockSafetyError, LocksChecker, SimOwner, type SimRequest } from './locks-checker.ts'
import type { LockMutation } from './locks-mutation.ts'
import { SimReservations } from './locks-reservations.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { Trace } from './trace.ts'

export class LockLivenessError extends Error {
  override name = 'LockLivenessError'
}

const PATIENCE_US = 30_000_000
const EVENTS_MAX = 400_000

interface Packet {
  readonly epoch: Epoch
  readonly body: Buffer
}

interface SimNode {
  readonly id: number
  readonly node: LockNode
  readonly tokens: SimReservations
  readonly incarnation: number
  epoch: number
  dead: boolean
  isolated: boolean
  frozenUntilUs: number
}

interface Process {
  readonly owner: SimOwner
  readonly lockOwner: bigint
  readonly home: SimNode
  busySinceUs: number
  interrupt: AbortController | undefined
  interrupted: boolean
  /** Gives up all it has before it asks again. */
  retreats: boolean
}

export function drawLockParameters(random: Random) {
  return {
    members: random.between(2, 5),
    processes: random.between(1, 4),
    inodes: random.between(1, 4),
    delayMaxUs: random.pick([50, 500, 5000]),
    holdMaxUs: random.pick([20, 2000, 200_000]),
    thinkMaxUs: random.pick([20, 2000, 50_000]),
    nesting: random.pick([1, 2, 4]),
    flockChance: random.pick([0, 0.2, 0.5]),
    waitChance: random.pick([0.3, 0.7, 1]),
    interruptChance: random.pick([0, 0, 0.1, 0.4]),
    delegationsMax: random.pick([0, 1, 1000]),
    sharedMax: random.pick([0, 1, 1000]),
    aloneRequests: random.pick([1, 2, 8]),
    faultGapUs: random.pick([0, 5000, 50_000]),
    crashes: random.chance(0.6)
  }
}

export class LocksWorld {
  readonly scheduler = new Scheduler()
  readonly random: Random
  readonly parameters: ReturnType<typeof drawLockParameters>
  readonly checker = new LocksChecker()
  readonly counters = {
    grants: 0,
    again: 0,
    deadlocks: 0,
    interrupted: 0,
    epochs: 0,
    crashes: 0,
    cuts: 0,
    isolations: 0,
    delegates: 0,
    recalls: 0,
    brought: 0
  }
  readonly #mutation: LockMutation
  readonly #trace: Trace
  readonly #network: Network<Packet>
  readonly #nodes = new Map<number, SimNode>()
  readonly #processes = new Set<Process>()
  #epoch = 0
  #incarnation = 0
  #entering = 0
  #opsLeft: number
  readonly #opsCalm: number
  #faults = true
  #calmSinceUs = 0
  #lastOwner = 0
  #failure: Error | undefined

  constructor(options: {
    seed: number
    steps: number
    mutation: LockMutation
    keepLines?: number
  }) {
    this.random = new Random(options.seed)
    this.parameters = drawLockParameters(this.random)
    this.#mutation = options.mutation
    this.#trace = new Trace(options.keepLines ?? 0)
    this.#opsLeft = options.steps
    this.#opsCalm = Math.floor(options.steps * 0.3)
    this.#network = new Network(
      {
        scheduler: this.scheduler,
        random: this.random,
        handlers: {
          frozenUntilUs: (id) => this.#nodes.get(id)?.frozenUntilUs ?? 0,
          onPacket: (from, to, { epoch, body }) => {
            const node = this.#nodes.get(to)
            if (node === undefined || node.dead) return
            const as = this.#mutation.crossEpochs ? (node.epoch as Epoch) : epoch
            node.node.receive(from as MemberId, as, body)
          },
          onConnected: (id, peer) => this.#nodes.get(id)?.node.peerConnected(peer as MemberId),
          onDisconnected: (id, peer) => {
            this.#nodes.get(id)?.node.peerDisconnected(peer as MemberId)
          }
        }
      },
      this.parameters
    )
    for (let id = 1; id <= this.parameters.members; id++) this.#nodes.set(id, this.#makeNode(id))
  }

  trace(line: string): void {
    this.#trace.add(`${this.scheduler.nowUs} ${line}`)
  }

  get lines(): readonly string[] {
    return this.#trace.lines
  }

  get hash(): string {
    return this.#trace.hash
  }

  async run(): Promise<void> {
    this.#connectAll()
    this.#startEpoch()
    this.#planFault()
    let events = 0
    while (this.scheduler.runNext()) {
      // Promises of the nodes resolve here, before time goes on.
      for (let i = 0; i < 6; i++) await undefined
      if (this.#failure !== undefined) throw this.#failure
      if (++events > EVENTS_MAX) throw new LockLivenessError(`no end after ${events} events`)
      if (events % 64 === 0) this.#checkPatience()
    }
    if (this.#failure !== undefined) throw this.#failure
    for (const process of this.#processes) {
      if (process.owner.request !== undefined) {
        throw new LockLivenessError(`${process.owner.name} waits for ever`)
      }
    }
    await this.#checkEnd()
    for (const { tokens } of this.#living()) tokens.checkEnd()
  }

  // Nodes and epochs

  #makeNode(id: number): SimNode {
    const clock: Clock = {
      wall: () => ({ sec: 0, nsec: 0 }),
      monotonicMs: () => this.scheduler.nowUs / 1000 + id * 1000,
      setTimer: (delayMs, fn) => {
        let cancelled = false
        this.scheduler.after(delayMs * 1000, () => {
          if (!cancelled && !sim.dead) this.#guarded(fn)
        })
        return {
          cancel: () => {
            cancelled = true
          }
        }
      }
    }
    const { delegationsMax, sharedMax, aloneRequests } = this.parameters
    const tokens = new SimReservations(this.random)
    const sim: SimNode = {
      id,
      tokens,
      incarnation: ++this.#incarnation,
      epoch: 0,
      dead: false,
      isolated: false,
      frozenUntilUs: 0,
      node: new LockNode(
        {
          clock,
          tokens: {
            reserve: () => (this.#mutation.tokens ? tokens.reserve(sim.epoch) : undefined),
            settleReserved: (request, coming) => {
              tokens.settle(request, coming)
              if (coming) this.counters.brought++
            },
            bring: (member, epoch, request) => {
              const asker = this.#nodes.get(member)
              if (asker?.epoch === epoch) asker.tokens.make(epoch, request)
            }
          },
          sendPacket: (to, epoch, body) => this.#transmit(sim, to, epoch, body),
          onLost: (locks) => {
            for (const lost of locks) {
              this.trace(`m${id} lost ${lost.ino} ${lost.owner}`)
              for (const { lockOwner, owner, home } of this.#processes) {
                if (home === sim && lockOwner === lost.owner) owner.lost(lost.ino, lost.kind)
              }
            }
          },
          onViolation: (member, reason) => {
            this.#failure ??= new LockSafetyError(`m${id} about m${member}: ${reason}`)
          }
        },
        { member: id as MemberId, delegationsMax, sharedMax, aloneRequests }
      )
    }
    return sim
  }

  #transmit(sim: SimNode, to: number, epoch: Epoch, body: Buffer): void {
    if (sim.dead) return
    let packet = decodeLockPacket(body)
    if (packet.type === 'data') {
      const { type } = packet.message
      if (type === 'delegate') this.counters.delegates++
      if (type === 'recall') this.counters.recalls++
      const { message: mutate } = this.#mutation
      const message = mutate === undefined ? packet.message : mutate(packet.message)
      if (message === undefined) return
      packet = { ...packet, message }
      this.trace(`m${sim.id}>m${to} e${epoch} ${type}`)
    }
    this.#network.send(sim.id, to, { epoch, body: encodeLockPacket(packet) })
  }

  #guarded(fn: () => void): void {
    try {
      fn()
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error))
    }
  }

  #living(): SimNode[] {
    return [...this.#nodes.values()].filter((node) => !node.dead)
  }

  #connectAll(): void {
    const ids = this.#living().map((node) => node.id)
    for (const a of ids) for (const b of ids) if (a < b) this.#network.connect(a, b)
  }

  #kill(sim: SimNode, ends: boolean): void {
    this.trace(`m${sim.id} dies`)
    this.counters.crashes++
    this.#leaveGhosts(sim)
    for (const process of this.#processes) {
      if (process.home !== sim) continue
      this.#processes.delete(process)
      this.checker.owners.delete(process.owner.name)
    }
    if (ends) sim.node.end()
    sim.dead = true
    for (const peer of this.#nodes.keys()) {
      if (peer !== sim.id) this.#network.disconnect(sim.id, peer)
    }
    this.#changeEpoch()
  }

  #leaveGhosts(sim: SimNode): void {
    for (const { home, owner } of this.#processes) {
      if (home === sim) this.checker.ghosts.push(owner.ghost())
    }
  }

  /** The dead are gone before anybody enters the next epoch; the living enter it one by one. */
  #changeEpoch(): void {
    this.#entering++
    this.scheduler.after(this.random.below(20_000), () => {
      this.#entering--
      for (const [id, sim] of this.#nodes) {
        if (sim.dead && (!this.#faults || this.random.chance(0.7))) {
          this.#nodes.set(id, this.#makeNode(id))
        }
      }
      this.#connectAll()
      this.#startEpoch()
    })
  }

  #startEpoch(): void {
    const epoch = ++this.#epoch as Epoch
    this.counters.epochs++
    const living = this.#living()
    const members = living.map((sim) => sim.id as MemberId)
    const authority = this.random.pick(members)
    this.trace(`epoch ${epoch} of ${members} led by m${authority}`)
    this.#entering += living.length
    for (const sim of living) {
      this.scheduler.after(this.random.below(this.parameters.delayMaxUs * 2), () => {
        this.#entering--
        if (this.#entering === 0) this.checker.ghosts = []
        if (sim.dead) return
        this.trace(`m${sim.id} enters ${epoch}`)
        sim.isolated = false
        sim.epoch = epoch
        this.#guarded(() => sim.node.startEpoch({ epoch, authority, members }))
        this.#startProcesses(sim)
        if (this.#entering === 0 && !this.#faults) this.#endFaults()
      })
    }
  }

  // Faults

  #planFault(): void {
    if (this.parameters.faultGapUs === 0) return
    this.scheduler.after(this.random.below(this.parameters.faultGapUs * 2), () => {
      if (!this.#faults) return
      this.#guarded(() => this.#fault())
      this.#planFault()
    })
  }

  #fault(): void {
    const living = this.#living()
    const sim = this.random.pick(living)
    const other = this.random.pick(living)
    const kind = this.random.below(12)
    if (kind <= 1) {
      if (!this.parameters.crashes || this.#entering > 0) return
      if (living.length > 1 && kind === 0) this.#kill(sim, this.random.chance(0.3))
      else this.#changeEpoch()
    } else if (kind === 2) {
      if (!this.parameters.crashes || this.#entering > 0) return
      this.counters.isolations++
      this.trace(`m${sim.id} isolated`)
      this.#leaveGhosts(sim)
      sim.isolated = true
      sim.node.isolate()
      this.#changeEpoch()
    } else if (kind <= 5) {
      sim.frozenUntilUs = this.scheduler.nowUs + this.random.below(30_000)
    } else if (sim !== other) {
      this.counters.cuts++
      this.#network.disconnect(sim.id, other.id)
      this.scheduler.after(this.random.below(10_000), () => {
        if (!sim.dead && !other.dead) this.#network.connect(sim.id, other.id)
      })
    }
  }

  #endFaults(): void {
    this.#faults = false
    if (this.#entering > 0) return
    if ([...this.#nodes.values()].some((sim) => sim.dead)) {
      this.#changeEpoch()
      return
    }
    this.#calmSinceUs = this.scheduler.nowUs
    this.#connectAll()
  }

  #checkPatience(): void {
    if (this.#calmSinceUs === 0) return
    for (const { owner, busySinceUs } of this.#processes) {
      if (owner.request === undefined) continue
      const waitedUs = this.scheduler.nowUs - Math.max(busySinceUs, this.#calmSinceUs)
      if (waitedUs > PATIENCE_US) throw new LockLivenessError(`${owner.name} waits for ever`)
    }
  }

  // Processes

  #startProcesses(sim: SimNode): void {
    let count = 0
    for (const process of this.#processes) if (process.home === sim) count++
    for (; count < this.parameters.processes; count++) {
      const lockOwner = BigInt(++this.#lastOwner)
      const owner = new SimOwner(`${sim.id}.${sim.incarnation}.${lockOwner}`, sim.id)
      const home = sim
      const process: Process = {
        owner,
        lockOwner,
        home,
        busySinceUs: 0,
        interrupt: undefined,
        interrupted: false,
        retreats: false
      }
      this.#processes.add(process)
      this.checker.owners.set(owner.name, owner)
      this.#think(process)
    }
  }

  #isAlive(process: Process): boolean {
    return this.#processes.has(process)
  }

  #think(process: Process): void {
    if (this.#faults && this.#opsLeft <= this.#opsCalm) this.#endFaults()
    this.scheduler.after(this.random.below(this.parameters.thinkMaxUs), () => {
      if (this.#isAlive(process)) this.#guarded(() => this.#next(process))
    })
  }

  /** Locks up to so many ranges, then gives all up, in one of several ways. */
  #next(process: Process): void {
    if (this.#opsLeft-- <= 0) {
      this.#windDown(process)
      return
    }
    const { random } = this
    const held = process.owner.holdsAnything
    if (!held) process.retreats = false
    if (held && (process.retreats || random.chance(1 / this.parameters.nesting))) {
      process.retreats = process.retreats || random.chance(0.5)
      this.#giveUp(process)
      return
    }
    this.#request(process, this.#drawRequest(process))
  }

  /** Nothing new is asked for; what is held is given up while somebody waits, some of it stays. */
  #windDown(process: Process): void {
    if (!process.owner.holdsAnything) return
    const isWaiting = [...this.#processes].some(({ owner }) => owner.request !== undefined)
    if (!isWaiting && this.random.chance(0.5)) return
    this.#giveUp(process)
  }

  #drawRequest({ owner }: Process): SimRequest {
    const { random, parameters } = this
    const ino = (100 + random.below(parameters.inodes)) as Ino
    const kind = random.chance(parameters.flockChance) ? 'flock' : 'record'
    const type = random.pick(['read', 'write', 'write'] as const)
    const holdsFlock = [...owner.holds].some(
      ([key, bytes]) => key.startsWith('flock') && bytes.some((level) => level > 0)
    )
    const wait = random.chance(parameters.waitChance)
    if (kind === 'flock') {
      // A circle through flocks is nobody's to see: who waits for one holds nothing.
      const action = wait && !owner.holdsAnything ? 'wait' : 'try'
      return { ino, kind, type, start: 0, end: BYTES - 1, action }
    }
    const a = random.below(BYTES)
    const b = random.below(BYTES)
    const [start, end] = a < b ? [a, b] : [b, a]
    const action = wait && !holdsFlock ? 'wait' : 'try'
    return { ino, kind, type, start, end, action }
  }

  #giveUp(process: Process): void {
    const { random } = this
    const { owner, home, lockOwner } = process
    const held = [...owner.holds].filter(([, bytes]) => bytes.some((level) => level > 0))
    const [key] = random.pick(held)
    const kind = key.startsWith('flock') ? 'flock' : 'record'
    const ino = Number(key.slice(kind.length)) as Ino
    const whole = kind === 'flock' || random.chance(0.5)
    const start = whole ? 0 : random.below(BYTES)
    const end = whole ? BYTES - 1 : random.between(start, BYTES - 1)
    const request: SimRequest = { ino, kind, type: 'unlock', start, end, action: 'try' }
    if (whole && random.chance(0.5)) {
      this.#begin(process, request)
      const done = home.node.releaseOwner(ino, lockOwner, kind)
      this.#await(process, done)
    } else {
      this.#request(process, request)
    }
  }

  #begin(process: Process, request: SimRequest): void {
    const { owner } = process
    process.busySinceUs = this.scheduler.nowUs
    process.interrupted = false
    owner.ask(request)
    this.checker.asked(owner)
    this.trace(`${owner.name} asks ${JSON.stringify(request)}`)
  }

  #request(process: Process, request: SimRequest): void {
    const { random } = this
    this.#begin(process, request)
    process.interrupt = new AbortController()
    const { signal } = process.interrupt
    if (request.type !== 'unlock' && random.chance(this.parameters.interruptChance)) {
      const controller = process.interrupt
      this.scheduler.after(random.below(this.parameters.delayMaxUs * 4), () => {
        if (process.interrupt !== controller) return
        process.interrupted = true
        this.#guarded(() => controller.abort())
      })
    }
    const { ino, kind, type, start, end, action } = request
    const wire: LockRequest = {
      kind,
      type,
      start: BigInt(start),
      // The last byte stands for all that follow, too.
      end: end === BYTES - 1 ? LOCK_END : BigInt(end),
      owner: process.lockOwner,
      pid: Number(process.lockOwner)
    }
    let done: void | Promise<void>
    try {
      const token = { ino, mode: 'exclusive', range: { start: 0, end: 1 } } as const
      done = process.home.node.setlk(ino, wire, { wait: action === 'wait', signal, token })
    } catch (error) {
      this.#settled(process, error)
      return
    }
    this.#await(process, done)
  }

  #await(process: Process, done: void | Promise<void>): void {
    if (!(done instanceof Promise)) {
      this.#settled(process, undefined)
      return
    }
    done.then(
      () => this.#guarded(() => this.#settled(process, undefined)),
      (error: unknown) => this.#guarded(() => this.#settled(process, error))
    )
  }

  #settled(process: Process, error: unknown): void {
    if (!this.#isAlive(process)) return
    const { owner } = process
    const { request } = owner
    if (request === undefined) throw new LockSafetyError(`${owner.name} is answered twice`)
    process.interrupt = undefined
    this.trace(`${owner.name} ${error === undefined ? 'granted' : String(error)}`)
    if (error === undefined) {
      this.counters.grants++
      owner.granted()
    } else {
      this.#refused(process, request, error)
      owner.refused()
    }
    this.checker.checkExclusive(owner, request.ino, request.kind)
    const pause = owner.holdsAnything ? this.parameters.holdMaxUs : this.parameters.thinkMaxUs
    if (this.#faults && this.#opsLeft <= this.#opsCalm) this.#endFaults()
    this.scheduler.after(this.random.below(pause), () => {
      if (this.#isAlive(process)) this.#guarded(() => this.#next(process))
    })
  }

  #refused(process: Process, request: SimRequest, error: unknown): void {
    const { owner, home } = process
    const code = error instanceof FsError ? error.code : 'unknown'
    if (request.type === 'unlock') throw new LockSafetyError(`an unlock failed: ${String(error)}`)
    switch (code) {
      case 'EAGAIN':
        this.counters.again++
        if (request.action === 'wait') throw new LockSafetyError('EAGAIN to one who waits')
        if (!owner.explained) throw new LockSafetyError(`${owner.name}: EAGAIN without a conflict`)
        break
      case 'EDEADLK':
        this.counters.deadlocks++
        process.retreats = true
        if (request.action !== 'wait') throw new LockSafetyError('EDEADLK to a try')
        // An interrupt may have ended the circle after it was found.
        if (this.parameters.interruptChance === 0 && this.checker.ghosts.length === 0) {
          if (this.parameters.crashes && this.#faults) break
          if (!this.checker.isDeadlocked(owner)) {
            throw new LockSafetyError(`${owner.name}: EDEADLK without a deadlock`)
          }
        }
        break
      case 'EINTR':
        this.counters.interrupted++
        if (!process.interrupted) throw new LockSafetyError('EINTR without an interrupt')
        break
      case 'EIO':
        if (!home.isolated) throw new LockSafetyError('EIO without isolation')
        break
      default:
        throw error
    }
  }

  // The end

  /** Every member sees exactly what is held, by queries of a stranger. */
  async #checkEnd(): Promise<void> {
    for (const sim of this.#living()) {
      for (let i = 0; i < this.parameters.inodes; i++) {
        for (const kind of ['record', 'flock'] as const) {
          for (let byte = 0; byte < (kind === 'flock' ? 1 : BYTES); byte++) {
            await this.#checkByte(sim, (100 + i) as Ino, kind, byte)
          }
        }
      }
    }
  }

  async #checkByte(sim: SimNode, ino: Ino, kind: 'record' | 'flock', byte: number): Promise<void> {
    const start = kind === 'flock' ? 0n : BigInt(byte)
    const end = kind === 'flock' ? LOCK_END : BigInt(byte)
    const request = { kind, type: 'write', start, end, owner: 999_999n, pid: 1 } as const
    const answer = sim.node.getlk(ino, request)
    let found: Awaited<typeof answer>
    if (answer instanceof Promise) {
      let done = false
      answer.then(
        (value) => {
          found = value
          done = true
        },
        (error: unknown) => {
          this.#failure ??= error instanceof Error ? error : new Error(String(error))
        }
      )
      while (!done) {
        if (!this.scheduler.runNext()) throw new LockLivenessError('a query is never answered')
        for (let i = 0; i < 6; i++) await undefined
        if (this.#failure !== undefined) throw this.#failure
      }
    } else {
      found = answer
    }
    const holders = this.checker.holdersOf(ino, kind, byte)
    if (found === undefined && holders.length > 0) {
      throw new LockSafetyError(`m${sim.id}: lost lock of ${holders[0]?.name} on ${kind} ${ino}`)
    }
    if (found === undefined) return
    const { member, pid } = found
    const match = holders.some((o) => o.member === member && o.name.endsWith(`.${pid}`))
    if (!match) {
      throw new LockSafetyError(
        `m${sim.id}: ${kind} ${ino} byte ${byte} leaked by ${member}/${pid}`
      )
    }
  }
}

export async function runLocks(
  seed: number,
  steps: number,
  mutation: LockMutation = { name: 'unchanged', tokens: true },
  keepLines = 0
): Promise<{ readonly world: LocksWorld; readonly error: Error | undefined }> {
  const world = new LocksWorld({ seed, steps, mutation, keepLines })
  try {
    await world.run()
    return { world, error: undefined }
  } catch (error) {
    return { world, error: error instanceof Error ? error : new Error(String(error)) }
  }
}
