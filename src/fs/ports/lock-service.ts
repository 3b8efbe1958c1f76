/** File locks of the whole cluster, as the filesystem and the commands see them. */
import type { Ino, MemberId } from '../primitives.ts'
import type { TokenWant } from './token-service.ts'

/**
 * 'record' locks cover byte ranges (fcntl and OFD locks, which the kernel does not tell apart);
 * 'flock' locks cover the whole file. The two kinds do not conflict with each other.
 */
export type LockKind = 'record' | 'flock'

export type LockType = 'read' | 'write'

/** Last lockable byte, 2^63 - 1: a range up to here has no end. */
export const LOCK_END = 2n ** 63n - 1n

export interface LockRequest {
  readonly kind: LockKind
  readonly type: LockType | 'unlock'
  /** First byte, 0..LOCK_END; 0 for flock. */
  readonly start: bigint
  /** Last byte, start..LOCK_END; LOCK_END for flock. */
  readonly end: bigint
  /** The kernel's lock owner, 64 bits. */
  readonly owner: bigint
  /** For reports only. */
  readonly pid: number
}

export interface LockConflict {
  readonly kind: LockKind
  readonly type: LockType
  readonly start: bigint
  readonly end: bigint
  readonly member: MemberId
  /** A process of that member. */
  readonly pid: number
}

export interface LockWait {
  /** True: wait until it can be granted (F_SETLKW). False: fail at once with EAGAIN. */
  readonly wait: boolean
  /** Ends the wait with EINTR. Only for interrupts that may end a lock's wait. Read only to wait. */
  readonly signal?: AbortSignal | undefined
  /** A token that will be wanted as soon as the lock is there: it may come along with it. */
  readonly token?: TokenWant | undefined
}

/** One held lock, or one that is waited for. */
export interface LockRow {
  readonly ino: Ino
  readonly kind: LockKind
  readonly type: LockType
  readonly start: bigint
  readonly end: bigint
  readonly member: MemberId
  readonly pid: number
  readonly owner: bigint
  readonly state: 'held' | 'waiting'
  /** How long it is held or waited for, in milliseconds. */
  readonly ageMs: number
  /** Requests that wait for this held lock, as far as this member knows. */
  readonly waiters: number
  /** Name of the process, where its own member told it. */
  readonly command?: string
}

/** The locks of this owner on that inode are gone: its handles must not go on (RULES 5). */
export interface LostLock {
  readonly ino: Ino
  readonly kind: LockKind
  readonly owner: bigint
}

export interface LockService {
  /**
   * The first lock of another owner that keeps `request` from being granted, as F_GETLK reports
   * it, or undefined. Answers at once (no Promise) when this member decides about the inode's
   * locks. Throws or rejects like `setlk`.
   */
  getlk(
    ino: Ino,
    request: LockRequest,
    signal?: AbortSignal
  ): LockConflict | undefined | Promise<LockConflict | undefined>

  /**
   * Sets or clears a lock by the rules of fcntl (kind 'record') or flock. Returns nothing when it
   * is done at once, else a Promise that resolves when every member of the cluster respects it.
   * Throws or rejects with FsError: EAGAIN (conflict and no wait), EDEADLK (waiting would never
   * end), EINTR (by `signal` only), EINVAL (range or kind that cannot be), ENOLCK (too many
   * locks or waits), EIO (this member may not serve). An unlock succeeds always.
   */
  setlk(ino: Ino, request: LockRequest, options: LockWait): void | Promise<void>

  /**
   * Releases all locks of one owner on an inode. To be called at FLUSH (kind 'record', its lock
   * owner), at RELEASE with FLOCK_UNLOCK (kind 'flock', its lock owner) and at RELEASE for every
   * record owner that locked through that handle (OFD locks are not unlocked in any other way).
   * Costs nothing when nothing is held. Waits of the owner go on, as in the kernel.
   */
  releaseOwner(ino: Ino, owner: bigint, kind: LockKind): void | Promise<void>

  /** True when processes of other members were waiting for locks of the inode lately. */
  isContended(ino: Ino): boolean

  /** Held and waiting locks this member knows of: its own, and at the authority those shared. */
  list(): readonly LockRow[]
}
