import type { Op, WriteOp } from '../op.ts'
import type { Epoch, FreedBatchId, Ino, SegmentId, Seq, WriterId } from '../primitives.ts'

/** The entry an op belongs to. */
export interface Origin {
  readonly writer: WriterId
  readonly seq: Seq
}

/** Where a slice stands that no extent refers to any more. */
export interface FreedSlice {
  readonly segment: SegmentId
  readonly offset: number
  readonly length: number
}

/** Slices freed one after the other, and forgotten together. */
export interface FreedBatch {
  readonly id: FreedBatchId
  /** At least one, in the order of their places. */
  readonly slices: readonly FreedSlice[]
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
   * As `apply`, but the work may be left to `finishApply`, which whoever looks at the state or changes it does first. So
   * nobody sees a difference, but that `finishApply` throws what `apply` would have thrown.
   */
  applySoon(op: Op, origin: Origin): void
  /** Does what `applySoon` left undone, if anything. */
  finishApply(): void
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
  /**
   * Everything freed that was not forgotten, the oldest first: so many batches that they hold
   * `slices` slices, or all there are.
   */
  freedBatches(slices: number): FreedBatch[]
  /** Forgets batches whose slices are all punched out of their segments; for good with the next commit. */
  forgetFreed(ids: readonly FreedBatchId[]): void
  /** sha256 (hex) over the whole replicated state in a canonical order; equal on equal members. */
  digest(): string
}
