/** One simulated member: the real token cores around a toy replica, driven by virtual time. */
import type { ByteRange, TokenWant } from '../../src/fs/ports/token-service.ts'
import type { Epoch, Ino, MemberId, WriterId } from '../../src/fs/primitives.ts'
import { TokenAuthority } from '../../src/replication/token/token-authority.ts'
import type { AuthorityEffect } from '../../src/replication/token/token-authority-events.ts'
import { TokenClient } from '../../src/replication/token/token-client.ts'
import type { ClientEffect } from '../../src/replication/token/token-client-events.ts'
import { type LinkEvent, TokenLink } from '../../src/replication/token/token-link.ts'
import {
  type EpochPacket,
  isToAuthority,
  type ToAuthority,
  type TokenMessage
} from '../../src/replication/token/token-message.ts'
import { type Vector, vectorCovers } from '../../src/replication/vector.ts'
import { SafetyError } from './tokens-checker.ts'
import { ToyReplica, type Value } from './tokens-register.ts'
import type { TokensWorld } from './tokens-world.ts'

export const AUTHORITY = 1

export class SimMember {
  readonly id: number
  readonly #world: TokensWorld
  readonly replica: ToyReplica
  readonly client: TokenClient
  authority: TokenAuthority | undefined
  dead = false
  /** In the current epoch, not sealed. */
  serving = false
  frozenUntilUs = 0
  readonly links = new Map<number, TokenLink>()
  readonly #waiters = new Map<number, { resolve: () => void; fail: () => void }>()
  readonly #queries = new Map<number, (fresh: boolean) => void>()
  readonly #cache = new Map<Ino, Map<number, Value>>()
  #waitingApplied: { task: number; vector: Vector }[] = []
  readonly #effects: (() => void)[] = []
  #running = false
  #lastWaiter = 0
  #closing = false
  #applying = false
  /** Last grant number sent for each inode, for the mutation that ignores them. */
  readonly #grants = new Map<Ino, number>()

  constructor(world: TokensWorld, id: number, writer: WriterId, like?: ToyReplica) {
    this.#world = world
    this.id = id
    this.replica = new ToyReplica(world.ledger, writer, like)
    this.client = new TokenClient({
      minHoldMs: world.parameters.minHoldMs,
      heldMax: world.parameters.heldMax,
      ownedMax: world.parameters.ownedMax,
      isDirectory: (ino) => !world.mutation.keepOwnership && world.isDirectory(ino)
    })
  }

  /** Later on this member: not when it is dead, not before a freeze is over. */
  after(delayUs: number, run: () => void): void {
    this.#world.scheduler.after(delayUs, () => {
      if (this.dead) return
      const frozenUs = this.frozenUntilUs - this.#world.scheduler.nowUs
      if (frozenUs > 0) this.after(frozenUs, run)
      else run()
    })
  }

  get #nowMs(): number {
    return this.#world.scheduler.nowUs / 1000
  }

  // Tokens

  /** Calls `got` with the guard or `lost` when the wait fails; returns a function that interrupts. */
  acquire(wants: readonly TokenWant[], got: () => void, lost: () => void): () => void {
    if (this.client.tryAcquire(wants)) {
      this.#taken(wants)
      got()
      return () => {}
    }
    const id = ++this.#lastWaiter
    const resolve = () => {
      this.#taken(wants)
      // The process goes on in a later turn of the event loop.
      this.after(1, got)
    }
    this.#waiters.set(id, { resolve, fail: lost })
    const ahead = this.client.isContended(wants) ? this.#world.files : []
    this.#run(this.client.step({ type: 'acquire', waiter: id, wants, ahead }))
    return () => {
      if (!this.#waiters.delete(id)) return
      this.#world.counters.cancelled++
      this.#run(this.client.step({ type: 'cancel', waiter: id }))
      lost()
    }
  }

  #taken(wants: readonly TokenWant[]): void {
    this.#world.checker.guardTaken(this.id, wants)
    const forgotten = wants.filter((want) => want.mode === this.#world.mutation.forgetGuards)
    if (forgotten.length > 0) this.#run(this.client.release(forgotten))
  }

  release(wants: readonly TokenWant[]): void {
    this.#world.checker.guardEnded(this.id, wants)
    const counted = wants.filter((want) => want.mode !== this.#world.mutation.forgetGuards)
    this.#run(this.client.step({ type: 'release', wants: counted }))
  }

  /** False when the token is the better way. */
  query(ino: Ino, done: (fresh: boolean) => void): boolean {
    const request = this.client.ask(ino)
    if (request === undefined) return false
    this.#queries.set(request, done)
    this.#run(this.client.step({ type: 'query', request, ino }))
    return true
  }

  giveUp(ino: Ino, range: ByteRange): void {
    this.#run(this.client.step({ type: 'give-up', ino, range }))
  }

  settleReserved(request: number, coming: boolean): void {
    this.#run(this.client.step({ type: 'reserved', request, coming }))
  }

  /** At the authority: a lock of that member is granted. */
  bring(member: number, request: number, want: TokenWant): void {
    this.#stepAuthority(member, { type: 'want', request, wants: [want] })
  }

  own(ino: Ino): void {
    this.#run(this.client.step({ type: 'own', ino }))
  }

  // Data

  read(ino: Ino, page = 0): Value {
    const value = this.replica.read(ino, page)
    this.#world.checker.read(this.id, { ino, page }, value, 'reads')
    const pages = this.#cache.get(ino) ?? new Map<number, Value>()
    this.#cache.set(ino, pages.set(page, value))
    return value
  }

  /** What the kernel would answer without asking. */
  readCached(ino: Ino): void {
    if (!this.serving) return
    for (const [page, value] of this.#cache.get(ino) ?? []) {
      this.#world.counters.cachedReads++
      this.#world.checker.read(this.id, { ino, page }, value, 'has cached of')
    }
  }

  write(ino: Ino, children: readonly Ino[], page = 0): void {
    const value = { id: this.#world.nextValue(), children }
    this.replica.write(ino, page, value)
    if (this.#cache.get(ino)?.has(page)) this.#cache.get(ino)?.set(page, value)
    this.#gather()
  }

  resize(ino: Ino, pages: number, grows: boolean): void {
    this.replica.resize(ino, pages, grows)
    this.#gather()
  }

  #gather(): void {
    if (this.#closing) return
    this.#closing = true
    this.after(this.#world.random.below(this.#world.parameters.gatherMaxUs), () => {
      this.#closing = false
      this.closeEntry()
    })
  }

  closeEntry(): void {
    const entry = this.replica.close()
    if (entry !== undefined) this.#world.publish(this.id, entry)
  }

  startApplying(): void {
    if (this.#applying) return
    this.#applying = true
    this.after(this.#world.random.below(this.#world.parameters.applyMaxUs), () => {
      this.#applying = false
      if (this.replica.applyOne()) this.startApplying()
      this.#checkApplied()
    })
  }

  #checkApplied(): void {
    const waiting = this.#waitingApplied
    this.#waitingApplied = []
    for (const { task, vector } of waiting) {
      if (vectorCovers(this.replica.applied, vector)) {
        this.#run(this.client.step({ type: 'applied', task, nowMs: this.#nowMs }))
      } else {
        this.#waitingApplied.push({ task, vector })
      }
    }
  }

  // Epochs

  seal(): void {
    this.serving = false
    this.#run(this.client.step({ type: 'seal' }))
  }

  startEpoch(epoch: Epoch, members: readonly number[]): void {
    this.#cache.clear()
    this.#waitingApplied = []
    this.serving = true
    const peers = this.id === AUTHORITY ? members.filter((id) => id !== AUTHORITY) : [AUTHORITY]
    for (const id of this.links.keys()) if (!peers.includes(id)) this.links.delete(id)
    for (const id of peers) {
      if (!this.links.has(id)) {
        this.links.set(id, new TokenLink())
        if (this.#world.tokenNetwork.isConnected(this.id, id)) {
          this.stepLink(id, { type: 'connected' })
        }
      }
      this.stepLink(id, { type: 'epoch', epoch })
    }
    if (this.id === AUTHORITY) {
      this.authority = new TokenAuthority(this.#world.parameters)
      this.#grants.clear()
      this.authority.step({ type: 'epoch', members: members as readonly MemberId[] })
    }
    this.#run(this.client.step({ type: 'epoch' }))
  }

  die(isolated: boolean): void {
    if (isolated) {
      this.#run(this.client.step({ type: 'isolate' }))
      if (this.#waiters.size > 0) throw new SafetyError(`m${this.id} isolated with waiters`)
    }
    this.dead = true
    this.serving = false
    this.#world.checker.memberGone(this.id)
  }

  // Messages

  stepLink(peer: number, event: LinkEvent): void {
    const link = this.links.get(peer)
    if (link === undefined) return
    for (const effect of link.step(event)) {
      switch (effect.type) {
        case 'transmit':
          this.#world.tokenNetwork.send(this.id, peer, {
            epoch: effect.epoch,
            packet: effect.packet
          })
          break
        case 'deliver':
          this.deliver(peer, effect.message)
          break
        case 'violation':
          throw new SafetyError(`m${this.id} accuses m${peer}: ${effect.reason}`)
      }
    }
  }

  receive(from: number, packet: EpochPacket, stale: boolean): void {
    if (stale && this.#world.mutation.crossEpochs && packet.packet.type === 'data') {
      this.deliver(from, packet.packet.message)
    }
    this.stepLink(from, { ...packet, type: 'packet' })
  }

  deliver(from: number, message: TokenMessage): void {
    if (isToAuthority(message)) this.#stepAuthority(from, message)
    else this.#run(this.client.step({ type: 'message', message, nowMs: this.#nowMs }))
  }

  #stepAuthority(from: number, sent: ToAuthority): void {
    const authority = this.authority
    if (authority === undefined) return
    let message = sent
    if (message.type === 'release' && this.#world.mutation.anyGrantNumber) {
      const items = message.items.map((item) => ({
        ...item,
        grant: this.#grants.get(item.ino) ?? item.grant
      }))
      message = { ...message, items }
    }
    const member = from as MemberId
    if (message.type === 'note-ack' && this.#world.mutation.ackNotesAtOnce) return
    this.#enqueue(authority.step({ type: 'message', from: member, message }), (effect) =>
      this.#executeAuthority(effect)
    )
  }

  #executeAuthority(effect: AuthorityEffect): void {
    if (effect.type === 'violation') {
      throw new SafetyError(`the authority accuses m${effect.member}: ${effect.reason}`)
    }
    const { mutation } = this.#world
    const message = mutation.toClient ? mutation.toClient(effect.message) : effect.message
    if (message === undefined) return
    this.#world.trace(`${effect.to} ${JSON.stringify(message, mapAsArray)}`)
    this.#world.counters[message.type]++
    if (message.type === 'grant') {
      for (const { ino, grant } of message.items) if (grant > 0) this.#grants.set(ino, grant)
    }
    if (effect.to === this.id) {
      this.#run(this.client.step({ type: 'message', message, nowMs: this.#nowMs }))
    } else {
      this.stepLink(effect.to, { type: 'send', message })
    }
    if (message.type === 'note' && mutation.ackNotesAtOnce) {
      const ack = { type: 'note-ack', number: message.number } as const
      const event = { type: 'message', from: effect.to, message: ack } as const
      this.#enqueue(this.authority?.step(event) ?? [], (next) => this.#executeAuthority(next))
    }
  }

  // Effects

  #run(effects: readonly ClientEffect[]): void {
    this.#enqueue(effects, (effect) => this.#execute(effect))
  }

  #enqueue<T>(effects: readonly T[], execute: (effect: T) => void): void {
    for (const effect of effects) this.#effects.push(() => execute(effect))
    if (this.#running) return
    this.#running = true
    for (let next = this.#effects.shift(); next; next = this.#effects.shift()) next()
    this.#running = false
  }

  #execute(effect: ClientEffect): void {
    const { mutation, random, parameters } = this.#world
    switch (effect.type) {
      case 'send':
        this.#sendToAuthority(effect.message)
        break
      case 'acquired':
        this.#settleWaiter(effect.waiter, 'resolve')
        break
      case 'failed':
        this.#settleWaiter(effect.waiter, 'fail')
        break
      case 'asked': {
        const { request, fresh } = effect
        const done = this.#queries.get(request)
        if (done === undefined) throw new SafetyError(`m${this.id}: unknown query ${request}`)
        this.#queries.delete(request)
        done(fresh)
        break
      }
      case 'wait-applied': {
        const { task, vector } = effect
        if (mutation.applyNothing || vectorCovers(this.replica.applied, vector)) {
          this.#run(this.client.step({ type: 'applied', task, nowMs: this.#nowMs }))
        } else {
          this.#waitingApplied.push({ task, vector })
        }
        break
      }
      case 'flush': {
        if (!mutation.flushNothing) this.closeEntry()
        const vector = new Map(this.replica.applied)
        this.after(random.below(200), () => {
          this.#run(this.client.step({ type: 'flushed', task: effect.task, vector }))
        })
        break
      }
      case 'drop-caches':
        this.after(random.below(parameters.dropMaxUs), () => {
          if (!mutation.dropNothing) for (const ino of effect.inos) this.#cache.delete(ino)
          this.#run(this.client.step({ type: 'dropped', task: effect.task }))
        })
        break
      case 'hold-timer':
        this.after(effect.delayMs * 1000, () => {
          this.#run(this.client.step({ ...effect, type: 'hold-elapsed', nowMs: this.#nowMs }))
        })
        break
      case 'sealed':
        this.#world.sealed(this.id)
        break
      case 'violation':
        throw new SafetyError(`m${this.id} accuses the authority: ${effect.reason}`)
    }
  }

  #settleWaiter(id: number, how: 'resolve' | 'fail'): void {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) throw new SafetyError(`m${this.id}: unknown waiter ${id}`)
    this.#waiters.delete(id)
    waiter[how]()
  }

  #sendToAuthority(sent: ToAuthority): void {
    const { mutation } = this.#world
    const message = mutation.toAuthority ? mutation.toAuthority(sent) : sent
    if (message === undefined) return
    this.#world.trace(`${this.id}> ${JSON.stringify(message, mapAsArray)}`)
    if (this.id === AUTHORITY) this.#stepAuthority(this.id, message)
    else this.stepLink(AUTHORITY, { type: 'send', message })
  }
}

function mapAsArray(_key: string, value: unknown): unknown {
  return value instanceof Map ? [...value] : value
}
