/** Bytes of a link's packets: the type, its numbers, and for data one message of the protocol. */
import { ByteReader, ByteWriter, DecodeError } from '../../fs/byte-codec.ts'
import type { LinkPacket } from './token-message.ts'

const Packet = { hello: 1, data: 2, ack: 3 } as const

export interface MessageCodec<M> {
  /** Most packets fit; the buffer grows for those that do not. */
  readonly usualBytes: number
  readonly write: (w: ByteWriter, message: M) => void
  /** Throws DecodeError for anything that `write` would not have made. */
  readonly read: (r: ByteReader) => M
}

export function encodePacket<M>(packet: LinkPacket<M>, messages: MessageCodec<M>): Buffer {
  const w = new ByteWriter(messages.usualBytes)
  w.u8(Packet[packet.type])
  switch (packet.type) {
    case 'hello':
      w.uint(packet.ack).u8(packet.answer ? 1 : 0)
      break
    case 'data':
      w.uint(packet.seq).uint(packet.ack)
      messages.write(w, packet.message)
      break
    case 'ack':
      w.uint(packet.ack)
      break
  }
  return w.finish()
}

/** Throws DecodeError for anything that encodePacket would not have made. */
export function decodePacket<M>(bytes: Buffer, messages: MessageCodec<M>): LinkPacket<M> {
  const r = new ByteReader(bytes)
  const packet = readPacket(r, messages)
  r.end()
  return packet
}

function readPacket<M>(r: ByteReader, messages: MessageCodec<M>): LinkPacket<M> {
  const type = r.u8()
  switch (type) {
    case Packet.hello:
      return { type: 'hello', ack: r.uint(), answer: readBit(r) }
    case Packet.data:
      return { type: 'data', seq: r.uint(), ack: r.uint(), message: messages.read(r) }
    case Packet.ack:
      return { type: 'ack', ack: r.uint() }
    default:
      throw new DecodeError(`unknown packet type ${type}`)
  }
}

/** One byte, 0 or 1. */
export function readBit(r: ByteReader): boolean {
  const value = r.u8()
  if (value > 1) throw new DecodeError(`not a truth value: ${value}`)
  return value === 1
}
