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
 * - at a new epoch everything held is asserted before anything is asked; delegations are over, and
 *   token requests that were to come with a lock are not made any more.
 *
 * Pure: no clock, no chance, no I/O; time comes with the events.
 */
import { assert } from '../../fs/assert.ts'
import { InodeLocks } from '../../fs/lock/inode-locks.ts'
import { type LockOwner, LockSerials, sameOwner } from '../../fs/lock/lock-table.ts'
import { rangesOverlap, WHOLE_FILE } from '../../fs/lock/range.ts'
import type { LockKind, LostLock } from '../../fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { ContendedInodes } from './contended-inodes.ts'
import { DelegatedLocks } from './delegated-locks.ts'
import { holdsOf, type LocalInode, lostOf, type OpenRequest, waitingOf } from './local-inode.ts'
import {
  CANCELLED,
  GRANTED,
  ISOLATED,
  type LockAsk,
  type LockClientEffect,
  type LockClientEvent,
  type LockClientOptions,
  type LockDecision,
  NO_LOCKS
} from './lock-client-events.ts'
import {
  LOCK_REQUESTS_MAX,
  LOCKS_HELD_MAX,
  type LockAnswerMessage,
  type LockBring,
  type LockHold,
  type LockSpan,
  type LockToAuthority,
  type LockToClient,
  type LockWaiting
} from './lock-message.ts'
import { inParts } from './lock-parts.ts'

/** How far idle delegations are looked for in one step. */
const IDLE_SCAN = 64

export class LockClient {
  readonly member: MemberId
  readonly #delegationsMax: number
  readonly #inodes = new Map<Ino, LocalInode>()
  readonly #requests = new Map<number, OpenRequest>()
  readonly #serials = new LockSerials()
  readonly #delegated: DelegatedLocks
  readonly #contended = new ContendedInodes()
  #phase: 'idle' | 'serving' | 'isolated' = 'idle'
  #lastRequest = 0
  #effects: LockClientEffect[] = []

  constructor(options: LockClientOptions) {
    this.member = options.member
    this.#delegationsMax = options.delegationsMax ?? 4096
    this.#delegated = new DelegatedLocks({
      onGranted: (request) => {
        const open = this.#requests.get(request)
        assert(open !== undefined, 'a waiter without request')
        this.#finish(open, GRANTED)
      }
    })
  }

  /** True while `tick` events are wanted, some 25 ms apart. */
  get needsTick(): boolean {
    return this.#delegated.hasWaiters
  }

  /**
   * The decision if it is made at once, else the number it will come with. See `takeEffects`.
   * `bring`: a reserved token request, for the authority to make when it grants the lock.
   */
  request(ask: LockAsk, nowMs: number, bring?: LockBring): LockDecision | number {
    const owner: LockOwner = { member: this.member, kind: ask.kind, id: ask.owner }
    const refusal = this.#refusal(ask, owner)
    if (refusal !== undefined) return refusal
    const inode = this.#inodeOf(ask.ino)
    if (ask.lock === 'unlock') this.#contended.countUnlock(ask.ino)
    if (inode.delegation > 0) {
      const decision = this.#delegated.decide(inode, ask, owner, nowMs)
      if (decision !== undefined) return decision
    } else if (ask.kind === 'flock' && ask.action !== 'query') {
      this.#convertFlock(inode, ask, owner, nowMs)
    }
    const open = this.#open(inode, ask, owner, nowMs, false)
    open.bring = bring
    if (inode.delegation > 0) this.#delegated.enqueue(open)
    else this.#ask(open)
    return open.request
  }

  /** True when others wait, or waited lately, for locks of an inode that is not decided here. */
  isContended(ino: Ino): boolean {
    return this.#contended.has(ino) && !this.isDelegated(ino)
  }

  isDelegated(ino: Ino): boolean {
    return (this.#inodes.get(ino)?.delegation ?? 0) > 0
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
        this.#delegated.settleAll(event.nowMs)
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
    return { inodes, held: this.#delegated.held, waiting: this.#requests.size, delegations }
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
    if (this.#delegated.held >= LOCKS_HELD_MAX) return NO_LOCKS
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
    const open: OpenRequest = { ...span, ...state, bring: undefined, waiter: undefined }
    this.#requests.set(request, open)
    return open
  }

  #ask(open: OpenRequest): void {
    open.inode.open.set(open.request, open)
    if (this.#phase === 'serving') this.#sendWant(open)
  }

  #sendWant(open: OpenRequest): void {
    const { request, action, lock, ino, kind, owner, pid, start, end, bring } = open
    const want = { type: 'want', request, action, lock, ino, kind, owner, pid, start, end } as const
    this.#send(bring === undefined ? want : { ...want, bring })
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
      this.#delegated.dequeue(open)
      this.#finish(open, CANCELLED)
      this.#delegated.settle(open.inode, nowMs)
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
        this.#answered(message, nowMs)
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
        this.#receiveDelegation(message.ino, message.delegation, nowMs)
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

  #answered({ request, result, contended }: LockAnswerMessage, nowMs: number): void {
    const open = this.#asked(request)
    if (open === undefined) return
    if (contended) this.#contended.note(open.ino)
    if (result === 'granted' && open.action !== 'query') {
      const { lockOwner: owner, lock: type, start, end, pid } = open
      this.#delegated.set(open.inode, { owner, type, start, end, pid, sinceMs: nowMs })
    }
    const brought = result === 'granted' && open.bring !== undefined
    this.#finish(open, brought ? { result, brought } : { result })
  }

  /** What is open there is decided here, in the order it was asked. */
  #receiveDelegation(ino: Ino, delegation: number, nowMs: number): void {
    const inode = this.#inodeOf(ino)
    inode.delegation = delegation
    for (const open of [...inode.open.values()]) {
      inode.open.delete(open.request)
      const decision = open.cancelled
        ? CANCELLED
        : this.#delegated.decide(inode, open, open.lockOwner, nowMs)
      if (decision === undefined) this.#delegated.enqueue(open)
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
    const holds = inParts(holdsOf(inode, nowMs))
    const waiters = inParts(this.#toAuthority(inode, nowMs))
    const count = Math.max(holds.length, waiters.length)
    for (let i = 0; i < count; i++) {
      const part = { holds: holds[i] ?? [], waiters: waiters[i] ?? [] }
      this.#send({ type: 'yield', ino, delegation, ...part, last: i === count - 1 })
    }
    inode.delegation = 0
    if (locks.isBlank) this.#forgetBlank(inode)
  }

  /** The queue is the authority's from here on: its requests are open there, in their order. */
  #toAuthority(inode: LocalInode, nowMs: number): LockWaiting[] {
    const waiting: LockWaiting[] = []
    for (const waiter of this.#delegated.takeQueue(inode)) {
      const open = this.#requests.get(waiter.request)
      assert(open !== undefined, 'a waiter without request')
      open.waiter = undefined
      open.bring = undefined
      inode.open.set(open.request, open)
      waiting.push(waitingOf(inode.ino, waiter, nowMs))
    }
    return waiting
  }

  #sendEdges(round: number): void {
    const parts = inParts(this.#delegated.edges())
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
      holds.push(...holdsOf(inode, nowMs))
      this.#forgetBlank(inode)
    }
    for (const part of inParts(holds)) this.#send({ type: 'assert', holds: part, last: false })
    const open = [...this.#requests.values()].sort((a, b) => a.request - b.request)
    for (const request of open) {
      request.bring = undefined
      this.#sendWant(request)
    }
    // Last, since what is asked again may explain what is asserted (see lock-doubts).
    this.#send({ type: 'assert', holds: [], last: true })
  }

  #isolate(): void {
    if (this.#phase === 'isolated') return
    this.#phase = 'isolated'
    for (const open of [...this.#requests.values()]) {
      const { waiter, inode } = open
      if (waiter !== undefined) {
        this.#delegated.dequeue(open)
      } else if (open.action !== 'query') {
        this.#giveUpDoubtful(inode, open)
      }
      this.#finish(open, open.lock === 'unlock' ? GRANTED : ISOLATED)
    }
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
    this.#delegated.set(inode, { owner, type: 'unlock', start, end, pid, sinceMs: 0 })
    this.#forgetBlank(inode)
  }

  #end(): void {
    this.#isolate()
    const locks: LostLock[] = []
    for (const { ino, locks: held } of this.#inodes.values()) {
      for (const owner of held.table.owners()) locks.push(lostOf(ino, owner))
    }
    this.#inodes.clear()
    this.#delegated.clear()
    if (locks.length > 0) this.#effects.push({ type: 'lost', locks })
  }
}
