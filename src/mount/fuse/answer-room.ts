/**
 * Room for the bytes of large answers, used again as soon as one was written. A fresh buffer of a megabyte for each
 * READ is mapped page by page, and what is let go of drives the garbage collector.
 */
import { MAX_IO_BYTES } from './abi.ts'

/** Smaller ones are as cheap from the allocator. */
const LARGE_BYTES = 32 * 1024
/** Kept free; as many as are mostly under way together. */
const FREE_MAX = 4

export class AnswerRoom {
  readonly #free: Buffer[] = []

  /** At most MAX_IO_BYTES are used again. */
  take(sizeBytes: number): Buffer {
    if (sizeBytes < LARGE_BYTES || sizeBytes > MAX_IO_BYTES) return Buffer.allocUnsafe(sizeBytes)
    const whole = this.#free.pop() ?? Buffer.allocUnsafeSlow(MAX_IO_BYTES)
    return whole.subarray(0, sizeBytes)
  }

  /** Nothing reads or writes what was taken any more. */
  give(room: Buffer): void {
    if (room.buffer.byteLength !== MAX_IO_BYTES || this.#free.length >= FREE_MAX) return
    this.#free.push(Buffer.from(room.buffer))
  }
}
