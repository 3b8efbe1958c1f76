/**
 * Bounds the messages of a TCP connection before anything is allocated for them. The Noise stream
 * believes a 24-bit length from a stranger and reserves that much; this guard walks the same
 * length prefixes beside it (no copy) and cuts the connection at the first one above the limit.
 */
import type { Socket } from 'node:net'

/** Largest message before the connection is accepted: handshake, stream header, preamble. */
export const HANDSHAKE_MESSAGE_MAX_BYTES = 1024

export class MessageBound {
  #limitBytes = HANDSHAKE_MESSAGE_MAX_BYTES
  #headerBytes = 0
  #length = 0
  #bodyBytesLeft = 0

  /** Must be called in the turn that the socket opened, before the Noise stream is attached. */
  constructor(socket: Socket, onExceeded: (sizeBytes: number) => void) {
    socket.on('data', (chunk: Buffer) => {
      const exceeded = this.#walk(chunk)
      if (exceeded > 0) onExceeded(exceeded)
    })
  }

  setLimit(sizeBytes: number): void {
    this.#limitBytes = sizeBytes
  }

  #walk(chunk: Buffer): number {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#bodyBytesLeft > 0) {
        const taken = Math.min(this.#bodyBytesLeft, chunk.length - offset)
        this.#bodyBytesLeft -= taken
        offset += taken
        continue
      }
      this.#length |= (chunk[offset] ?? 0) << (8 * this.#headerBytes)
      offset += 1
      this.#headerBytes += 1
      if (this.#headerBytes < 3) continue
      if (this.#length > this.#limitBytes) return this.#length
      this.#bodyBytesLeft = this.#length
      this.#headerBytes = 0
      this.#length = 0
    }
    return 0
  }
}
