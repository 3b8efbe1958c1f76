/**
 * The locks of one inode with those who wait for them. Owns the order of the queue.
 *
 * Fairness: a waiting request is granted when nothing held conflicts with it and it need not let an
 * earlier one go first. It lets an earlier, conflicting one go first for as long as that one had
 * waited when it came itself, but FAIR_MIN_MS at least and FAIR_MAX_MS at most; and not at all when
 * the earlier one waits for a lock of the same owner, since then both would wait for ever. Strict
 * order would make processes wait for each other that have no conflict in one kernel (a child that
 * shares a flock its parent already shares, while a writer waits). A request that does not wait is
 * never refused because of the queue. So who takes turns gets his turn, and the order of arrival
 * alone never makes a deadlock.
 *
 * Pure: time comes with the calls.
 */
import type { LockType } from '../ports/lock-service.ts'
import {
  type HeldLock,
  type LockChange,
  type LockOwner,
  type LockSerials,
  LockTable,
  sameOwner,
  typesConflict
} from './lock-table.ts'
import { type LockRange, rangesOverlap } from './range.ts'

export const FAIR_MIN_MS = 100
export const FAIR_MAX_MS = 1000

export interface LockWaiter extends LockRange {
  readonly owner: LockOwner
  readonly type: LockType
  readonly pid: number
  /** Unique together with the owner's member. */
  readonly request: number
  readonly sinceMs: number
}

export class InodeLocks {
  readonly table: LockTable
  readonly #queue: LockWaiter[] = []

  constructor(serials: LockSerials) {
    this.table = new LockTable(serials)
  }

  get queue(): readonly LockWaiter[] {
    return this.#queue
  }

  get isBlank(): boolean {
    return this.table.count === 0 && this.#queue.length === 0
  }

  /** Without waiting: sets the lock, or returns what is in the way. */
  attempt(change: LockChange & { readonly type: LockType }): HeldLock | undefined {
    const conflict = this.table.conflict(change.owner, change.type, change)
    if (conflict === undefined) this.table.set(change)
    return conflict
  }

  /** True when a request that may wait is to be granted now rather than queued. */
  isFree(waiter: LockWaiter, nowMs: number): boolean {
    if (this.table.conflict(waiter.owner, waiter.type, waiter) !== undefined) return false
    return this.#queue.length === 0 || !this.#isBehind(waiter, nowMs)
  }

  grant(waiter: LockWaiter, nowMs: number): void {
    const { owner, type, start, end, pid } = waiter
    this.table.set({ owner, type, start, end, pid, sinceMs: nowMs })
  }

  enqueue(waiter: LockWaiter): void {
    this.#queue.push(waiter)
  }

  /** Takes it out of the queue; undefined when it does not wait here. */
  dequeue(owner: LockOwner, request: number): LockWaiter | undefined {
    const index = this.#queue.findIndex(
      (waiter) => waiter.request === request && waiter.owner.member === owner.member
    )
    return index < 0 ? undefined : this.#queue.splice(index, 1)[0]
  }

  clearQueue(): LockWaiter[] {
    return this.#queue.splice(0)
  }

  /** Grants every waiter that can be, in order; to be called when anything got weaker or older. */
  settle(nowMs: number): LockWaiter[] {
    const granted: LockWaiter[] = []
    for (let again = this.#queue.length > 0; again; ) {
      again = false
      for (let i = 0; i < this.#queue.length; i++) {
        const waiter = this.#queue[i]
        if (waiter === undefined || !this.isFree(waiter, nowMs)) continue
        this.#queue.splice(i--, 1)
        const downgrades = waiter.type === 'read' && this.table.locksOf(waiter.owner).length > 0
        this.grant(waiter, nowMs)
        granted.push(waiter)
        // A downgrade may free a request that was passed over.
        if (downgrades) again = true
      }
    }
    return granted
  }

  /** What keeps it waiting, one lock of each owner. */
  blockers(waiter: LockWaiter): HeldLock[] {
    return this.table.conflicts(waiter.owner, waiter.type, waiter)
  }

  /** How many wait for that held lock. */
  waitersFor(lock: HeldLock): number {
    let count = 0
    for (const waiter of this.#queue) if (inTheWay(waiter, lock)) count++
    return count
  }

  #isBehind(waiter: LockWaiter, nowMs: number): boolean {
    const waitedMs = nowMs - waiter.sinceMs
    if (waitedMs >= FAIR_MAX_MS) return false
    for (const earlier of this.#queue) {
      if (earlier === waiter) return false
      if (!inTheWay(earlier, waiter)) continue
      const patienceMs = Math.max(FAIR_MIN_MS, waiter.sinceMs - earlier.sinceMs)
      if (waitedMs < patienceMs && !this.#waitsFor(earlier, waiter.owner)) return true
    }
    return false
  }

  #waitsFor(waiter: LockWaiter, owner: LockOwner): boolean {
    return this.table
      .locksOf(owner)
      .some((held) => typesConflict(held.type, waiter.type) && rangesOverlap(held, waiter))
  }
}

/** True when the two, were both granted, would conflict. */
function inTheWay(a: LockWaiter | HeldLock, b: LockWaiter | HeldLock): boolean {
  return (
    a.owner.kind === b.owner.kind &&
    rangesOverlap(a, b) &&
    typesConflict(a.type, b.type) &&
    !sameOwner(a.owner, b.owner)
  )
}
