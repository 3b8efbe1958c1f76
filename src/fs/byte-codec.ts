/**
 * Bytes out and bytes in, for the log's encodings and all messages between members. Integers are LEB128 (7 bits a byte, low first)
 * or fixed little-endian; signed ones are zigzagged first. The reader trusts nothing: every length
 * is compared with what is left before it is used, and every integer is a safe one.
 */
import { assert } from './assert.ts'

/** The bytes are not what they claim to be; says where and why. */
export class DecodeError extends Error {
  override name = 'DecodeError'
}

const START_BYTES = 1024
const U32 = 2 ** 32

export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(sizeBytes = START_BYTES) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes)
  }

  get length(): number {
    return this.#length
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const bigger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(bigger, 0, 0, this.#length)
    this.#buffer = bigger
  }

  u8(value: number): this {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
    return this
  }

  u32(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value < U32, 'u32 out of range')
    this.#reserve(4)
    this.#length = this.#buffer.writeUInt32LE(value, this.#length)
    return this
  }

  /** 0 .. 2^53-1 in seven bytes: for inode and segment numbers, whose high bits are always set. */
  u56(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'integer out of range')
    this.#reserve(7)
    const high = Math.floor(value / U32)
    this.#buffer.writeUInt32LE(value - high * U32, this.#length)
    this.#length = this.#buffer.writeUIntLE(high, this.#length + 4, 3)
    return this
  }

  /** 0 .. 2^53-1. */
  uint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'integer out of range')
    this.#reserve(8)
    let rest = value
    while (rest >= U32 / 2) {
      this.#buffer[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.#length++] = rest
    return this
  }

  /** -2^52 .. 2^52-1. */
  int(value: number): this {
    return this.uint(value < 0 ? -2 * value - 1 : 2 * value)
  }

  /** Bytes without a length: the reader knows it, or they run to the end. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  /** Length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.uint(bytes.length).raw(bytes)
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'))
  }

  /** A copy of what was written; the writer is empty afterwards. */
  finish(): Buffer {
    const out = Buffer.allocUnsafeSlow(this.#length)
    this.#buffer.copy(out, 0, 0, this.#length)
    this.#length = 0
    return out
  }

  /** What was written, as a view that holds until the next change. */
  written(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  reset(): void {
    this.#length = 0
  }
}

export class ByteReader {
  readonly #buffer: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get left(): number {
    return this.#buffer.length - this.#at
  }

  fail(why: string): never {
    throw new DecodeError(`byte ${this.#at}: ${why}`)
  }

  #need(bytes: number): void {
    if (this.left < bytes) this.fail(`${bytes} bytes wanted, ${this.left} left`)
  }

  u8(): number {
    this.#need(1)
    return this.#buffer[this.#at++] ?? 0
  }

  u32(): number {
    this.#need(4)
    const value = this.#buffer.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  u56(): number {
    this.#need(7)
    const low = this.#buffer.readUInt32LE(this.#at)
    const high = this.#buffer.readUIntLE(this.#at + 4, 3)
    if (high >= 2 ** 21) this.fail('integer beyond 2^53')
    this.#at += 7
    return high * U32 + low
  }

  /** An integer 0..max in its only (shortest) form. */
  uint(max = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (value > max) this.fail(`integer beyond ${max}`)
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) this.fail('integer is not in its shortest form')
        return value
      }
      scale *= 128
      if (scale > 2 ** 49) this.fail('integer too long')
    }
  }

  /** An integer -max-1..max. */
  int(max: number): number {
    const value = this.uint(2 * max + 1)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  /** Exactly `length` bytes, as a view on the input. */
  raw(length: number): Buffer {
    this.#need(length)
    const bytes = this.#buffer.subarray(this.#at, this.#at + length)
    this.#at += length
    return bytes
  }

  /** A length up to `max`, then so many bytes, as a view on the input. */
  bytes(max: number): Buffer {
    return this.raw(this.uint(max))
  }

  text(maxBytes: number): string {
    return this.bytes(maxBytes).toString('utf8')
  }

  /** Everything that is left, as a view on the input. */
  rest(): Buffer {
    return this.raw(this.left)
  }

  /** Nothing may be left. */
  end(): void {
    if (this.left > 0) this.fail(`${this.left} bytes too many`)
  }
}
