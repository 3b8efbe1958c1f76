import type { Slice } from '../op.ts'

/** Where file data lives: segment files here and on the other members. */
export interface SliceStore {
  /**
   * Appends `data` to this writer's current segment as slices of at most SLICE_MAX_BYTES. Data of
   * at most INLINE_MAX_BYTES is expected to travel as the op's payload; more is also queued on the
   * bulk connections. In the page cache on return, durable only through `OpLog.durable`.
   *
   * Done when it returns, or, with a promise, when the bulk queues have room (backpressure); `data`
   * may be reused then. Throws or rejects with ENOSPC or EIO; nothing refers to the bytes then.
   */
  append(data: Uint8Array): readonly Slice[] | Promise<readonly Slice[]>

  /**
   * Copies bytes [from, from + length) of a slice into `target` at `targetOffset`, checked against
   * the slice's crc32. A slice that is damaged or has not arrived is fetched from another member
   * (checked against sha256) and repaired. Returns void when done synchronously, else a promise;
   * throws EIO when no member can give the right bytes.
   */
  read(
    slice: Slice,
    from: number,
    length: number,
    target: Uint8Array,
    targetOffset: number
  ): void | Promise<void>

  /**
   * Fills `target` with whole slices that lie behind each other in one segment, checked likewise. `once`:
   * who reads keeps the bytes, so this machine need not have them in memory twice. False, and
   * nothing is repaired or reported, unless all of it is what was written: `read` is for that.
   */
  readRun(slices: readonly Slice[], target: Uint8Array, once: boolean): boolean
}
