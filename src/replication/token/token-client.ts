/**
 * A member's core of the token protocol. Owns this member's rights, the guards that run under
 * them, the requests to the authority and the waiters behind those.
 *
 * Invariants:
 * - an exclusive guard runs only where exclusive grants cover its range or under ownership of a new
 *   inode, a shared guard only while no note on its range is acknowledged or waits to be;
 * - a grant serves nobody before its vector is applied (RULES 16);
 * - a grant nobody waits for any more is given back at once, by its number (RULES 32).
 * Waiters, notes, releases and queries keep their own (token-waiters.ts, token-notes.ts,
 * token-releases.ts, token-client-queries.ts).
 *
 * At a new epoch all rights are forgotten (everything is shared again), requests that are still
 * waited for are made anew; shared guards may outlive the epoch, exclusive ones may not: `seal`
 * says when they have ended. Pure: no clock, no chance, no I/O; time comes with the events.
 */
import { assert } from '../../fs/assert.ts'
import { type ByteRange, RANGE_END, type TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import { ClientContext } from './token-client-context.ts'
import type { ClientEffect, ClientEvent, ClientOptions } from './token-client-events.ts'
import { ClientQueries } from './token-client-queries.ts'
import { ClientHabits } from './token-habits.ts'
import type { ClearMessage, GrantMessage, ProbeMessage, ToClient } from './token-message.ts'
import { ClientNotes } from './token-notes.ts'
import { Ownership } from './token-ownership.ts'
import { endOf, startOf } from './token-range.ts'
import { ClientReleases } from './token-releases.ts'
import { ClientRequests, type WaiterId } from './token-requests.ts'
import { Holding, type TokenState } from './token-state.ts'
import { ClientWaiters } from './token-waiters.ts'

const NO_EFFECTS: readonly ClientEffect[] = []
const WHOLE: ByteRange = { start: 0, end: RANGE_END }

export class TokenClient {
  #open = false
  #isolated = false
  #sealing = false
  readonly #context = new ClientContext()
  readonly #states = this.#context.states
  readonly #habits = new ClientHabits()
  readonly #ownership: Ownership
  readonly #notes: ClientNotes
  readonly #releases: ClientReleases
  readonly #waiters: ClientWaiters
  readonly #requests = new ClientRequests()
  readonly #queries = new ClientQueries(this.#context)
  #exclusiveGuards = 0

  constructor(options: ClientOptions) {
    this.#ownership = new Ownership(options.ownedMax ?? 65_536)
    const components = {
      context: this.#context,
      ownership: this.#ownership,
      habits: this.#habits
    }
    this.#waiters = new ClientWaiters({
      context: this.#context,
      habits: this.#habits,
      requests: this.#requests,
      tryAcquire: (wants) => this.tryAcquire(wants)
    })
    this.#notes = new ClientNotes(components)
    this.#releases = new ClientReleases(components, {
      minHoldMs: options.minHoldMs,
      heldMax: options.heldMax ?? 65_536,
      isDirectory: options.isDirectory ?? (() => true)
    })
  }

  /** Takes a guard for all wants when that needs nobody else; the `release` event ends it. */
  tryAcquire(wants: readonly TokenWant[]): boolean {
    if (!this.#open) return false
    for (let i = 0; i < wants.length; i++) {
      const want = wants[i] as TokenWant
      const state = this.#states.get(want.ino)
      if (state === undefined) {
        if (want.mode === 'exclusive') return false
      } else if (!state.allows(want)) {
        return false
      }
    }
    for (let i = 0; i < wants.length; i++) {
      const want = wants[i] as TokenWant
      this.#context.stateOf(want.ino).guardTaken(want)
      if (want.mode === 'exclusive') this.#exclusiveGuards++
    }
    return true
  }

  /** The `release` event, short for guards in nobody's way. */
  release(wants: readonly TokenWant[]): readonly ClientEffect[] {
    let isAwaited = this.#sealing
    for (let i = 0; i < wants.length; i++) {
      const want = wants[i] as TokenWant
      const state = this.#states.get(want.ino)
      assert(state?.guardEnded(want) === true, 'guard released twice')
      if (want.mode === 'exclusive') this.#exclusiveGuards--
      if (state.isAwaited) isAwaited = true
      else if (state.isBlank) this.#states.delete(want.ino)
    }
    if (!isAwaited) return NO_EFFECTS
    return this.#collect(() => {
      for (const { ino } of wants) {
        const state = this.#states.get(ino)
        if (state === undefined) continue
        this.#notes.take(state)
        this.#releases.guardEnded(state)
        this.#context.clean(state)
      }
    })
  }

  /**
   * The number under which a file lock may bring what is wanted, with the lock's own grant; a
   * `reserved` event ends it. Undefined when it is here or on its way already.
   */
  reserve(want: TokenWant): number | undefined {
    if (!this.#open || this.#waiters.isInstalling([want])) return undefined
    const state = this.#states.get(want.ino)
    if (state === undefined ? want.mode === 'shared' : state.allows(want)) return undefined
    return this.#requests.reserve(want)
  }

  /** True when other members change one of these directories in turn with this one. */
  isContended(wants: readonly TokenWant[]): boolean {
    return wants.some(({ ino }) => this.#habits.changes(ino))
  }

  /**
   * The number of a query about the inode, to be asked by a `query` event and ended by an `asked`
   * effect. Undefined where it is of no use: nobody was seen to change it again and again, or this
   * member is about to.
   */
  ask(ino: Ino): number | undefined {
    if (!this.#open || !this.#queries.isChanging(ino)) return undefined
    if (this.#habits.changes(ino)) return undefined
    const state = this.#states.get(ino)
    if (state === undefined || state.allows({ ino, mode: 'shared' })) return undefined
    return this.#queries.ask(ino)
  }

  step(event: ClientEvent): readonly ClientEffect[] {
    if (event.type === 'release') return this.release(event.wants)
    return this.#collect(() => this.#handle(event))
  }

  counts(): {
    readonly held: number
    readonly owned: number
    readonly waiting: number
    readonly states: number
    readonly exclusiveGuards: number
  } {
    return {
      held: this.#releases.heldCount,
      owned: this.#ownership.size,
      waiting: this.#waiters.size,
      states: this.#states.size,
      exclusiveGuards: this.#exclusiveGuards
    }
  }

  #collect(run: () => void): readonly ClientEffect[] {
    const { effects } = this.#context
    effects.length = 0
    run()
    this.#releases.start()
    if (this.#sealing && this.#exclusiveGuards === 0) {
      this.#sealing = false
      effects.push({ type: 'sealed' })
    }
    return effects.length === 0 ? NO_EFFECTS : effects.splice(0)
  }

  #handle(event: Exclude<ClientEvent, { type: 'release' }>): void {
    switch (event.type) {
      case 'epoch':
        this.#startEpoch()
        break
      case 'seal':
        this.#open = false
        this.#sealing = true
        return
      case 'isolate':
        this.#isolate()
        break
      case 'acquire':
        this.#acquire(event.waiter, event.wants, event.ahead ?? [])
        break
      case 'cancel':
        if (this.#waiters.cancel(event.waiter)) this.#serve()
        break
      case 'own':
        this.#own(event.ino)
        break
      case 'query': {
        const { request, ino } = event
        this.#context.effects.push({ type: 'send', message: { type: 'query', request, ino } })
        break
      }
      case 'give-up':
        this.#releases.giveUpRange(event.ino, event.range)
        break
      case 'reserved':
        this.#settleReserved(event.request, event.coming)
        break
      case 'message':
        this.#receive(event.message, event.nowMs)
        break
      case 'applied':
        this.#applied(event.task, event.nowMs)
        break
      case 'flushed':
        this.#flushed(event.task, event.vector)
        break
      case 'dropped':
        this.#dropped(event.task)
        break
      case 'hold-elapsed':
        this.#releases.holdElapsed(event.ino, event.grant, event.nowMs)
        break
    }
  }

  #startEpoch(): void {
    assert(this.#exclusiveGuards === 0, 'an exclusive guard outlives its epoch')
    for (const [ino, state] of this.#states) {
      if (state.sharedGuards === 0) this.#states.delete(ino)
      else this.#states.set(ino, state.inNewEpoch())
    }
    this.#ownership.clear()
    this.#releases.clear()
    this.#habits.clear()
    this.#requests.clear()
    this.#context.tasks.clear()
    this.#queries.abandon()
    this.#sealing = false
    this.#isolated = false
    this.#open = true
    this.#waiters.startEpoch()
    this.#serve()
  }

  #isolate(): void {
    this.#open = false
    this.#isolated = true
    this.#waiters.failAll()
    this.#requests.abandon()
    this.#queries.abandon()
  }

  #acquire(id: WaiterId, wants: readonly TokenWant[], ahead: readonly Ino[]): void {
    if (this.#isolated) {
      this.#context.effects.push({ type: 'failed', waiter: id })
      return
    }
    const waiter = this.#waiters.add(id, wants, ahead)
    if (this.#open) this.#waiters.serveOne(waiter)
  }

  #serve(): void {
    if (this.#open) this.#waiters.serve()
  }

  #settleReserved(id: number, coming: boolean): void {
    if (coming) {
      this.#requests.announce(id)
      return
    }
    const full = this.#requests.isFull
    this.#requests.drop(id)
    if (full) this.#serve()
  }

  #own(ino: Ino): void {
    const state = this.#context.stateOf(ino)
    const isNew = state.holdings.length + state.noted.length + state.installing.length === 0
    assert(isNew && !state.owned, 'owned inode is known already')
    const trimmed = this.#ownership.add(state)
    if (trimmed !== undefined) this.#context.clean(trimmed)
  }

  #receive(message: ToClient, nowMs: number): void {
    switch (message.type) {
      case 'note':
        for (const { ino } of message.items) this.#queries.noted(ino)
        this.#notes.receive(message)
        break
      case 'grant':
        this.#grant(message)
        break
      case 'recall':
        this.#releases.receive(message, nowMs)
        break
      case 'clear':
        this.#clear(message)
        break
      case 'probe':
        this.#probe(message)
        break
      case 'told':
        this.#queries.told(message)
        break
    }
  }

  #probe({ number, ino }: ProbeMessage): void {
    const state = this.#states.get(ino)
    const idle = state === undefined || state.uses === state.usesProbed
    if (state !== undefined) state.usesProbed = state.uses
    const task = this.#context.task({ type: 'probe', number, idle })
    this.#context.effects.push({ type: 'flush', task })
  }

  #grant(message: GrantMessage): void {
    const request = this.#requests.get(message.request)
    if (request !== undefined) request.granted = true
    for (const item of message.items) {
      const state = this.#context.stateOf(item.ino)
      const start = startOf(item)
      const end = endOf(item)
      state.installing.push({ start, end })
      if (item.grant === 0) continue
      // It takes the place of earlier grants.
      const cutOff = state.cutHoldings(start, end)
      state.holdings.push(new Holding(start, end, item.grant))
      if (cutOff.length > 0) this.#releases.retry(state)
    }
    const task = this.#context.task({ type: 'grant', message })
    this.#context.effects.push({ type: 'wait-applied', task, vector: message.vector })
  }

  #clear(message: ClearMessage): void {
    for (const ino of message.inos) this.#context.stateOf(ino).installing.push(WHOLE)
    const task = this.#context.task({ type: 'clear', inos: message.inos })
    this.#context.effects.push({ type: 'wait-applied', task, vector: message.vector })
  }

  #applied(id: number, nowMs: number): void {
    const grant = this.#context.end(id, 'grant')
    if (grant !== undefined) this.#install(grant.message, nowMs)
    const told = this.#context.end(id, 'told')
    if (told !== undefined) this.#queries.end(told.request, true)
    const cleared = this.#context.end(id, 'clear')
    if (cleared === undefined) return
    for (const ino of cleared.inos) this.#installed(this.#context.stateOf(ino), WHOLE)
    this.#serve()
    for (const ino of cleared.inos) this.#settle(ino, nowMs)
  }

  #installed(state: TokenState, { start, end }: ByteRange): void {
    state.installed(start, end)
    state.unnote(start, end)
  }

  #install(message: GrantMessage, nowMs: number): void {
    for (const item of message.items) {
      const state = this.#context.stateOf(item.ino)
      this.#installed(state, { start: startOf(item), end: endOf(item) })
      if (item.range === undefined && item.mode === 'shared') this.#queries.looked(item.ino)
      if (item.grant === 0) continue
      this.#ownership.delete(state)
      this.#releases.granted(state)
      // A later grant may be on its way: it has taken the place of this one.
      for (const holding of state.holdings) {
        if (holding.grant !== item.grant) continue
        holding.installedAtMs = nowMs
        holding.usesBefore = state.uses
      }
    }
    const unwanted = !this.#requests.end(message.request)
    this.#serve()
    for (const { ino, grant } of message.items) {
      if (unwanted && grant > 0) this.#releases.giveBack(ino, grant)
      this.#settle(ino, nowMs)
    }
    this.#releases.trim()
  }

  /** What had to wait for an installation: notes and recalls that came meanwhile. */
  #settle(ino: Ino, nowMs: number): void {
    const state = this.#states.get(ino)
    if (state === undefined) return
    this.#notes.take(state)
    this.#releases.settle(state, nowMs)
    this.#context.clean(state)
  }

  #flushed(id: number, vector: Vector): void {
    const release = this.#context.end(id, 'release')
    if (release !== undefined) this.#releases.flushed(release.batch, vector)
    const probe = this.#context.end(id, 'probe')
    if (probe === undefined) return
    const { number, idle } = probe
    this.#context.effects.push({ type: 'send', message: { type: 'probed', number, idle, vector } })
  }

  #dropped(id: number): void {
    const note = this.#context.end(id, 'note')
    if (note !== undefined) this.#notes.dropped(note.note)
    else if (this.#context.tasks.get(id)?.type === 'release') {
      this.#context.effects.push({ type: 'flush', task: id })
    }
  }
}
