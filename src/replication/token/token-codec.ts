/**
 * Bytes of the token packets: a packet type, its numbers, and for data one message. An item is an
 * inode and one byte: the low four bits say the mode or what is left, the high four which part of
 * the inode: 0 = all of it, 1 = the range that follows at the end of the item, as its first page and
 * its number of pages (0 = to the end). Unknown types, parts and modes are refused, and ranges that
 * end beyond the largest one.
 */

import { type ByteReader, type ByteWriter, DecodeError } from '../../fs/byte-codec.ts'
import { RANGE_END, type TokenMode, type TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino, Seq, WriterId } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import { decodePacket, encodePacket, readBit } from './link-codec.ts'
import type {
  GrantItem,
  Left,
  NoteItem,
  RecallItem,
  ReleaseItem,
  TokenMessage,
  TokenPacket
} from './token-message.ts'
import { TOKEN_ITEMS_MAX, TOKEN_VECTOR_MAX, TOKEN_WANTS_MAX } from './token-message.ts'
import { endOf, type Ranged, startOf, TOKEN_PAGE_BYTES } from './token-range.ts'

const Message = {
  want: 1,
  cancel: 2,
  release: 3,
  'note-ack': 4,
  note: 5,
  grant: 6,
  recall: 7,
  clear: 8,
  query: 9,
  probe: 10,
  probed: 11,
  told: 12
} as const

const SHARED = 0
const EXCLUSIVE = 1
const LEFT_NONE = 0
const LEFT_SHARED = 1
const ALL = 0x00
const RANGE = 0x10
const PAGES = RANGE_END / TOKEN_PAGE_BYTES

const messages = { usualBytes: 64, write: writeMessage, read: readMessage }

export function encodeTokenPacket(packet: TokenPacket): Buffer {
  return encodePacket(packet, messages)
}

/** Throws DecodeError for anything that encodeTokenPacket would not have made. */
export function decodeTokenPacket(bytes: Buffer): TokenPacket {
  return decodePacket(bytes, messages)
}

function writeMessage(w: ByteWriter, message: TokenMessage): void {
  w.u8(Message[message.type])
  switch (message.type) {
    case 'want':
      w.uint(message.request).uint(message.wants.length)
      for (const want of message.wants) {
        w.uint(want.ino).u8(modeOf(want) | partOf(want))
        writeRange(w, want)
      }
      break
    case 'cancel':
      w.uint(message.request)
      break
    case 'release':
    case 'recall':
      w.uint(message.items.length)
      for (const item of message.items) {
        const left = item.left === 'shared' ? LEFT_SHARED : LEFT_NONE
        w.uint(item.ino)
          .u8(left | partOf(item))
          .uint(item.grant)
        writeRange(w, item)
      }
      if (message.type === 'release') writeVector(w, message.vector)
      break
    case 'note-ack':
      w.uint(message.number)
      break
    case 'note':
      w.uint(message.number).uint(message.items.length)
      for (const item of message.items) {
        w.uint(item.ino).u8(partOf(item))
        writeRange(w, item)
      }
      break
    case 'grant':
      w.uint(message.request).uint(message.items.length)
      for (const item of message.items) {
        w.uint(item.ino)
          .u8(modeOf(item) | partOf(item))
          .uint(item.grant)
        writeRange(w, item)
      }
      writeVector(w, message.vector)
      break
    case 'clear':
      writeInos(w, message.inos)
      writeVector(w, message.vector)
      break
    case 'query':
      w.uint(message.request).uint(message.ino)
      break
    case 'probe':
      w.uint(message.number).uint(message.ino)
      break
    case 'probed':
      w.uint(message.number).u8(message.idle ? 1 : 0)
      writeVector(w, message.vector)
      break
    case 'told':
      w.uint(message.request).u8(message.idle ? 1 : 0)
      writeVector(w, message.vector)
      break
  }
}

function readMessage(r: ByteReader): TokenMessage {
  const type = r.u8()
  switch (type) {
    case Message.want:
      return { type: 'want', request: r.uint(), wants: readList(r, TOKEN_WANTS_MAX, readWant) }
    case Message.cancel:
      return { type: 'cancel', request: r.uint() }
    case Message.release:
      return { type: 'release', items: readLeftItems(r), vector: readVector(r) }
    case Message['note-ack']:
      return { type: 'note-ack', number: r.uint() }
    case Message.note:
      return {
        type: 'note',
        number: r.uint(),
        items: readList(r, TOKEN_ITEMS_MAX, readNoteItem)
      }
    case Message.grant:
      return {
        type: 'grant',
        request: r.uint(),
        items: readList(r, TOKEN_ITEMS_MAX, readGrantItem),
        vector: readVector(r)
      }
    case Message.recall:
      return { type: 'recall', items: readLeftItems(r) }
    case Message.clear:
      return { type: 'clear', inos: readInos(r), vector: readVector(r) }
    case Message.query:
      return { type: 'query', request: r.uint(), ino: r.uint() as Ino }
    case Message.probe:
      return { type: 'probe', number: r.uint(), ino: r.uint() as Ino }
    case Message.probed:
      return { type: 'probed', number: r.uint(), idle: readBit(r), vector: readVector(r) }
    case Message.told:
      return { type: 'told', request: r.uint(), idle: readBit(r), vector: readVector(r) }
    default:
      throw new DecodeError(`unknown token message type ${type}`)
  }
}

function modeOf(item: { readonly mode: TokenMode }): number {
  return item.mode === 'exclusive' ? EXCLUSIVE : SHARED
}

function partOf(item: Ranged): number {
  return item.range === undefined ? ALL : RANGE
}

/** At the end of an item whose part says so. */
function writeRange(w: ByteWriter, item: Ranged): void {
  if (item.range === undefined) return
  const start = startOf(item)
  const end = endOf(item)
  w.uint(start / TOKEN_PAGE_BYTES).uint(end === RANGE_END ? 0 : (end - start) / TOKEN_PAGE_BYTES)
}

function readRange(r: ByteReader, byte: number): Ranged {
  const part = byte & 0xf0
  if (part === ALL) return {}
  if (part !== RANGE) throw new DecodeError(`unknown part of an inode ${byte}`)
  const first = r.uint(PAGES - 1)
  const pages = r.uint(PAGES - first)
  const end = pages === 0 ? RANGE_END : (first + pages) * TOKEN_PAGE_BYTES
  return { range: { start: first * TOKEN_PAGE_BYTES, end } }
}

/** One list of at least one item; an empty message says nothing and is refused. */
function readList<T>(r: ByteReader, max: number, read: (r: ByteReader) => T): T[] {
  const count = r.uint(max)
  if (count === 0) throw new DecodeError('empty list in a token message')
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read(r))
  return items
}

function readMode(byte: number): TokenMode {
  const mode = byte & 0x0f
  if (mode > EXCLUSIVE) throw new DecodeError(`unknown token mode ${byte}`)
  return mode === EXCLUSIVE ? 'exclusive' : 'shared'
}

function readWant(r: ByteReader): TokenWant {
  const ino = r.uint() as Ino
  const byte = r.u8()
  return { ino, mode: readMode(byte), ...readRange(r, byte) }
}

function readGrantItem(r: ByteReader): GrantItem {
  const ino = r.uint() as Ino
  const byte = r.u8()
  return { ino, mode: readMode(byte), grant: r.uint(), ...readRange(r, byte) }
}

function readNoteItem(r: ByteReader): NoteItem {
  const ino = r.uint() as Ino
  const byte = r.u8()
  if ((byte & 0x0f) !== 0) throw new DecodeError(`unknown kind of note ${byte}`)
  return { ino, ...readRange(r, byte) }
}

function readLeftItem(r: ByteReader): ReleaseItem & RecallItem {
  const ino = r.uint() as Ino
  const byte = r.u8()
  const kept = byte & 0x0f
  if (kept > LEFT_SHARED) throw new DecodeError(`unknown remaining right ${byte}`)
  const left: Left = kept === LEFT_SHARED ? 'shared' : 'none'
  return { ino, left, grant: r.uint(), ...readRange(r, byte) }
}

function readLeftItems(r: ByteReader): (ReleaseItem & RecallItem)[] {
  return readList(r, TOKEN_ITEMS_MAX, readLeftItem)
}

function writeInos(w: ByteWriter, inos: readonly Ino[]): void {
  w.uint(inos.length)
  for (const ino of inos) w.uint(ino)
}

function readInos(r: ByteReader): Ino[] {
  return readList(r, TOKEN_ITEMS_MAX, (reader) => reader.uint() as Ino)
}

function writeVector(w: ByteWriter, vector: Vector): void {
  w.uint(vector.size)
  for (const [writer, seq] of vector) w.uint(writer).uint(seq)
}

function readVector(r: ByteReader): Vector {
  const count = r.uint(TOKEN_VECTOR_MAX)
  const vector = new Map<WriterId, Seq>()
  for (let i = 0; i < count; i++) vector.set(r.uint() as WriterId, r.uint() as Seq)
  if (vector.size !== count) throw new DecodeError('writer named twice in a vector')
  return vector
}
