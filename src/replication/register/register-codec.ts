/** Binary form of the messages about the epoch record. */
import { unreachable } from '../../fs/assert.ts'
import { ByteReader, ByteWriter, DecodeError } from '../../fs/byte-codec.ts'
import type { Epoch } from '../../fs/primitives.ts'
import { readRecord } from '../record-reader.ts'
import { formatRecord } from '../volume/record-codec.ts'
import type { Ballot } from './ballot.ts'
import { BALLOT_MAX } from './ballot.ts'
import type { Accepted, RegisterMessage } from './register-message.ts'

const Type = {
  probe: 1,
  prepare: 2,
  would: 3,
  promise: 4,
  accept: 5,
  accepted: 6,
  renew: 7,
  renewed: 8,
  yield: 9,
  refusal: 10,
  pending: 11
} as const

const WAIT_MAX_MS = 3_600_000

export function encodeRegister(message: RegisterMessage): Buffer {
  const w = new ByteWriter(64).u8(Type[message.type]).uint(message.ballot)
  switch (message.type) {
    case 'probe':
    case 'prepare':
    case 'accepted':
      return w.uint(message.epoch).finish()
    case 'would':
    case 'yield':
      return w.finish()
    case 'promise':
      w.uint(message.before).u8(message.accepted ? 1 : 0)
      if (message.accepted) writeAccepted(w, message.accepted)
      return w.finish()
    case 'pending':
      return writeAccepted(w, message.accepted).finish()
    case 'accept':
      return w.text(formatRecord(message.record)).finish()
    case 'renew':
    case 'renewed':
      return w.uint(message.sentMs).finish()
    case 'refusal':
      return w.uint(message.promised).uint(message.waitMs).finish()
    default:
      return unreachable(message)
  }
}

/** Throws DecodeError. */
export function decodeRegister(body: Buffer): RegisterMessage {
  const r = new ByteReader(body)
  const type = r.u8()
  const ballot = readBallot(r)
  if (ballot === 0) throw new DecodeError('register message without a ballot')
  const message = decodeBody(type, ballot, r)
  r.end()
  return message
}

function decodeBody(type: number, ballot: Ballot, r: ByteReader): RegisterMessage {
  switch (type) {
    case Type.probe:
      return { type: 'probe', ballot, epoch: r.uint() as Epoch }
    case Type.prepare:
      return { type: 'prepare', ballot, epoch: r.uint() as Epoch }
    case Type.would:
      return { type: 'would', ballot }
    case Type.promise: {
      const before = readBallot(r)
      const accepted = r.u8() === 1 ? readAccepted(r) : undefined
      return { type: 'promise', ballot, before, accepted }
    }
    case Type.accept:
      return { type: 'accept', ballot, record: readRecord(r) }
    case Type.accepted:
      return { type: 'accepted', ballot, epoch: r.uint() as Epoch }
    case Type.renew:
      return { type: 'renew', ballot, sentMs: r.uint() }
    case Type.renewed:
      return { type: 'renewed', ballot, sentMs: r.uint() }
    case Type.pending:
      return { type: 'pending', ballot, accepted: readAccepted(r) }
    case Type.yield:
      return { type: 'yield', ballot }
    case Type.refusal:
      return { type: 'refusal', ballot, promised: readBallot(r), waitMs: r.uint(WAIT_MAX_MS) }
    default:
      throw new DecodeError(`unknown register message type ${type}`)
  }
}

function writeAccepted(w: ByteWriter, { ballot, record }: Accepted): ByteWriter {
  return w.uint(ballot).text(formatRecord(record))
}

function readAccepted(r: ByteReader): Accepted {
  return { ballot: readBallot(r), record: readRecord(r) }
}

function readBallot(reader: ByteReader): Ballot {
  return reader.uint(BALLOT_MAX) as Ballot
}
