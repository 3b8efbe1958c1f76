/**
 * The bytes of a journal file: one header, then records. See docs/on-disk-format.md.
 *
 * Invariant: a header or record is accepted only when its checksum covers every byte of it. The
 * checksum of a record starts from its file's random salt, and the record names its own position,
 * so bytes of another journal (or of a journal stored in a user's file) are never taken for one.
 * RULES 14: every record names how far the journal was durable when it was written.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../fs/assert.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'
import { ENTRY_HEAD_MAX_BYTES, ENTRY_PAYLOAD_MAX_BYTES } from '../entry.ts'
import type { Crc32 } from './disk-io.ts'

declare const brand: unique symbol
/**
 * A byte position in the whole journal, over all its files: only grows, comparable with `<`. The
 * position after a record is what `append` returns and what becomes durable.
 */
export type JournalPosition = number & { readonly [brand]: 'JournalPosition' }

export const JOURNAL_VERSION = 1
export const FILE_HEADER_BYTES = 64
export const RECORD_HEADER_BYTES = 56
export const RECORD_ALIGN_BYTES = 8
export const RECORD_MAX_BYTES = align(
  RECORD_HEADER_BYTES + ENTRY_HEAD_MAX_BYTES + ENTRY_PAYLOAD_MAX_BYTES
)

const FILE_MAGIC = Buffer.from('TFSJOURN', 'latin1')
export const RECORD_MAGIC = Buffer.from('TFSr', 'latin1')
const KIND_ENTRY = 1
/** A record without an entry, written to carry a newer synced position. */
const KIND_MARK = 2

export interface FileHeader {
  readonly number: number
  /** Position of the header's first byte: where the file before this one ends. */
  readonly start: JournalPosition
  /** The writer that this member was when it began the file. */
  readonly writer: WriterId
  /** Random; the checksum of every record starts from it. */
  readonly salt: number
}

export interface RecordHeader {
  readonly kind: 'entry' | 'mark'
  readonly headBytes: number
  readonly payloadBytes: number
  readonly position: JournalPosition
  /** Everything before this position was fdatasynced when the record was written. */
  readonly synced: JournalPosition
  readonly writer: WriterId
  readonly seq: Seq
  readonly crc32: number
}

export function align(bytes: number): number {
  return Math.ceil(bytes / RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES
}

export function encodeFileHeader(header: FileHeader): Buffer {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES)
  FILE_MAGIC.copy(bytes, 0)
  bytes.writeUInt32LE(JOURNAL_VERSION, 8)
  bytes.writeUInt32LE(header.salt, 12)
  writeNumber(bytes, header.number, 16)
  writeNumber(bytes, header.start, 24)
  writeNumber(bytes, header.writer, 32)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, FILE_HEADER_BYTES - 4)), FILE_HEADER_BYTES - 4)
  return bytes
}

/** The header, or in words why it is none. */
export function decodeFileHeader(bytes: Buffer): FileHeader | string {
  if (bytes.length < FILE_HEADER_BYTES) return 'the file is shorter than its header'
  if (!bytes.subarray(0, 8).equals(FILE_MAGIC)) return 'not a journal file'
  const sum = crc32(bytes.subarray(0, FILE_HEADER_BYTES - 4))
  if (sum !== bytes.readUInt32LE(FILE_HEADER_BYTES - 4)) return 'wrong checksum of the header'
  const version = bytes.readUInt32LE(8)
  if (version !== JOURNAL_VERSION) return `journal version ${version} is not known`
  const [number, start, writer] = [16, 24, 32].map((at) => readNumber(bytes, at))
  if (number === undefined || start === undefined || writer === undefined) {
    return 'a number in the header is out of range'
  }
  return {
    number,
    start: start as JournalPosition,
    writer: writer as WriterId,
    salt: bytes.readUInt32LE(12)
  }
}

export interface RecordPlace {
  readonly position: JournalPosition
  readonly synced: JournalPosition
  readonly salt: number
}

export function entryRecordBytes(entry: SealedEntry): number {
  return align(RECORD_HEADER_BYTES + entry.head.length + entry.payload.length)
}

/** Appends the parts of an entry's record to `parts`; head and payload are not copied. */
export function encodeEntryRecord(
  entry: SealedEntry,
  place: RecordPlace,
  parts: Buffer[],
  sum: Crc32 = crc32
): void {
  assert(entry.head.length <= ENTRY_HEAD_MAX_BYTES, 'entry head too long for the journal')
  assert(entry.payload.length <= ENTRY_PAYLOAD_MAX_BYTES, 'entry payload too long for the journal')
  const header = Buffer.alloc(RECORD_HEADER_BYTES)
  header.writeUInt8(KIND_ENTRY, 8)
  header.writeUInt32LE(entry.head.length, 12)
  header.writeUInt32LE(entry.payload.length, 16)
  writeNumber(header, entry.writer, 40)
  writeNumber(header, entry.seq, 48)
  const unpadded = RECORD_HEADER_BYTES + entry.head.length + entry.payload.length
  const padding = Buffer.alloc(align(unpadded) - unpadded)
  finishHeader(header, place, [entry.head, entry.payload, padding], sum)
  parts.push(header, entry.head, entry.payload, padding)
}

export function encodeMarkRecord(place: RecordPlace): Buffer {
  const header = Buffer.alloc(RECORD_HEADER_BYTES)
  header.writeUInt8(KIND_MARK, 8)
  finishHeader(header, place, [], crc32)
  return header
}

function finishHeader(
  header: Buffer,
  place: RecordPlace,
  body: readonly Buffer[],
  sumOf: Crc32
): void {
  RECORD_MAGIC.copy(header, 0)
  writeNumber(header, place.position, 24)
  writeNumber(header, place.synced, 32)
  let sum = sumOf(header.subarray(8), place.salt)
  for (const part of body) sum = sumOf(part, sum)
  header.writeUInt32LE(sum, 4)
}

/** The fields of a record header, bounded, or in words why it is none. Checks no checksum yet. */
export function decodeRecordHeader(
  bytes: Buffer,
  expected: JournalPosition
): RecordHeader | string {
  if (!bytes.subarray(0, 4).equals(RECORD_MAGIC)) return 'no record begins here'
  const kind = bytes.readUInt8(8)
  if (kind !== KIND_ENTRY && kind !== KIND_MARK) return `record kind ${kind} is not known`
  const headBytes = bytes.readUInt32LE(12)
  const payloadBytes = bytes.readUInt32LE(16)
  if (headBytes > ENTRY_HEAD_MAX_BYTES) return 'the length of the head is out of range'
  if (payloadBytes > ENTRY_PAYLOAD_MAX_BYTES) return 'the length of the payload is out of range'
  const [position, synced, writer, seq] = [24, 32, 40, 48].map((at) => readNumber(bytes, at))
  if (position !== expected) return 'the record names another position'
  if (synced === undefined || synced > position) return 'the synced position is out of range'
  if (writer === undefined || seq === undefined) return 'writer or seq is out of range'
  return {
    kind: kind === KIND_ENTRY ? 'entry' : 'mark',
    headBytes,
    payloadBytes,
    position: expected,
    synced: synced as JournalPosition,
    writer: writer as WriterId,
    seq: seq as Seq,
    crc32: bytes.readUInt32LE(4)
  }
}

export function recordBytes(header: RecordHeader): number {
  return align(RECORD_HEADER_BYTES + header.headBytes + header.payloadBytes)
}

/** True when the checksum of the whole record (header, body and padding) is right. */
export function recordIsSound(record: Buffer, header: RecordHeader, salt: number): boolean {
  return crc32(record.subarray(8), salt) === header.crc32
}

function writeNumber(bytes: Buffer, value: number, offset: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'number out of range')
  bytes.writeUInt32LE(value % 2 ** 32, offset)
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4)
}

function readNumber(bytes: Buffer, offset: number): number | undefined {
  const value = bytes.readUInt32LE(offset + 4) * 2 ** 32 + bytes.readUInt32LE(offset)
  return Number.isSafeInteger(value) ? value : undefined
}
