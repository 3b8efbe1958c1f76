/**
 * Bytes to typed requests. Owns the check that nothing the kernel sends is used before it is
 * bounded: decode never throws, it gives a valid request or the errno to answer with.
 */
import { Errno } from '../../fs/errno.ts'
import type { Ino } from '../../fs/primitives.ts'
import { InitFlag, MAX_REQUEST_BYTES, OPCODE_LIMIT, Opcode, Size } from './abi.ts'
import { type BodyDecoder, BodyReader, checkedIno, DecodeError } from './body-reader.ts'
import { attributeDecoders, extendedDecoders } from './decode-attributes.ts'
import { fileDecoders } from './decode-files.ts'
import { lockDecoders } from './decode-locks.ts'
import { nameDecoders } from './decode-names.ts'
import { sessionDecoders } from './decode-session.ts'
import type { FuseRequest, MalformedRequest, RequestBody, RequestHeader } from './request.ts'

const decoders: (BodyDecoder | undefined)[] = new Array<BodyDecoder | undefined>(OPCODE_LIMIT).fill(
  undefined
)
for (const table of [
  nameDecoders,
  fileDecoders,
  lockDecoders,
  attributeDecoders,
  sessionDecoders
]) {
  for (const [opcode, decoder] of Object.entries(table)) decoders[Number(opcode)] = decoder
}

const unsupported: RequestBody = { op: 'unsupported' }

/** Requests about the connection: their nodeid is 0 or does not matter. */
function isNodeless(opcode: number): boolean {
  return (
    opcode === Opcode.INIT ||
    opcode === Opcode.DESTROY ||
    opcode === Opcode.INTERRUPT ||
    opcode === Opcode.BATCH_FORGET
  )
}

export class RequestDecoder {
  readonly #reader = new BodyReader()
  #hasExtendedSetxattr = false

  /** Some requests look otherwise from here on, as agreed at INIT (`flags` of the session). */
  begin(flags: number): void {
    this.#hasExtendedSetxattr = (flags & InitFlag.SETXATTR_EXT) !== 0
  }

  decode(message: Buffer): FuseRequest | MalformedRequest {
    if (message.length < Size.IN_HEADER) {
      return malformed(undefined, Errno.EINVAL, `message of ${message.length} bytes`)
    }
    const low = message.readUInt32LE(16)
    const high = message.readUInt32LE(20)
    const opcode = message.readUInt32LE(4)
    const decoder = this.#decoderOf(opcode)
    // An unusable nodeid is 0 in the header, and refused below where a node is needed.
    const header: RequestHeader = {
      opcode,
      uniqueLow: message.readUInt32LE(8),
      uniqueHigh: message.readUInt32LE(12),
      nodeid: (high < 2 ** 21 ? high * 2 ** 32 + low : 0) as Ino,
      uid: message.readUInt32LE(24),
      gid: message.readUInt32LE(28),
      pid: message.readUInt32LE(32)
    }
    if (message.readUInt32LE(0) !== message.length || message.length > MAX_REQUEST_BYTES) {
      return malformed(header, Errno.EINVAL, 'length does not fit the message')
    }
    const end = message.length - message.readUInt16LE(36) * 8
    if (end < Size.IN_HEADER) return malformed(header, Errno.EINVAL, 'extensions too long')
    if (decoder === undefined) return { ok: true, header, body: unsupported }

    const reader = this.#reader
    reader.reset(message, Size.IN_HEADER, end)
    try {
      if (!isNodeless(opcode)) checkedIno(header.nodeid)
      const body = decoder(reader)
      reader.finish()
      return { ok: true, header, body }
    } catch (error) {
      if (error instanceof DecodeError) return malformed(header, error.errno, error.message)
      throw error
    } finally {
      reader.clear()
    }
  }

  #decoderOf(opcode: number): BodyDecoder | undefined {
    if (opcode >= OPCODE_LIMIT) return undefined
    const extended = this.#hasExtendedSetxattr ? extendedDecoders[opcode] : undefined
    return extended ?? decoders[opcode]
  }
}

function malformed(
  header: RequestHeader | undefined,
  errno: number,
  reason: string
): MalformedRequest {
  return { ok: false, header, errno, reason }
}
