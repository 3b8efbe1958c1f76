/**
 * A member's core of the token protocol. Owns this member's rights, the guards that run under
 * them, the requests to the authority and the waiters behind those.
 *
 * Invariants:
 * - an exclusive guard runs only under an exclusive grant or under ownership of a new inode, a
 *   shared guard only while no note on its inode is acknowledged or waits to be;
 * - a grant serves nobody before its vector is applied; a release is sent only after the guards in
 *   its way ended and with a vector that covers what they did (RULES 16);
 * - a note is acknowledged after the running guards ended and the caches are dropped (RULES 17);
 * - no release of a directory is sent while ownership that was there before it goes on: it ends for
 *   all new inodes, running exclusive guards are waited for (RULES 21);
 * - a grant nobody waits for any more is given back at once, by its number (RULES 32).
 *
 * At a new epoch all rights are forgotten (everything is shared again), requests that are still
 * waited for are made anew; shared guards may outlive the epoch, exclusive ones may not: `seal`
 * says when they have ended. Pure: no clock, no chance, no I/O; time comes with the events.
 */
import { assert } from '../../fs/assert.ts'
import type { TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import type { ClientEffect, ClientEvent, ClientOptions } from './token-client-events.ts'
import {
  type ClearMessage,
  type GrantMessage,
  type NoteMessage,
  type RecallMessage,
  TOKEN_ITEMS_MAX,
  type ToClient
} from './token-message.ts'
import { Ownership, type Releasing } from './token-ownership.ts'
import { ClientRequests, type Waiter, type WaiterId } from './token-requests.ts'
import { type PendingNote, TokenState } from './token-state.ts'

type Task =
  | { readonly type: 'grant'; readonly message: GrantMessage }
  | { readonly type: 'clear'; readonly inos: readonly Ino[] }
  | { readonly type: 'note'; readonly note: PendingNote }
  | { readonly type: 'release'; readonly batch: readonly Releasing[] }

const NO_EFFECTS: readonly ClientEffect[] = []
/** How many of the oldest are looked at to give one back. */
const TRIM_SCAN = 8

export class TokenClient {
  readonly #minHoldMs: number
  readonly #heldMax: number
  readonly #isDirectory: (ino: Ino) => boolean
  #open = false
  #isolated = false
  #sealing = false
  readonly #states = new Map<Ino, TokenState>()
  readonly #ownership: Ownership
  readonly #held = new Set<TokenState>()
  readonly #waiters = new Map<WaiterId, Waiter>()
  readonly #requests = new ClientRequests()
  readonly #tasks = new Map<number, Task>()
  #lastTask = 0
  #exclusiveGuards = 0
  readonly #ready: Releasing[] = []
  #releasing = false
  #effects: ClientEffect[] = []

  constructor(options: ClientOptions) {
    this.#minHoldMs = options.minHoldMs
    this.#heldMax = options.heldMax ?? 65_536
    this.#ownership = new Ownership(options.ownedMax ?? 65_536)
    this.#isDirectory = options.isDirectory ?? (() => true)
  }

  /** Takes a guard for all wants when that needs nobody else; the `release` event ends it. */
  tryAcquire(wants: readonly TokenWant[]): boolean {
    if (!this.#open) return false
    for (let i = 0; i < wants.length; i++) {
      const want = wants[i] as TokenWant
      const state = this.#states.get(want.ino)
      if (state === undefined) {
        if (want.mode === 'exclusive') return false
      } else if (!state.allows(want.mode)) {
        return false
      }
    }
    for (let i = 0; i < wants.length; i++) {
      const want = wants[i] as TokenWant
      let state = this.#states.get(want.ino)
      if (state === undefined) {
        state = new TokenState(want.ino)
        this.#states.set(want.ino, state)
      }
      if (want.mode === 'shared') state.sharedGuards++
      else {
        state.exclusiveGuards++
        this.#exclusiveGuards++
      }
    }
    return true
  }

  /** The `release` event, short for guards in nobody's way. */
  release(wants: readonly TokenWant[]): readonly ClientEffect[] {
    let inTheWay = this.#sealing
    for (let i = 0; i < wants.length; i++) {
      const want = wants[i] as TokenWant
      const state = this.#states.get(want.ino)
      assert(state !== undefined, 'guard released twice')
      if (want.mode === 'shared') {
        assert(state.sharedGuards > 0, 'shared guard released twice')
        state.sharedGuards--
      } else {
        assert(state.exclusiveGuards > 0, 'exclusive guard released twice')
        state.exclusiveGuards--
        this.#exclusiveGuards--
      }
      if (state.recall !== undefined || state.notes !== undefined || state.ending) inTheWay = true
      else if (state.isBlank) this.#states.delete(want.ino)
    }
    if (!inTheWay) return NO_EFFECTS
    return this.#collect(() => {
      for (const { ino } of wants) {
        const state = this.#states.get(ino)
        if (state !== undefined) this.#guardEnded(state)
      }
    })
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
      held: this.#held.size,
      owned: this.#ownership.size,
      waiting: this.#waiters.size,
      states: this.#states.size,
      exclusiveGuards: this.#exclusiveGuards
    }
  }

  #collect(run: () => void): readonly ClientEffect[] {
    this.#effects = []
    run()
    this.#startRelease()
    if (this.#sealing && this.#exclusiveGuards === 0) {
      this.#sealing = false
      this.#effects.push({ type: 'sealed' })
    }
    return this.#effects
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
        this.#acquire(event.waiter, event.wants)
        break
      case 'cancel':
        this.#cancel(event.waiter)
        break
      case 'own':
        this.#own(event.ino)
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
        this.#holdElapsed(event.ino, event.grant)
        break
    }
  }

  #startEpoch(): void {
    assert(this.#exclusiveGuards === 0, 'an exclusive guard outlives its epoch')
    for (const [ino, state] of this.#states) {
      if (state.sharedGuards === 0) {
        this.#states.delete(ino)
        continue
      }
      const fresh = new TokenState(ino)
      fresh.sharedGuards = state.sharedGuards
      this.#states.set(ino, fresh)
    }
    this.#ownership.clear()
    this.#held.clear()
    this.#requests.clear()
    this.#tasks.clear()
    this.#ready.length = 0
    this.#releasing = false
    this.#sealing = false
    this.#isolated = false
    this.#open = true
    for (const waiter of this.#waiters.values()) waiter.request = undefined
    this.#serve()
  }

  #isolate(): void {
    this.#open = false
    this.#isolated = true
    for (const waiter of this.#waiters.keys()) this.#effects.push({ type: 'failed', waiter })
    this.#waiters.clear()
    this.#requests.abandon()
  }

  #acquire(id: WaiterId, wants: readonly TokenWant[]): void {
    if (this.#isolated) {
      this.#effects.push({ type: 'failed', waiter: id })
      return
    }
    const waiter: Waiter = { id, wants, request: undefined }
    this.#waiters.set(id, waiter)
    this.#serveOne(waiter)
  }

  #serve(): void {
    for (const waiter of this.#waiters.values()) this.#serveOne(waiter)
  }

  #serveOne(waiter: Waiter): void {
    if (!this.#open) return
    if (this.tryAcquire(waiter.wants)) {
      this.#waiters.delete(waiter.id)
      this.#leave(waiter)
      this.#effects.push({ type: 'acquired', waiter: waiter.id })
    } else if (waiter.request === undefined && !this.#isInstalling(waiter.wants)) {
      this.#request(waiter)
    }
  }

  /** Asking again would change nothing; all waiters are looked at when it is installed. */
  #isInstalling(wants: readonly TokenWant[]): boolean {
    return wants.some(({ ino }) => (this.#states.get(ino)?.installing ?? 0) > 0)
  }

  #request(waiter: Waiter): void {
    const request = this.#requests.join(waiter)
    if (request === undefined) return
    const { id, wants } = request
    this.#effects.push({ type: 'send', message: { type: 'want', request: id, wants } })
  }

  #leave(waiter: Waiter): void {
    const request = this.#requests.leave(waiter)
    if (request === undefined) return
    this.#effects.push({ type: 'send', message: { type: 'cancel', request: request.id } })
  }

  #cancel(id: WaiterId): void {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return
    this.#waiters.delete(id)
    const full = this.#requests.isFull
    this.#leave(waiter)
    if (full) this.#serve()
  }

  #own(ino: Ino): void {
    const state = this.#stateOf(ino)
    assert(state.right === 'shared' && state.installing === 0, 'owned inode is known already')
    const trimmed = this.#ownership.add(state)
    if (trimmed !== undefined) this.#clean(trimmed)
  }

  #stateOf(ino: Ino): TokenState {
    let state = this.#states.get(ino)
    if (state === undefined) {
      state = new TokenState(ino)
      this.#states.set(ino, state)
    }
    return state
  }

  #clean(state: TokenState): void {
    if (state.isBlank) this.#states.delete(state.ino)
  }

  #task(task: Task): number {
    this.#tasks.set(++this.#lastTask, task)
    return this.#lastTask
  }

  #receive(message: ToClient, nowMs: number): void {
    switch (message.type) {
      case 'note':
        this.#note(message)
        break
      case 'grant':
        this.#grant(message)
        break
      case 'recall':
        this.#recall(message, nowMs)
        break
      case 'clear':
        this.#clear(message)
        break
    }
  }

  #grant(message: GrantMessage): void {
    const request = this.#requests.get(message.request)
    if (request !== undefined) request.granted = true
    for (const { ino, grant } of message.items) {
      const state = this.#stateOf(ino)
      state.installing++
      if (grant > 0) {
        state.grant = grant
        state.recall = undefined
      }
    }
    const task = this.#task({ type: 'grant', message })
    this.#effects.push({ type: 'wait-applied', task, vector: message.vector })
  }

  #clear(message: ClearMessage): void {
    for (const ino of message.inos) this.#stateOf(ino).installing++
    const task = this.#task({ type: 'clear', inos: message.inos })
    this.#effects.push({ type: 'wait-applied', task, vector: message.vector })
  }

  #applied(id: number, nowMs: number): void {
    const task = this.#tasks.get(id)
    if (task === undefined) return
    this.#tasks.delete(id)
    if (task.type === 'grant') this.#install(task.message, nowMs)
    else if (task.type === 'clear') {
      for (const ino of task.inos) this.#become(this.#stateOf(ino), 'shared')
      this.#serve()
      for (const ino of task.inos) this.#settle(ino, nowMs)
    }
  }

  #become(state: TokenState, right: 'shared' | 'exclusive'): void {
    state.installing--
    if (right === 'exclusive') {
      this.#ownership.delete(state)
      this.#held.delete(state)
      this.#held.add(state)
      state.right = 'exclusive'
    } else if (state.right === 'none') {
      state.right = 'shared'
    }
  }

  #install(message: GrantMessage, nowMs: number): void {
    for (const { ino, grant } of message.items) {
      const state = this.#stateOf(ino)
      // A later grant of the same inode may be on its way; its number stands.
      this.#become(state, grant > 0 ? 'exclusive' : 'shared')
      if (grant > 0) state.installedAtMs = nowMs
    }
    const unwanted = !this.#requests.end(message.request)
    this.#serve()
    for (const { ino, grant } of message.items) {
      if (unwanted && grant > 0) this.#giveBack(ino, grant)
      this.#settle(ino, nowMs)
    }
    this.#trimHeld()
  }

  /** RULES 32: nobody waited for it any more, and nobody uses it. */
  #giveBack(ino: Ino, grant: number): void {
    const state = this.#states.get(ino)
    if (state === undefined || state.grant !== grant || state.guards > 0) return
    if (state.recall !== undefined) state.recall.elapsed = true
    else state.recall = { left: 'shared', elapsed: true, ready: false }
  }

  #trimHeld(): void {
    if (this.#held.size <= this.#heldMax) return
    let scanned = 0
    for (const state of this.#held) {
      if (scanned++ >= TRIM_SCAN) return
      this.#held.delete(state)
      this.#held.add(state)
      if (state.guards > 0 || state.recall !== undefined || state.installing > 0) continue
      state.recall = { left: 'shared', elapsed: true, ready: false }
      this.#tryRelease(state)
    }
  }

  /** What had to wait for an installation: notes and recalls that came meanwhile. */
  #settle(ino: Ino, nowMs: number): void {
    const state = this.#states.get(ino)
    if (state === undefined || state.installing > 0) return
    if (state.notes !== undefined) this.#takeNotes(state)
    if (state.recall !== undefined) this.#hold(state, nowMs)
    this.#clean(state)
  }

  #note(message: NoteMessage): void {
    const { number, inos } = message
    const note: PendingNote = { number, inos, left: inos.length }
    for (const ino of inos) {
      const state = this.#stateOf(ino)
      if (state.grant > 0 && state.installing === 0) {
        const reason = `note on inode ${ino}, which is exclusive here`
        this.#effects.push({ type: 'violation', reason })
        return
      }
      if (state.notes === undefined) state.notes = [note]
      else state.notes.push(note)
      if (state.installing === 0) this.#takeNotes(state)
    }
  }

  /** From here on no new guard; acknowledged when those that run have ended. */
  #takeNotes(state: TokenState): void {
    if (state.right === 'owned') this.#ownership.delete(state)
    state.right = 'none'
    if (state.guards > 0 || state.notes === undefined) return
    const notes = state.notes
    state.notes = undefined
    for (const note of notes) {
      note.left--
      if (note.left > 0) continue
      const task = this.#task({ type: 'note', note })
      this.#effects.push({ type: 'drop-caches', task, inos: note.inos })
    }
  }

  #recall(message: RecallMessage, nowMs: number): void {
    for (const { ino, grant, left } of message.items) {
      const state = this.#states.get(ino)
      // Released meanwhile, or granted again under another number.
      if (state === undefined || state.grant !== grant) continue
      // Already being given back, with more left than was asked: the note follows.
      if (state.recall !== undefined) continue
      state.recall = { left, elapsed: false, ready: false }
      if (state.installing === 0) this.#hold(state, nowMs)
    }
  }

  /** Obeys the recall of a token, at the end of its minimum hold time. */
  #hold(state: TokenState, nowMs: number): void {
    const recall = state.recall
    if (recall === undefined) return
    const delayMs = state.installedAtMs + this.#minHoldMs - nowMs
    if (delayMs <= 0 || recall.elapsed) {
      recall.elapsed = true
      this.#tryRelease(state)
    } else {
      this.#effects.push({ type: 'hold-timer', ino: state.ino, grant: state.grant, delayMs })
    }
  }

  #holdElapsed(ino: Ino, grant: number): void {
    const state = this.#states.get(ino)
    if (state?.recall === undefined || state.grant !== grant) return
    state.recall.elapsed = true
    this.#tryRelease(state)
  }

  #guardEnded(state: TokenState): void {
    this.#ready.push(...this.#ownership.guardEnded(state))
    if (state.notes !== undefined && state.installing === 0) this.#takeNotes(state)
    if (state.recall !== undefined) this.#tryRelease(state)
    this.#clean(state)
  }

  #tryRelease(state: TokenState): void {
    const recall = state.recall
    if (recall === undefined || recall.ready || !recall.elapsed || state.installing > 0) return
    const inTheWay = recall.left === 'shared' ? state.exclusiveGuards : state.guards
    if (inTheWay > 0) return
    recall.ready = true
    if (this.#isDirectory(state.ino)) {
      for (const ended of this.#ownership.end()) this.#clean(ended)
      if (this.#ownership.isEnding) {
        this.#ownership.putBehind({ state, recall })
        return
      }
    }
    this.#ready.push({ state, recall })
  }

  #startRelease(): void {
    if (this.#releasing || this.#ready.length === 0) return
    this.#releasing = true
    const batch = this.#ready.splice(0, TOKEN_ITEMS_MAX)
    const inos = batch.filter(({ recall }) => recall.left === 'none').map(({ state }) => state.ino)
    const task = this.#task({ type: 'release', batch })
    if (inos.length > 0) this.#effects.push({ type: 'drop-caches', task, inos })
    else this.#effects.push({ type: 'flush', task })
  }

  #dropped(id: number): void {
    const task = this.#tasks.get(id)
    if (task?.type === 'release') this.#effects.push({ type: 'flush', task: id })
    if (task?.type !== 'note') return
    this.#tasks.delete(id)
    this.#effects.push({ type: 'send', message: { type: 'note-ack', number: task.note.number } })
  }

  #flushed(id: number, vector: Vector): void {
    const task = this.#tasks.get(id)
    if (task?.type !== 'release') return
    this.#tasks.delete(id)
    this.#releasing = false
    const items = []
    for (const { state, recall } of task.batch) {
      // Granted again meanwhile: the new grant stands, nothing is given up.
      if (state.recall !== recall) continue
      items.push({ ino: state.ino, grant: state.grant, left: recall.left })
      state.right = recall.left
      state.recall = undefined
      state.grant = 0
      this.#held.delete(state)
      this.#clean(state)
    }
    if (items.length > 0)
      this.#effects.push({ type: 'send', message: { type: 'release', items, vector } })
  }
}
