/** Binary form of the messages between members (version in the connection's preamble). */

import { unreachable } from '../fs/assert.ts'
import { ByteReader, ByteWriter, DecodeError } from '../fs/byte-codec.ts'
import { SLICE_MAX_BYTES } from '../fs/op.ts'
import type { Epoch, Ino, SegmentId, Seq, WriterId } from '../fs/primitives.ts'
import type { SealedEntry } from './entry.ts'
import { ENTRY_HEAD_MAX_BYTES, ENTRY_PAYLOAD_MAX_BYTES } from './entry.ts'
import { readVector, writeVector } from './entry-codec.ts'
import type { MemberChange } from './epoch/member-change.ts'
import { readLockRows, writeLockRows } from './lock/lock-row-codec.ts'
import type { BulkMessage, ControlMessage, HeartbeatMessage } from './messages.ts'
import { PUSH_MAX_BYTES } from './messages.ts'
import { readRecord, shaped } from './record-reader.ts'
import type { Ballot } from './register/ballot.ts'
import { formatRecord, parseMemberChange, RECORD_TEXT_MAX_BYTES } from './volume/record-codec.ts'

const Control = {
  hello: 1,
  heartbeat: 2,
  lease: 3,
  push: 4,
  ack: 5,
  sync: 6,
  'fetch-entries': 7,
  entries: 8,
  token: 9,
  seal: 10,
  sealed: 11,
  record: 12,
  join: 13,
  'orphan-query': 14,
  'orphan-answer': 15,
  leave: 16,
  lock: 17,
  'lock-query': 18,
  'lock-rows': 19,
  register: 20,
  members: 21,
  signed: 22
} as const

const Bulk = {
  slice: 1,
  'fetch-slice': 2,
  'slice-reply': 3,
  'fetch-state': 4,
  'state-part': 5
} as const

/** As hypercore packs it: one signer, 68 bytes. */
const SIGNATURE_MAX_BYTES = 256
const CHANGE_MAX_BYTES = 64 * 1024
const SHA256_BYTES = 32
const PART_STATUSES = ['refused', 'preparing', 'there'] as const
export const STATE_PART_MAX_BYTES = 1024 * 1024
const JOIN_WANTS = ['live', 'in-sync', 'unsealed'] as const
const ENCLOSED_MAX_BYTES = 1024 * 1024
export const ORPHANS_PER_QUERY_MAX = 4096
export const ENTRIES_PER_FETCH_MAX = 1024

/** A message as a connection carries it: a type byte and the parts of its body. */
export interface WireMessage {
  readonly type: number
  readonly parts: Uint8Array[]
}

function readSealed(reader: ByteReader): SealedEntry {
  return {
    writer: reader.uint() as WriterId,
    seq: reader.uint() as Seq,
    head: reader.bytes(ENTRY_HEAD_MAX_BYTES),
    payload: reader.bytes(ENTRY_PAYLOAD_MAX_BYTES)
  }
}

function writeHeartbeat(writer: ByteWriter, message: HeartbeatMessage): void {
  const { applied, checkpointed, checkpointEpoch, space, stamp } = message
  writer.uint(message.epoch).uint(message.sentMs)
  writeVector(writer, applied)
  writeVector(writer, checkpointed)
  writer.uint(checkpointEpoch).uint(space.totalBytes).uint(space.availableBytes)
  writer.uint(stamp.sentUs).uint(stamp.heardUs).uint(stamp.heldUs)
}

/** Behind what was written; heads and payloads are not copied here. */
function entryParts(w: ByteWriter, entries: readonly SealedEntry[]): Uint8Array[] {
  const parts: Uint8Array[] = []
  w.uint(entries.length)
  for (const { writer, seq, head, payload } of entries) {
    parts.push(w.uint(writer).uint(seq).uint(head.length).finish(), head)
    w.uint(payload.length)
    if (payload.length > 0) parts.push(w.finish(), payload)
  }
  if (w.length > 0) parts.push(w.finish())
  return parts
}

function readEnvelope(reader: ByteReader): { epoch: Epoch; body: Buffer } {
  const epoch = reader.uint() as Epoch
  if (reader.left > ENCLOSED_MAX_BYTES) throw new DecodeError('enclosed message too large')
  return { epoch, body: reader.rest() }
}

function readEntries(reader: ByteReader): SealedEntry[] {
  const count = reader.uint(ENTRIES_PER_FETCH_MAX)
  const entries: SealedEntry[] = []
  for (let i = 0; i < count; i++) entries.push(readSealed(reader))
  return entries
}

function writeInos(writer: ByteWriter, inos: readonly Ino[]): void {
  writer.uint(inos.length)
  for (const ino of inos) writer.uint(ino)
}

function readInos(reader: ByteReader): Ino[] {
  const count = reader.uint(ORPHANS_PER_QUERY_MAX)
  const inos: Ino[] = []
  for (let i = 0; i < count; i++) inos.push(reader.uint() as Ino)
  return inos
}

export function encodeControl(message: ControlMessage): WireMessage {
  const type = Control[message.type]
  const w = new ByteWriter(64)
  switch (message.type) {
    case 'hello':
      w.uint(message.writer).text(message.coreKey).uint(message.epoch)
      w.u8(message.serving ? 1 : 0)
      writeVector(w, message.held)
      break
    case 'heartbeat':
      writeHeartbeat(w, message)
      break
    case 'lease':
      w.uint(message.epoch).uint(message.sentMs).uint(message.leaseMs)
      break
    case 'push':
      return { type, parts: entryParts(w, message.entries) }
    case 'ack':
      writeVector(w, message.received)
      writeVector(w, message.durable)
      break
    case 'sync':
      writeVector(w, message.vector)
      break
    case 'signed':
      w.uint(message.writer).uint(message.seq).bytes(message.signature)
      break
    case 'fetch-entries':
      w.uint(message.writer).uint(message.from).uint(message.to)
      break
    case 'entries':
      w.uint(message.writer).uint(message.from)
      return { type, parts: entryParts(w, message.entries) }
    case 'token':
    case 'lock':
      w.uint(message.epoch)
      return { type, parts: [w.finish(), message.body] }
    case 'lock-query':
      w.uint(message.query)
      break
    case 'lock-rows':
      w.uint(message.query)
      writeLockRows(w, message.rows)
      break
    case 'leave':
      w.uint(message.epoch)
      break
    case 'register':
      return { type, parts: [message.body] }
    case 'members':
      w.text(JSON.stringify(message.change))
      break
    case 'seal':
      w.uint(message.ballot).uint(message.epoch).uint(message.round)
      writeVector(w, message.cuts)
      break
    case 'sealed':
      w.uint(message.epoch).uint(message.round)
      writeVector(w, message.held)
      break
    case 'record':
      w.u8(message.leads ? 1 : 0).text(formatRecord(message.record))
      break
    case 'join':
      w.uint(message.epoch).u8(JOIN_WANTS.indexOf(message.want))
      break
    case 'orphan-query':
      w.uint(message.epoch).uint(message.query)
      writeInos(w, message.inos)
      break
    case 'orphan-answer':
      w.uint(message.epoch).uint(message.query)
      writeInos(w, message.closed)
      writeVector(w, message.applied)
      break
    default:
      return unreachable(message)
  }
  return { type, parts: [w.finish()] }
}

function readChange(reader: ByteReader): MemberChange {
  return shaped('change', () => parseMemberChange(reader.text(CHANGE_MAX_BYTES)))
}

function readWant(reader: ByteReader): (typeof JOIN_WANTS)[number] {
  const want = JOIN_WANTS[reader.u8()]
  if (want === undefined) throw new DecodeError('join for an unknown purpose')
  return want
}

type Decoder = (r: ByteReader) => ControlMessage

const controlDecoders: Readonly<Record<number, Decoder>> = {
  [Control.hello]: (r) => {
    const writer = r.uint() as WriterId
    const coreKey = r.text(64)
    if (!/^[0-9a-f]{64}$/.test(coreKey)) throw new DecodeError('hello with a bad core key')
    const epoch = r.uint() as Epoch
    const serving = r.u8() === 1
    return { type: 'hello', writer, coreKey, epoch, serving, held: readVector(r) }
  },
  [Control.heartbeat]: (r) => ({
    type: 'heartbeat',
    epoch: r.uint() as Epoch,
    sentMs: r.uint(),
    applied: readVector(r),
    checkpointed: readVector(r),
    checkpointEpoch: r.uint() as Epoch,
    space: { totalBytes: r.uint(), availableBytes: r.uint() },
    stamp: { sentUs: r.uint(), heardUs: r.uint(), heldUs: r.uint() }
  }),
  [Control.lease]: (r) => ({
    type: 'lease',
    epoch: r.uint() as Epoch,
    sentMs: r.uint(),
    leaseMs: r.uint(3_600_000)
  }),
  [Control.push]: (r) => ({ type: 'push', entries: readEntries(r) }),
  [Control.ack]: (r) => ({ type: 'ack', received: readVector(r), durable: readVector(r) }),
  [Control.sync]: (r) => ({ type: 'sync', vector: readVector(r) }),
  [Control.signed]: (r) => ({
    type: 'signed',
    writer: r.uint() as WriterId,
    seq: r.uint() as Seq,
    signature: r.bytes(SIGNATURE_MAX_BYTES)
  }),
  [Control['fetch-entries']]: (r) => ({
    type: 'fetch-entries',
    writer: r.uint() as WriterId,
    from: r.uint() as Seq,
    to: r.uint() as Seq
  }),
  [Control.entries]: (r) => {
    const writer = r.uint() as WriterId
    const from = r.uint() as Seq
    return { type: 'entries', writer, from, entries: readEntries(r) }
  },
  [Control.token]: (r) => ({ type: 'token', ...readEnvelope(r) }),
  [Control.lock]: (r) => ({ type: 'lock', ...readEnvelope(r) }),
  [Control['lock-query']]: (r) => ({ type: 'lock-query', query: r.uint() }),
  [Control['lock-rows']]: (r) => ({ type: 'lock-rows', query: r.uint(), rows: readLockRows(r) }),
  [Control.leave]: (r) => ({ type: 'leave', epoch: r.uint() as Epoch }),
  [Control.seal]: (r) => ({
    type: 'seal',
    ballot: r.uint() as Ballot,
    epoch: r.uint() as Epoch,
    round: r.uint(),
    cuts: readVector(r)
  }),
  [Control.sealed]: (r) => ({
    type: 'sealed',
    epoch: r.uint() as Epoch,
    round: r.uint(),
    held: readVector(r)
  }),
  [Control.record]: (r) => ({
    type: 'record',
    leads: r.u8() === 1,
    record: readRecord(r)
  }),
  [Control.join]: (r) => ({
    type: 'join',
    epoch: r.uint() as Epoch,
    want: readWant(r)
  }),
  [Control.register]: (r) => {
    if (r.left > RECORD_TEXT_MAX_BYTES) throw new DecodeError('register message too large')
    return { type: 'register', body: r.rest() }
  },
  [Control.members]: (r) => ({ type: 'members', change: readChange(r) }),
  [Control['orphan-query']]: (r) => ({
    type: 'orphan-query',
    epoch: r.uint() as Epoch,
    query: r.uint(),
    inos: readInos(r)
  }),
  [Control['orphan-answer']]: (r) => ({
    type: 'orphan-answer',
    epoch: r.uint() as Epoch,
    query: r.uint(),
    closed: readInos(r),
    applied: readVector(r)
  })
}

/** Throws DecodeError for an unknown type or a malformed body. */
export function decodeControl(type: number, body: Buffer): ControlMessage {
  const decode = controlDecoders[type]
  if (!decode) throw new DecodeError(`unknown control message type ${type}`)
  const reader = new ByteReader(body)
  const message = decode(reader)
  reader.end()
  return message
}

export function encodeBulk(message: BulkMessage): WireMessage {
  const type = Bulk[message.type]
  const w = new ByteWriter(32)
  switch (message.type) {
    case 'slice':
      return { type, parts: [w.uint(message.segment).uint(message.offset).finish(), message.data] }
    case 'fetch-slice':
      w.uint(message.segment).uint(message.offset).uint(message.length)
      return { type, parts: [w.finish()] }
    case 'slice-reply':
      w.uint(message.segment).uint(message.offset).uint(message.length)
      if (!message.data) return { type, parts: [w.u8(0).finish()] }
      return { type, parts: [w.u8(1).finish(), message.data] }
    case 'fetch-state':
      w.uint(message.copy).uint(message.offset).uint(message.length)
      return { type, parts: [w.finish()] }
    case 'state-part':
      w.uint(message.copy).u8(PART_STATUSES.indexOf(message.status)).uint(message.offset)
      w.uint(message.totalBytes).bytes(message.sha256)
      return { type, parts: [w.finish(), message.data] }
    default:
      return unreachable(message)
  }
}

type BulkDecoder = (r: ByteReader) => BulkMessage

const bulkDecoders: Readonly<Record<number, BulkDecoder>> = {
  [Bulk.slice]: (r) => ({ type: 'slice', ...readPlace(r), data: readData(r, PUSH_MAX_BYTES) }),
  [Bulk['fetch-slice']]: (r) => ({
    type: 'fetch-slice',
    ...readPlace(r),
    length: r.uint(SLICE_MAX_BYTES)
  }),
  [Bulk['slice-reply']]: (r) => {
    const place = readPlace(r)
    const length = r.uint(SLICE_MAX_BYTES)
    const isThere = r.u8() === 1
    const data = readData(r, SLICE_MAX_BYTES)
    if (data.length !== (isThere ? length : 0)) throw new DecodeError('misfit slice')
    return { type: 'slice-reply', ...place, length, data: isThere ? data : undefined }
  },
  [Bulk['fetch-state']]: (r) => ({
    type: 'fetch-state',
    copy: r.uint(),
    offset: r.uint(),
    length: r.uint(STATE_PART_MAX_BYTES)
  }),
  [Bulk['state-part']]: (r) => {
    const copy = r.uint()
    const status = PART_STATUSES[r.u8()]
    if (status === undefined) throw new DecodeError('part of a state in an unknown status')
    const offset = r.uint()
    const totalBytes = r.uint()
    const sha256 = r.bytes(SHA256_BYTES)
    const data = readData(r, STATE_PART_MAX_BYTES)
    if (status !== 'there')
      return { type: 'state-part', copy, status, offset, totalBytes, sha256, data }
    const isWithin = data.length > 0 && offset + data.length <= totalBytes
    if (sha256.length !== SHA256_BYTES || !isWithin) throw new DecodeError('misfit part of a state')
    return { type: 'state-part', copy, status, offset, totalBytes, sha256, data }
  }
}

function readPlace(r: ByteReader): { segment: SegmentId; offset: number } {
  return { segment: r.uint() as SegmentId, offset: r.uint() }
}

function readData(r: ByteReader, maxBytes: number): Buffer {
  if (r.left > maxBytes) throw new DecodeError('data too large')
  return r.rest()
}

/** Throws DecodeError for an unknown type or a malformed body. */
export function decodeBulk(type: number, body: Buffer): BulkMessage {
  const decode = bulkDecoders[type]
  if (!decode) throw new DecodeError(`unknown bulk message type ${type}`)
  const reader = new ByteReader(body)
  const message = decode(reader)
  reader.end()
  return message
}
