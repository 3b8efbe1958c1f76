/**
 * Room for the bytes of large answers, used again as soon as one was written. A fresh buffer of a megabyte for each
 * READ is mapped page by page, and what is let go of drives the garbage collector.
 *
 * It begins at a page: the kernel copies page by page, and takes hold of two of ours for each of its own otherwise.
 */
import { MAX_IO_BYTES } from './abi.ts'

/** Smaller ones are as cheap from the allocator. */
const LARGE_BYTES = 32 * 1024
/** Kept free; as many as are mostly under way together. */
const FREE_MAX = 4
/** Of memory, or more: an offset behind the beginning of a page is below it. */
const PAGE_BYTES = 4096

export interface AnswerRoomOptions {
  /** Where bytes lie in memory, behind the beginning of a page. */
  readonly pageOffset: (bytes: Uint8Array) => number
}

export class AnswerRoom {
  readonly #pageOffset: (bytes: Uint8Array) => number
  readonly #free: Buffer[] = []
  /** All rooms that may be used again, by their memory. */
  readonly #rooms = new WeakMap<ArrayBufferLike, Buffer>()

  constructor(options: AnswerRoomOptions) {
    this.#pageOffset = options.pageOffset
  }

  /** At most MAX_IO_BYTES are used again. */
  take(sizeBytes: number): Buffer {
    if (sizeBytes < LARGE_BYTES || sizeBytes > MAX_IO_BYTES) return Buffer.allocUnsafe(sizeBytes)
    const room = this.#free.pop() ?? this.#make()
    return room.subarray(0, sizeBytes)
  }

  /** Nothing reads or writes what was taken any more. */
  give(taken: Buffer): void {
    const room = this.#rooms.get(taken.buffer)
    if (room === undefined || this.#free.length >= FREE_MAX) return
    this.#free.push(room)
  }

  #make(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(MAX_IO_BYTES + PAGE_BYTES)
    const offset = this.#pageOffset(bytes) % PAGE_BYTES
    const start = offset === 0 ? 0 : PAGE_BYTES - offset
    const room = bytes.subarray(start, start + MAX_IO_BYTES)
    this.#rooms.set(bytes.buffer, room)
    return room
  }
}
