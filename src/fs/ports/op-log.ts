import type { Awaitable } from '../awaitable.ts'
import type { Op } from '../op.ts'
import type { Ino } from '../primitives.ts'

/** Where mutations go: the replicated log, seen from the filesystem. */
export interface OpLog {
  /**
   * Applies `op` to the state at once (synchronously, before this call returns) and puts it into
   * the entry being gathered. `payload` holds the bytes of the op's slices when they ride inline
   * (at most INLINE_MAX_BYTES); it must stay unchanged until the promise settles. `op`, with its names
   * and values, must never change: its entry may be closed after the process was answered.
   *
   * It is done when the op is written down on this member (page cache, not fsynced), often on return:
   * a crash of this process does not lose it then. It goes to the others a few milliseconds later, or with
   * an fsync. Rejects with EIO when this member lost its right to write.
   */
  submit(op: Op, payload?: Uint8Array): Awaitable<void>

  /**
   * `submit` for at most eight ops without payload that are one change: they stand in one entry, so
   * a crash leaves all of them or none.
   */
  submitTogether(ops: readonly Op[]): Awaitable<void>

  /**
   * fsync: resolves when everything applied here at the time of the call, from every writer, is
   * durable (fdatasync) on every member of the in-sync set. Rejects with EIO if that cannot be.
   */
  durable(): Promise<void>

  /** A new inode number, never handed out before. */
  allocateIno(): Ino

  /** Throws FsError ENOSPC unless every live member can take `bytes` more of data. */
  assertSpace(bytes: number): void

  /** The smallest disk of the live members: total and available bytes. */
  space(): { readonly totalBytes: number; readonly availableBytes: number }
}
