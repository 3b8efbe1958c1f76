import type { Op, WriteOp } from '../op.ts'
import type { Epoch, Ino, SegmentId, Seq, WriterId } from '../primitives.ts'

/** The entry an op belongs to. */
export interface Origin {
  readonly writer: WriterId
  readonly seq: Seq
}

/** A slice no extent refers to any more, and the entry that freed it. */
export interface FreedSlice {
  readonly segment: SegmentId
  readonly offset: number
  readonly length: number
  readonly origin: Origin
}

/** What of the log a durable state contains. */
export interface StatePosition {
  readonly epoch: Epoch | 0
  readonly applied: ReadonlyMap<WriterId, Seq>
}

/** The replicated state, seen from the replication: it applies ops and remembers how far. */
export interface StateMachine {
  /**
   * Applies one op inside the open transaction. Synchronous, deterministic: no clock, no chance,
   * and nothing local enters the replicated tables. Throws AssertionError when the op contradicts
   * the state, which means divergence: the caller stops the member.
   */
  apply(op: Op, origin: Origin): void
  /**
   * The op applied last, a write of one slice, is now `op`: equal in its first `from` bytes and
   * longer, or with its sha256. As if it had been that from the beginning. A state without this takes
   * every write as it comes.
   */
  extend?(op: WriteOp, from: number, origin: Origin): void
  /** Position written by the last commit that was on disk when the store was opened. */
  position(): StatePosition
  /**
   * Commits the open transaction with `position` and begins the next one. The caller has made the
   * journal durable up to that position (RULES 13). Not fsynced: the checkpoint does that.
   */
  commit(position: StatePosition): void
  /** Inodes without links that still exist, waiting to be reaped. */
  orphans(): Ino[]
  /** Freed slices in the order they were freed, at most `limit`. */
  freedSlices(limit: number): FreedSlice[]
  /** Forgets freed slices that were punched out of their segment. */
  forgetFreed(slices: readonly FreedSlice[]): void
  /** sha256 (hex) over the whole replicated state in a canonical order; equal on equal members. */
  digest(): string
}
