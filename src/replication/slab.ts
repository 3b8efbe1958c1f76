/**
 * Small pieces of bytes that outlive what they came in, copied behind each other into large
 * buffers: one allocation for hundreds of them, and pieces that follow each other are one view.
 */
const SLAB_BYTES = 1024 * 1024

export class Slab {
  #buffer = Buffer.alloc(0)
  #used = 0

  /** A copy that nothing changes. */
  keep(bytes: Uint8Array): Buffer {
    const { length } = bytes
    if (length > SLAB_BYTES / 4) return Buffer.from(bytes)
    if (this.#used + length > this.#buffer.length) {
      this.#buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#used = 0
    }
    const copy = this.#buffer.subarray(this.#used, this.#used + length)
    copy.set(bytes)
    this.#used += length
    return copy
  }
}

/** The pieces as one; without a copy where they follow each other in memory. */
export function joinPieces(pieces: readonly Buffer[]): Buffer {
  const [first] = pieces
  if (first === undefined) return Buffer.alloc(0)
  let end = first.byteOffset
  for (const piece of pieces) {
    if (piece.buffer !== first.buffer || piece.byteOffset !== end) return Buffer.concat(pieces)
    end += piece.length
  }
  return Buffer.from(first.buffer, first.byteOffset, end - first.byteOffset)
}
