/**
 * The locks held on one inode. Owns which owner has which type on which bytes.
 *
 * Invariant: the locks of one owner and kind are disjoint, sorted, and neighbours of one type are
 * one lock (POSIX merging); an owner without locks is not in the table. The table itself lets
 * nobody be kept out: who asks `conflict` first keeps locks of different owners apart.
 */
import type { LockKind, LockType } from '../ports/lock-service.ts'
import type { MemberId } from '../primitives.ts'
import { type LockRange, rangesOverlap } from './range.ts'

/** Owners are equal when all three are. */
export interface LockOwner {
  readonly member: MemberId
  readonly kind: LockKind
  /** The kernel's lock owner on that member. */
  readonly id: bigint
}

export interface HeldLock extends LockRange {
  readonly owner: LockOwner
  readonly type: LockType
  readonly pid: number
  readonly sinceMs: number
  /** Changes whenever the lock is not exactly the one that was there before. */
  readonly serial: number
}

/** What is to be done to the locks of one owner. */
export interface LockChange extends LockRange {
  readonly owner: LockOwner
  readonly type: LockType | 'unlock'
  readonly pid: number
  readonly sinceMs: number
}

/** Numbers locks; shared by all tables whose locks are ever compared. */
export class LockSerials {
  #last = 0

  next(): number {
    return ++this.#last
  }
}

interface OwnerLocks {
  readonly owner: LockOwner
  /** Sorted and disjoint. */
  readonly locks: HeldLock[]
}

const NO_LOCKS: readonly HeldLock[] = []

export function sameOwner(a: LockOwner, b: LockOwner): boolean {
  return a === b || (a.id === b.id && a.member === b.member && a.kind === b.kind)
}

/** True when two requests or locks of different owners cannot stand beside each other. */
export function typesConflict(a: LockType, b: LockType): boolean {
  return a === 'write' || b === 'write'
}

export class LockTable {
  readonly #serials: LockSerials
  /** In the order of each owner's first lock, which is the order Linux reports conflicts in. */
  readonly #owners: OwnerLocks[] = []
  #count = 0

  constructor(serials: LockSerials) {
    this.#serials = serials
  }

  get count(): number {
    return this.#count
  }

  /** The first lock of another owner that keeps `type` on that range from `owner`. */
  conflict(owner: LockOwner, type: LockType, range: LockRange): HeldLock | undefined {
    for (const entry of this.#owners) {
      if (entry.owner.kind !== owner.kind || sameOwner(entry.owner, owner)) continue
      for (const lock of entry.locks) {
        if (lock.start > range.end) break
        if (lock.end >= range.start && typesConflict(lock.type, type)) return lock
      }
    }
    return undefined
  }

  /** All such locks, at most one of each owner. */
  conflicts(owner: LockOwner, type: LockType, range: LockRange): HeldLock[] {
    const found: HeldLock[] = []
    for (const entry of this.#owners) {
      if (entry.owner.kind !== owner.kind || sameOwner(entry.owner, owner)) continue
      const lock = entry.locks.find((l) => typesConflict(l.type, type) && rangesOverlap(l, range))
      if (lock !== undefined) found.push(lock)
    }
    return found
  }

  /**
   * Gives the owner exactly `type` on the range, whatever it had there: merges, splits, upgrades,
   * downgrades, unlocks. Returns whether anything of what others see changed to their advantage.
   */
  set(change: LockChange): boolean {
    const { owner, type, start, end, pid, sinceMs } = change
    const index = this.#indexOf(owner)
    const entry = this.#owners[index]
    if (entry === undefined) {
      if (type === 'unlock') return false
      this.#owners.push({ owner, locks: [this.#lock(owner, type, start, end, pid, sinceMs)] })
      this.#count++
      return false
    }
    const [only, second] = entry.locks
    if (type === 'unlock' && only !== undefined && second === undefined) {
      // By far the most frequent: the one lock there is goes.
      if (start <= only.start && only.end <= end) {
        this.#owners.splice(index, 1)
        this.#count--
        return true
      }
    }
    const before = entry.locks.length
    const weakened = this.#replace(entry.locks, change)
    this.#count += entry.locks.length - before
    if (entry.locks.length === 0) this.#owners.splice(index, 1)
    return weakened
  }

  locksOf(owner: LockOwner): readonly HeldLock[] {
    return this.#owners[this.#indexOf(owner)]?.locks ?? NO_LOCKS
  }

  owners(): LockOwner[] {
    return this.#owners.map((entry) => entry.owner)
  }

  locks(): HeldLock[] {
    return this.#owners.flatMap((entry) => entry.locks)
  }

  clear(): void {
    this.#owners.length = 0
    this.#count = 0
  }

  /** -1 when the owner has nothing here. */
  #indexOf(owner: LockOwner): number {
    for (let i = 0; i < this.#owners.length; i++) {
      const entry = this.#owners[i]
      if (entry !== undefined && sameOwner(entry.owner, owner)) return i
    }
    return -1
  }

  #lock(
    owner: LockOwner,
    type: LockType,
    start: bigint,
    end: bigint,
    pid: number,
    sinceMs: number
  ): HeldLock {
    return { owner, type, start, end, pid, sinceMs, serial: this.#serials.next() }
  }

  /** Rewrites the part of `locks` that overlaps the change or is to be merged with it. */
  #replace(locks: HeldLock[], change: LockChange): boolean {
    const { owner, type, pid } = change
    let { start, end, sinceMs } = change
    let first = 0
    while (first < locks.length && isBelow(locks[first], start)) first++
    let weakened = false
    let next = first
    let left: HeldLock | undefined
    let right: HeldLock | undefined
    for (let lock = locks[next]; lock !== undefined; lock = locks[++next]) {
      if (lock.start > end + 1n) break
      const overlaps = rangesOverlap(lock, change)
      if (lock.type === type) {
        // Neighbours and overlapping locks of the same type become one.
        if (lock.start < start) start = lock.start
        if (lock.end > end) end = lock.end
        if (lock.sinceMs < sinceMs) sinceMs = lock.sinceMs
        continue
      }
      if (overlaps && (type === 'unlock' || lock.type === 'write')) weakened = true
      if (lock.start < change.start) left = part(lock, lock.start, min(lock.end, change.start - 1n))
      if (lock.end > change.end) right = part(lock, max(lock.start, change.end + 1n), lock.end)
      else if (!overlaps) left = lock
    }
    const put: HeldLock[] = []
    if (left !== undefined) put.push(left)
    if (type !== 'unlock') put.push(this.#lock(owner, type, start, end, pid, sinceMs))
    if (right !== undefined) put.push(right)
    locks.splice(first, next - first, ...put)
    return weakened
  }
}

/** True when the lock ends before what could be merged with something that starts at `start`. */
function isBelow(lock: HeldLock | undefined, start: bigint): boolean {
  return lock !== undefined && lock.end < start - 1n
}

/** What stays of a lock keeps its serial: to others it is the same lock. */
function part(lock: HeldLock, start: bigint, end: bigint): HeldLock {
  return start === lock.start && end === lock.end ? lock : { ...lock, start, end }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
