/**
 * A member's core of the lock protocol. Owns what this member's processes hold and ask for, and
 * the delegations it has.
 *
 * Invariants:
 * - `table` of an inode is exactly what processes here were told they hold: nothing is in it before
 *   its answer, and nothing leaves it before its unlock is decided;
 * - an inode is decided about here only under a delegation; else by the authority alone;
 * - every request is answered exactly once, also when it is cancelled: the answer of a cancelled
 *   request says whether it was granted meanwhile, and then it stands (this keeps RULES 32 without
 *   giving anything back: no grant is ever without its waiter);
 * - at a new epoch everything held is asserted before anything is asked; delegations are over.
 *
 * Pure: no clock, no chance, no I/O; time comes with the events.
 */
import { assert } from '../../fs/assert.ts'
import { InodeLocks, type LockWaiter } from '../../fs/lock/inode-locks.ts'
import { type LockOwner, LockSerials, sameOwner } from '../../fs/lock/lock-table.ts'
import { rangesOverlap, WHOLE_FILE } from '../../fs/lock/range.ts'
import { WaitGraph, waitEdges } from '../../fs/lock/wait-graph.ts'
import type { LockKind, LockType, LostLock } from '../../fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import {
  LOCK_REQUESTS_MAX,
  LOCKS_HELD_MAX,
  type LockAction,
  type LockConflictBody,
  type LockEdge,
  type LockHold,
  type LockResult,
  type LockSpan,
  type LockToAuthority,
  type LockToClient,
  type LockWaiting
} from './lock-message.ts'
import { inParts } from './lock-parts.ts'

/** What became of a request. 'isolated': this member may not serve. */
export interface LockDecision {
  readonly result: LockResult | 'isolated'
  /** Of a query. */
  readonly conflict?: LockConflictBody
}

export interface LockAsk extends LockSpan {
  readonly lock: LockType | 'unlock'
  readonly action: LockAction
}

export type LockClientEvent =
  | { readonly type: 'epoch'; readonly nowMs: number }
  | { readonly type: 'isolate' }
  /** This incarnation is over: all it held is lost. */
  | { readonly type: 'end' }
  | { readonly type: 'cancel'; readonly request: number; readonly nowMs: number }
  | { readonly type: 'message'; readonly message: LockToClient; readonly nowMs: number }
  | { readonly type: 'tick'; readonly nowMs: number }

export type LockClientEffect =
  | { readonly type: 'send'; readonly message: LockToAuthority }
  | { readonly type: 'decided'; readonly request: number; readonly decision: LockDecision }
  | { readonly type: 'lost'; readonly locks: readonly LostLock[] }
  /** The authority breaks the protocol: cut it off. */
  | { readonly type: 'violation'; readonly reason: string }

export interface LockClientOptions {
  readonly member: MemberId
  /** Delegations to keep; beyond it idle ones are given back (soft). */
  readonly delegationsMax?: number
}

interface OpenRequest extends LockAsk {
  readonly request: number
  readonly inode: LocalInode
  readonly lockOwner: LockOwner
  readonly sinceMs: number
  /** Nobody waits for the answer. */
  readonly silent: boolean
  cancelled: boolean
  /** Waits here, under a delegation; undefined: at the authority. */
  waiter: LockWaiter | undefined
}

interface LocalInode {
  readonly ino: Ino
  readonly locks: InodeLocks
  /** Number of the delegation, 0 = none. */
  delegation: number
  /** Asked of the authority and not answered, in order. */
  readonly open: Map<number, OpenRequest>
}

/** How far idle delegations are looked for in one step. */
const IDLE_SCAN = 64

const GRANTED: LockDecision = { result: 'granted' }
const AGAIN: LockDecision = { result: 'again' }
const DEADLOCK: LockDecision = { result: 'deadlock' }
const CANCELLED: LockDecision = { result: 'cancelled' }
const NO_LOCKS: LockDecision = { result: 'no-locks' }
const ISOLATED: LockDecision = { result: 'isolated' }

export class LockClient {
  readonly member: MemberId
  readonly #delegationsMax: number
  readonly #inodes = new Map<Ino, LocalInode>()
  readonly #requests = new Map<number, OpenRequest>()
  readonly #serials = new LockSerials()
  readonly #graph = new WaitGraph()
  /** Delegated inodes somebody waits at. */
  readonly #queued = new Set<LocalInode>()
  #phase: 'idle' | 'serving' | 'isolated' = 'idle'
  #held = 0
  #lastRequest = 0
  #effects: LockClientEffect[] = []

  constructor(options: LockClientOptions) {
    this.member = options.member
    this.#delegationsMax = options.delegationsMax ?? 4096
  }

  /** True while `tick` events are wanted, some 25 ms apart. */
  get needsTick(): boolean {
    return this.#queued.size > 0
  }

  /** The decision if it is made at once, else the number it will come with. See `takeEffects`. */
  request(ask: LockAsk, nowMs: number): LockDecision | number {
    const owner: LockOwner = { member: this.member, kind: ask.kind, id: ask.owner }
    const refusal = this.#refusal(ask, owner)
    if (refusal !== undefined) return refusal
    const inode = this.#inodeOf(ask.ino)
    if (inode.delegation > 0) {
      const decision = this.#decide(inode, ask, owner, nowMs)
      if (decision !== undefined) return decision
    } else if (ask.kind === 'flock' && ask.action !== 'query') {
      this.#convertFlock(inode, ask, owner, nowMs)
    }
    const open = this.#open(inode, ask, owner, nowMs, false)
    if (inode.delegation > 0) this.#enqueue(open)
    else this.#ask(open)
    return open.request
  }

  /** Effects of the last `request`, in order. */
  takeEffects(): readonly LockClientEffect[] {
    const effects = this.#effects
    if (effects.length > 0) this.#effects = []
    return effects
  }

  /** True when an unlock of all the owner has there would say anything. */
  concerns(ino: Ino, owner: bigint, kind: LockKind): boolean {
    return this.#inodes.has(ino) && this.#concerns(ino, { member: this.member, kind, id: owner })
  }

  step(event: LockClientEvent): readonly LockClientEffect[] {
    switch (event.type) {
      case 'epoch':
        this.#startEpoch(event.nowMs)
        break
      case 'isolate':
        this.#isolate()
        break
      case 'end':
        this.#end()
        break
      case 'cancel':
        this.#cancel(event.request, event.nowMs)
        break
      case 'message':
        if (this.#phase === 'serving') this.#receive(event.message, event.nowMs)
        break
      case 'tick':
        for (const inode of this.#queued) this.#settle(inode, event.nowMs)
        break
    }
    return this.takeEffects()
  }

  /** All this member's processes hold and wait for. */
  *inodes(): Generator<{
    readonly ino: Ino
    readonly locks: InodeLocks
    readonly delegated: boolean
    readonly open: Iterable<LockAsk & { readonly sinceMs: number }>
  }> {
    for (const { ino, locks, delegation, open } of this.#inodes.values()) {
      yield { ino, locks, delegated: delegation > 0, open: open.values() }
    }
  }

  counts(): { inodes: number; held: number; waiting: number; delegations: number } {
    let delegations = 0
    for (const inode of this.#inodes.values()) if (inode.delegation > 0) delegations++
    const { size: inodes } = this.#inodes
    return { inodes, held: this.#held, waiting: this.#requests.size, delegations }
  }

  #refusal(ask: LockAsk, owner: LockOwner): LockDecision | undefined {
    if (this.#phase === 'isolated') {
      const inode = this.#inodes.get(ask.ino)
      // A flock that changes its type gives the old one up first, whatever comes of it.
      const isConversion =
        ask.kind === 'flock' &&
        ask.action !== 'query' &&
        inode?.locks.table.locksOf(owner)[0]?.type !== ask.lock
      if (inode !== undefined && (ask.lock === 'unlock' || isConversion)) {
        this.#unlockHere(inode, ask)
      }
      return ask.lock === 'unlock' ? GRANTED : ISOLATED
    }
    if (ask.lock === 'unlock') {
      return this.#concerns(ask.ino, owner) ? undefined : GRANTED
    }
    if (ask.action === 'query') return undefined
    if (this.#held >= LOCKS_HELD_MAX) return NO_LOCKS
    return this.#requests.size >= LOCK_REQUESTS_MAX / 2 ? NO_LOCKS : undefined
  }

  #concerns(ino: Ino, owner: LockOwner): boolean {
    const inode = this.#inodes.get(ino)
    if (inode === undefined) return false
    if (inode.locks.table.locksOf(owner).length > 0) return true
    if (inode.open.size === 0) return false
    for (const open of inode.open.values()) if (sameOwner(open.lockOwner, owner)) return true
    return false
  }

  #inodeOf(ino: Ino): LocalInode {
    let inode = this.#inodes.get(ino)
    if (inode === undefined) {
      inode = { ino, locks: new InodeLocks(this.#serials), delegation: 0, open: new Map() }
      this.#inodes.set(ino, inode)
    }
    return inode
  }

  #open(
    inode: LocalInode,
    ask: LockAsk,
    lockOwner: LockOwner,
    sinceMs: number,
    silent: boolean
  ): OpenRequest {
    const request = ++this.#lastRequest
    const { ino, kind, owner, pid, start, end, lock, action } = ask
    const span = { ino, kind, owner, pid, start, end, lock, action }
    const state = { request, inode, lockOwner, sinceMs, silent, cancelled: false }
    const open: OpenRequest = { ...span, ...state, waiter: undefined }
    this.#requests.set(request, open)
    return open
  }

  #ask(open: OpenRequest): void {
    open.inode.open.set(open.request, open)
    if (this.#phase === 'serving') this.#sendWant(open)
  }

  #sendWant(open: OpenRequest): void {
    const { request, action, lock, ino, kind, owner, pid, start, end } = open
    this.#send({ type: 'want', request, action, lock, ino, kind, owner, pid, start, end })
    if (open.cancelled) this.#send({ type: 'cancel', request })
  }

  #send(message: LockToAuthority): void {
    this.#effects.push({ type: 'send', message })
  }

  /**
   * A flock that changes its type is first given up, as in the kernel; said as an unlock of its own
   * so that the authority never has to guess what became of the old one.
   */
  #convertFlock(inode: LocalInode, ask: LockAsk, owner: LockOwner, nowMs: number): void {
    if (ask.lock === 'unlock') return
    const [held] = inode.locks.table.locksOf(owner)
    if (held === undefined || held.type === ask.lock) return
    const unlock: LockAsk = { ...ask, lock: 'unlock', action: 'try' }
    this.#ask(this.#open(inode, unlock, owner, nowMs, true))
  }

  // Under a delegation

  /** Undefined: it has to wait. */
  #decide(
    inode: LocalInode,
    ask: LockAsk,
    owner: LockOwner,
    nowMs: number
  ): LockDecision | undefined {
    const { locks } = inode
    const { start, end, pid, lock } = ask
    if (lock === 'unlock') {
      this.#set(inode, { owner, type: 'unlock', start, end, pid, sinceMs: nowMs })
      this.#settle(inode, nowMs)
      return GRANTED
    }
    if (ask.action === 'query') {
      const found = locks.table.conflict(owner, lock, ask)
      if (found === undefined) return GRANTED
      const { type, pid: holder } = found
      const range = { start: found.start, end: found.end }
      const { kind, member } = found.owner
      return { result: 'granted', conflict: { kind, type, ...range, member, pid: holder } }
    }
    if (ask.kind === 'flock') this.#dropOther(inode, owner, lock, nowMs)
    const change = { owner, type: lock, start, end, pid, sinceMs: nowMs }
    if (ask.action === 'try') {
      if (locks.table.conflict(owner, lock, ask) === undefined) this.#set(inode, change)
      else {
        this.#settle(inode, nowMs)
        return AGAIN
      }
    } else {
      const isAlone = locks.table.count === 0 && locks.queue.length === 0
      const waiter: LockWaiter | undefined = isAlone ? undefined : { ...change, request: 0 }
      if (waiter !== undefined && !locks.isFree(waiter, nowMs)) {
        this.#settle(inode, nowMs)
        return this.#graph.closesCircle(waiter, locks) ? DEADLOCK : undefined
      }
      this.#set(inode, change)
    }
    this.#settle(inode, nowMs)
    return GRANTED
  }

  #dropOther(inode: LocalInode, owner: LockOwner, type: LockType, nowMs: number): void {
    const [held] = inode.locks.table.locksOf(owner)
    if (held === undefined || held.type === type) return
    this.#set(inode, { ...WHOLE_FILE, owner, type: 'unlock', pid: 0, sinceMs: nowMs })
  }

  #set(inode: LocalInode, change: Parameters<InodeLocks['table']['set']>[0]): void {
    const { table } = inode.locks
    const before = table.count
    table.set(change)
    this.#held += table.count - before
  }

  #enqueue(open: OpenRequest): void {
    const { inode, lockOwner, lock, start, end, pid, request, sinceMs } = open
    assert(lock !== 'unlock', 'an unlock never waits')
    const waiter: LockWaiter = { owner: lockOwner, type: lock, start, end, pid, request, sinceMs }
    open.waiter = waiter
    inode.locks.enqueue(waiter)
    this.#graph.add(waiter, inode.locks)
    this.#queued.add(inode)
  }

  #settle(inode: LocalInode, nowMs: number): void {
    if (inode.locks.queue.length === 0) return
    const before = inode.locks.table.count
    const granted = inode.locks.settle(nowMs)
    this.#held += inode.locks.table.count - before
    for (const waiter of granted) {
      this.#graph.remove(waiter)
      const open = this.#requests.get(waiter.request)
      assert(open !== undefined, 'a waiter without request')
      this.#finish(open, GRANTED)
    }
    if (inode.locks.queue.length === 0) this.#queued.delete(inode)
  }

  #finish(open: OpenRequest, decision: LockDecision): void {
    this.#requests.delete(open.request)
    open.inode.open.delete(open.request)
    if (!open.silent) {
      this.#effects.push({ type: 'decided', request: open.request, decision })
    }
    this.#forgetBlank(open.inode)
  }

  #forgetBlank(inode: LocalInode): void {
    if (inode.delegation === 0 && inode.open.size === 0 && inode.locks.isBlank) {
      this.#inodes.delete(inode.ino)
    }
  }

  #cancel(request: number, nowMs: number): void {
    const open = this.#requests.get(request)
    if (open === undefined || open.cancelled || open.lock === 'unlock') return
    if (open.waiter !== undefined) {
      open.inode.locks.dequeue(open.lockOwner, request)
      this.#graph.remove(open.waiter)
      this.#finish(open, CANCELLED)
      this.#settle(open.inode, nowMs)
      if (open.inode.locks.queue.length === 0) this.#queued.delete(open.inode)
      return
    }
    if (this.#phase === 'idle') {
      this.#finish(open, CANCELLED)
      return
    }
    open.cancelled = true
    this.#send({ type: 'cancel', request })
  }

  // Messages

  #receive(message: LockToClient, nowMs: number): void {
    switch (message.type) {
      case 'answer':
        this.#answered(message.request, message.result, nowMs)
        break
      case 'conflict': {
        const open = this.#asked(message.request)
        const { conflict } = message
        if (open !== undefined) {
          this.#finish(open, conflict === undefined ? GRANTED : { result: 'granted', conflict })
        }
        break
      }
      case 'delegate':
        this.#delegated(message.ino, message.delegation, nowMs)
        break
      case 'recall': {
        const inode = this.#inodes.get(message.ino)
        if (inode !== undefined && inode.delegation === message.delegation) {
          this.#yield(inode, nowMs)
        }
        break
      }
      case 'collect':
        this.#sendEdges(message.round)
        break
    }
  }

  #asked(request: number): OpenRequest | undefined {
    const open = this.#requests.get(request)
    if (open !== undefined && open.waiter === undefined) return open
    const reason = `lock request ${request} answered, not asked`
    this.#effects.push({ type: 'violation', reason })
    return undefined
  }

  #answered(request: number, result: LockResult, nowMs: number): void {
    const open = this.#asked(request)
    if (open === undefined) return
    if (result === 'granted' && open.action !== 'query') {
      const { lockOwner: owner, lock: type, start, end, pid } = open
      this.#set(open.inode, { owner, type, start, end, pid, sinceMs: nowMs })
    }
    this.#finish(open, { result })
  }

  /** What is open there is decided here, in the order it was asked. */
  #delegated(ino: Ino, delegation: number, nowMs: number): void {
    const inode = this.#inodeOf(ino)
    inode.delegation = delegation
    for (const open of [...inode.open.values()]) {
      inode.open.delete(open.request)
      const decision = open.cancelled ? CANCELLED : this.#decide(inode, open, open.lockOwner, nowMs)
      if (decision === undefined) this.#enqueue(open)
      else this.#finish(open, decision)
    }
    if (this.#inodes.size > this.#delegationsMax) this.#giveBackIdle(nowMs)
  }

  #giveBackIdle(nowMs: number): void {
    let scanned = 0
    for (const inode of this.#inodes.values()) {
      if (scanned++ >= IDLE_SCAN || this.#inodes.size <= this.#delegationsMax) break
      this.#inodes.delete(inode.ino)
      if (inode.delegation > 0 && inode.locks.isBlank) this.#yield(inode, nowMs)
      else this.#inodes.set(inode.ino, inode)
    }
  }

  #yield(inode: LocalInode, nowMs: number): void {
    const { ino, delegation, locks } = inode
    const holds = inParts(this.#holdsOf(inode, nowMs))
    const waiters = inParts(this.#toAuthority(inode, nowMs))
    const count = Math.max(holds.length, waiters.length)
    for (let i = 0; i < count; i++) {
      const part = { holds: holds[i] ?? [], waiters: waiters[i] ?? [] }
      this.#send({ type: 'yield', ino, delegation, ...part, last: i === count - 1 })
    }
    inode.delegation = 0
    if (locks.isBlank) this.#forgetBlank(inode)
  }

  #holdsOf(inode: LocalInode, nowMs: number): LockHold[] {
    return inode.locks.table.locks().map(({ owner, type, start, end, pid, sinceMs }) => {
      const ageMs = Math.max(0, Math.round(nowMs - sinceMs))
      return {
        ino: inode.ino,
        kind: owner.kind,
        owner: owner.id,
        lock: type,
        start,
        end,
        pid,
        ageMs
      }
    })
  }

  /** The queue is the authority's from here on: its requests are open there, in their order. */
  #toAuthority(inode: LocalInode, nowMs: number): LockWaiting[] {
    const waiting: LockWaiting[] = []
    for (const waiter of inode.locks.clearQueue()) {
      this.#graph.remove(waiter)
      const open = this.#requests.get(waiter.request)
      assert(open !== undefined, 'a waiter without request')
      open.waiter = undefined
      inode.open.set(open.request, open)
      const { owner, type, start, end, pid, request, sinceMs } = waiter
      const ageMs = Math.max(0, Math.round(nowMs - sinceMs))
      const span = {
        ino: inode.ino,
        kind: owner.kind,
        owner: owner.id,
        lock: type,
        start,
        end,
        pid
      }
      waiting.push({ ...span, ageMs, request })
    }
    this.#queued.delete(inode)
    return waiting
  }

  #sendEdges(round: number): void {
    const edges: LockEdge[] = []
    for (const { ino, locks } of this.#queued) {
      for (const { waiter, request, holder, serial } of waitEdges(ino, locks)) {
        edges.push({ ino, waiter: waiter.id, request, holder: holder.id, serial })
      }
    }
    const parts = inParts(edges)
    parts.forEach((part, i) => {
      this.#send({ type: 'edges', round, edges: part, last: i === parts.length - 1 })
    })
  }

  // Epochs

  #startEpoch(nowMs: number): void {
    this.#phase = 'serving'
    const holds: LockHold[] = []
    for (const inode of [...this.#inodes.values()]) {
      inode.delegation = 0
      this.#toAuthority(inode, nowMs)
      holds.push(...this.#holdsOf(inode, nowMs))
      this.#forgetBlank(inode)
    }
    for (const part of inParts(holds)) this.#send({ type: 'assert', holds: part, last: false })
    const open = [...this.#requests.values()].sort((a, b) => a.request - b.request)
    for (const request of open) this.#sendWant(request)
    // Last, since what is asked again may explain what is asserted (see lock-doubts).
    this.#send({ type: 'assert', holds: [], last: true })
  }

  #isolate(): void {
    if (this.#phase === 'isolated') return
    this.#phase = 'isolated'
    for (const open of [...this.#requests.values()]) {
      const { waiter, inode } = open
      if (waiter !== undefined) {
        inode.locks.dequeue(waiter.owner, waiter.request)
        this.#graph.remove(waiter)
      } else if (open.action !== 'query') {
        this.#giveUpDoubtful(inode, open)
      }
      this.#finish(open, open.lock === 'unlock' ? GRANTED : ISOLATED)
    }
    this.#queued.clear()
  }

  /** What the authority may have given away by an answer that never arrived is not held any more. */
  #giveUpDoubtful(inode: LocalInode, open: OpenRequest): void {
    const { lock, lockOwner } = open
    const isDowngrade =
      lock === 'read' &&
      inode.locks.table
        .locksOf(lockOwner)
        .some((held) => held.type === 'write' && rangesOverlap(held, open))
    if (lock === 'unlock') this.#unlockHere(inode, open)
    if (!isDowngrade) return
    this.#unlockHere(inode, { ...open, ...WHOLE_FILE })
    this.#effects.push({ type: 'lost', locks: [lostOf(inode.ino, lockOwner)] })
  }

  #unlockHere(inode: LocalInode, span: LockSpan): void {
    const owner: LockOwner = { member: this.member, kind: span.kind, id: span.owner }
    const { start, end, pid } = span
    this.#set(inode, { owner, type: 'unlock', start, end, pid, sinceMs: 0 })
    this.#forgetBlank(inode)
  }

  #end(): void {
    this.#isolate()
    const locks: LostLock[] = []
    for (const { ino, locks: held } of this.#inodes.values()) {
      for (const owner of held.table.owners()) locks.push(lostOf(ino, owner))
    }
    this.#inodes.clear()
    this.#held = 0
    if (locks.length > 0) this.#effects.push({ type: 'lost', locks })
  }
}

function lostOf(ino: Ino, { kind, id }: LockOwner): LostLock {
  return { ino, kind, owner: id }
}
