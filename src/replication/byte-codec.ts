/**
 * Reading and writing of binary fields shared by all messages of the replication. Integers are
 * LEB128 varints of safe integers; byte strings carry their length. Every length is checked
 * against what is there before it is used, so hostile bytes end in a DecodeError, nothing else.
 */

/** Thrown when bytes from a peer or a file are not what they claim to be. */
export class DecodeError extends Error {
  override name = 'DecodeError'
}

export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(sizeBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes)
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }

  u8(value: number): this {
    this.#room(1)
    this.#buffer[this.#length++] = value
    return this
  }

  /** A non-negative safe integer, 1 to 8 bytes. */
  uint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a uint: ${value}`)
    this.#room(8)
    let rest = value
    while (rest >= 128) {
      this.#buffer[this.#length++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#length++] = rest
    return this
  }

  bytes(value: Uint8Array): this {
    this.uint(value.length)
    return this.raw(value)
  }

  /** Bytes without a length: the reader knows it, or they run to the end. */
  raw(value: Uint8Array): this {
    this.#room(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
    return this
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'))
  }

  /** The bytes written so far; the writer is not used after this. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }
}

export class ByteReader {
  readonly #buffer: Buffer
  #offset = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset
  }

  u8(): number {
    const value = this.#buffer[this.#offset]
    if (value === undefined) throw new DecodeError('message ends early')
    this.#offset++
    return value
  }

  /** A safe integer in 0..max. */
  uint(max = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte < 128) {
        if (!Number.isSafeInteger(value) || value > max) {
          throw new DecodeError(`number out of range: ${value} > ${max}`)
        }
        return value
      }
      scale *= 128
    }
    throw new DecodeError('number too long')
  }

  /** A view, not a copy. */
  raw(length: number): Buffer {
    if (length > this.remaining) throw new DecodeError('length beyond the end of the message')
    const view = this.#buffer.subarray(this.#offset, this.#offset + length)
    this.#offset += length
    return view
  }

  bytes(maxBytes: number): Buffer {
    return this.raw(this.uint(maxBytes))
  }

  text(maxBytes: number): string {
    return this.bytes(maxBytes).toString('utf8')
  }

  rest(): Buffer {
    return this.raw(this.remaining)
  }

  end(): void {
    if (this.remaining !== 0) throw new DecodeError('bytes after the end of the message')
  }
}
