/**
 * The locks of one inode with those who wait for them. Owns the order of the queue.
 *
 * Fairness: a waiting request is granted when nothing held conflicts with it and no request that
 * waits since longer does. The second half holds back for FAIR_WAIT_MS at most: strict order would
 * make processes wait for each other that have no conflict in one kernel (a child that shares a
 * flock its parent already shares while a writer waits, an owner that needs a second range before
 * it can release the first). A request that does not wait is never refused because of the queue.
 * So whoever takes turns gets his turn, and the order of arrival alone never makes a deadlock.
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

/** How long a request that nothing held is in the way of lets earlier ones go first. */
export const FAIR_WAIT_MS = 100

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
    return nowMs - waiter.sinceMs >= FAIR_WAIT_MS || !this.#isBehind(waiter)
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
    for (const waiter of this.#queue) {
      if (
        waiter.owner.kind === lock.owner.kind &&
        !sameOwner(waiter.owner, lock.owner) &&
        rangesOverlap(waiter, lock) &&
        typesConflict(waiter.type, lock.type)
      ) {
        count++
      }
    }
    return count
  }

  #isBehind(waiter: LockWaiter): boolean {
    for (const earlier of this.#queue) {
      if (earlier === waiter) return false
      if (
        earlier.owner.kind === waiter.owner.kind &&
        rangesOverlap(earlier, waiter) &&
        typesConflict(earlier.type, waiter.type) &&
        !sameOwner(earlier.owner, waiter.owner)
      ) {
        return true
      }
    }
    return false
  }
}
