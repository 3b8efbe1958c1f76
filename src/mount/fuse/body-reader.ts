/**
 * Reads the fields of one request in order, each checked against the end of the message. One
 * reader is used again for every request, so that decoding allocates only what it hands out.
 */
import type { TimeSpec } from '../../fs/attr.ts'
import { Errno } from '../../fs/errno.ts'
import type { HandleId } from '../../fs/filesystem-api.ts'
import { FILE_SIZE_MAX, NAME_MAX_BYTES, XATTR_NAME_MAX_BYTES } from '../../fs/op.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { RequestBody } from './request.ts'

const HIGH = 2 ** 32
const SLASH = 0x2f
const DOT = 0x2e
const NOTHING = Buffer.alloc(0)

/** Decodes the body of one opcode; throws DecodeError. */
export type BodyDecoder = (reader: BodyReader) => RequestBody
/** By opcode. */
export type DecoderTable = Readonly<Record<number, BodyDecoder>>

/** Thrown inside the decoder only: RequestDecoder turns it into a MalformedRequest. */
export class DecodeError extends Error {
  override name = 'DecodeError'
  readonly errno: number

  constructor(errno: number, reason: string) {
    super(reason)
    this.errno = errno
  }
}

export class BodyReader {
  #buffer: Buffer = NOTHING
  #position = 0
  #end = 0

  reset(buffer: Buffer, start: number, end: number): void {
    this.#buffer = buffer
    this.#position = start
    this.#end = end
  }

  /** Lets go of the request's buffer. */
  clear(): void {
    this.#buffer = NOTHING
    this.#position = 0
    this.#end = 0
  }

  remaining(): number {
    return this.#end - this.#position
  }

  #take(sizeBytes: number): number {
    const at = this.#position
    if (sizeBytes > this.#end - at) throw new DecodeError(Errno.EINVAL, 'truncated body')
    this.#position = at + sizeBytes
    return at
  }

  skip(sizeBytes: number): void {
    this.#take(sizeBytes)
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4))
  }

  u64big(): bigint {
    return this.#buffer.readBigUInt64LE(this.#take(8))
  }

  /** A 64-bit number, or undefined when it is no safe integer. */
  u64(): number | undefined {
    const at = this.#take(8)
    const low = this.#buffer.readUInt32LE(at)
    const high = this.#buffer.readUInt32LE(at + 4)
    return high < 2 ** 21 ? high * HIGH + low : undefined
  }

  handle(): HandleId {
    const value = this.u64()
    if (value === undefined) throw new DecodeError(Errno.EBADF, 'handle was never given out')
    return value as HandleId
  }

  ino(): Ino {
    return checkedIno(this.u64())
  }

  /** A file offset or size up to FILE_SIZE_MAX; `errno` says what a larger one answers. */
  offset(errno: number): number {
    const value = this.u64()
    if (value === undefined || value > FILE_SIZE_MAX) {
      throw new DecodeError(errno, 'offset beyond the largest file')
    }
    return value
  }

  /** Seconds as a signed 64-bit number; the nanoseconds stand elsewhere in the message. */
  seconds(): number {
    const at = this.#take(8)
    const seconds = this.#buffer.readInt32LE(at + 4) * HIGH + this.#buffer.readUInt32LE(at)
    return seconds
  }

  /** A file name: 1..255 bytes, no slash, neither "." nor "..", ended by NUL. */
  name(): Buffer {
    const name = this.string(NAME_MAX_BYTES)
    if (name.length === 0) throw new DecodeError(Errno.EINVAL, 'empty name')
    if (name.includes(SLASH)) throw new DecodeError(Errno.EINVAL, 'name with a slash')
    if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
      throw new DecodeError(Errno.EINVAL, 'name is . or ..')
    }
    return name
  }

  xattrName(): Buffer {
    const name = this.string(XATTR_NAME_MAX_BYTES, Errno.ERANGE)
    if (name.length === 0) throw new DecodeError(Errno.ERANGE, 'empty attribute name')
    return name
  }

  /** A copy of the bytes up to the next NUL, which is consumed. */
  string(maxBytes: number, tooLong: number = Errno.ENAMETOOLONG): Buffer {
    const start = this.#position
    const nul = this.#buffer.indexOf(0, start)
    if (nul < 0 || nul >= this.#end) throw new DecodeError(Errno.EINVAL, 'string without an end')
    if (nul - start > maxBytes) throw new DecodeError(tooLong, 'string too long')
    this.#position = nul + 1
    const text = Buffer.allocUnsafe(nul - start)
    this.#buffer.copy(text, 0, start, nul)
    return text
  }

  /** A view, not a copy. */
  bytes(sizeBytes: number): Buffer {
    const at = this.#take(sizeBytes)
    return this.#buffer.subarray(at, at + sizeBytes)
  }

  finish(): void {
    if (this.#position !== this.#end) throw new DecodeError(Errno.EINVAL, 'trailing bytes')
  }
}

export function checkedIno(value: number | undefined): Ino {
  if (value === undefined || value === 0) {
    throw new DecodeError(Errno.ESTALE, 'inode number was never given out')
  }
  return value as Ino
}

export function checkedTime(sec: number, nsec: number): TimeSpec {
  if (!Number.isSafeInteger(sec)) throw new DecodeError(Errno.EOVERFLOW, 'time out of range')
  if (nsec >= 1_000_000_000) throw new DecodeError(Errno.EINVAL, 'nanoseconds out of range')
  return { sec, nsec }
}
