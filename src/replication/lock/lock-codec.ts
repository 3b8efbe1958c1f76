/**
 * Bytes of the lock packets: a packet type, its numbers, and for data one message. Offsets and
 * owners are 64 bits; a span's kind, type and action share one byte. Unknown types, kinds and
 * ranges that cannot be are refused.
 */
import { type ByteReader, type ByteWriter, DecodeError } from '../../fs/byte-codec.ts'
import { isLockRange } from '../../fs/lock/range.ts'
import { LOCK_END, type LockKind, type LockType } from '../../fs/ports/lock-service.ts'
import { RANGE_END, type TokenMode } from '../../fs/ports/token-service.ts'
import { type Ino, MEMBER_MAX, type MemberId } from '../../fs/primitives.ts'
import { decodePacket, encodePacket, readBit } from '../token/link-codec.ts'
import type { LinkPacket } from '../token/token-message.ts'
import { TOKEN_PAGE_BYTES } from '../token/token-range.ts'
import {
  LOCK_ITEMS_MAX,
  type LockAction,
  type LockBring,
  type LockConflictBody,
  type LockEdge,
  type LockHold,
  type LockMessage,
  type LockResult,
  type LockSpan,
  type LockWaiting,
  type LockWantMessage
} from './lock-message.ts'

const Message = {
  want: 1,
  cancel: 2,
  yield: 3,
  assert: 4,
  edges: 5,
  answer: 6,
  conflict: 7,
  delegate: 8,
  recall: 9,
  collect: 10
} as const

const KINDS: readonly LockKind[] = ['record', 'flock']
const LOCKS: readonly (LockType | 'unlock')[] = ['read', 'write', 'unlock']
const ACTIONS: readonly LockAction[] = ['try', 'wait', 'query']
const RESULTS: readonly LockResult[] = ['granted', 'again', 'deadlock', 'cancelled', 'no-locks']
/** Beside the action of a want: it brings a token request, of the mode exclusive. */
const BRING_BIT = 4
const EXCLUSIVE_BIT = 8
/** Beside the result of an answer. */
const CONTENDED_BIT = 8
/** The kernel's process numbers are positive 32 bit integers. */
const PID_MAX = 2 ** 32 - 1
const AGE_MAX_MS = 2 ** 48

const messages = { usualBytes: 128, write: writeMessage, read: readMessage }

export function encodeLockPacket(packet: LinkPacket<LockMessage>): Buffer {
  return encodePacket(packet, messages)
}

/** Throws DecodeError for anything that encodeLockPacket would not have made. */
export function decodeLockPacket(bytes: Buffer): LinkPacket<LockMessage> {
  return decodePacket(bytes, messages)
}

function writeMessage(w: ByteWriter, message: LockMessage): void {
  w.u8(Message[message.type])
  switch (message.type) {
    case 'want':
      w.uint(message.request).u8(ACTIONS.indexOf(message.action) + bringBits(message.bring))
      writeSpan(w, message)
      if (message.bring !== undefined) writeBring(w, message.bring)
      break
    case 'cancel':
      w.uint(message.request)
      break
    case 'yield':
      w.uint(message.ino).uint(message.delegation)
      writeHolds(w, message.holds)
      w.uint(message.waiters.length)
      for (const waiter of message.waiters) {
        writeSpan(w, waiter)
        w.uint(waiter.ageMs).uint(waiter.request)
      }
      w.u8(message.last ? 1 : 0)
      break
    case 'assert':
      writeHolds(w, message.holds)
      w.u8(message.last ? 1 : 0)
      break
    case 'edges':
      w.uint(message.round).uint(message.edges.length)
      for (const edge of message.edges) writeEdge(w, edge)
      w.u8(message.last ? 1 : 0)
      break
    case 'answer':
      w.uint(message.request)
      w.u8(RESULTS.indexOf(message.result) + (message.contended ? CONTENDED_BIT : 0))
      break
    case 'conflict':
      w.uint(message.request)
      writeConflict(w, message.conflict)
      break
    case 'delegate':
    case 'recall':
      w.uint(message.ino).uint(message.delegation)
      break
    case 'collect':
      w.uint(message.round)
      break
  }
}

function readMessage(r: ByteReader): LockMessage {
  const type = r.u8()
  switch (type) {
    case Message.want:
      return readWant(r)
    case Message.cancel:
      return { type: 'cancel', request: r.uint() }
    case Message.yield:
      return {
        type: 'yield',
        ino: r.uint() as Ino,
        delegation: r.uint(),
        holds: readHolds(r),
        waiters: readList(r, readWaiting),
        last: readBit(r)
      }
    case Message.assert:
      return { type: 'assert', holds: readHolds(r), last: readBit(r) }
    case Message.edges:
      return {
        type: 'edges',
        round: r.uint(),
        edges: readList(r, readEdge),
        last: readBit(r)
      }
    case Message.answer: {
      const request = r.uint()
      const byte = r.u8()
      const result = pick(RESULTS, byte & ~CONTENDED_BIT, 'lock result')
      return { type: 'answer', request, result, contended: (byte & CONTENDED_BIT) !== 0 }
    }
    case Message.conflict:
      return { type: 'conflict', request: r.uint(), conflict: readConflict(r) }
    case Message.delegate:
      return { type: 'delegate', ino: r.uint() as Ino, delegation: r.uint() }
    case Message.recall:
      return { type: 'recall', ino: r.uint() as Ino, delegation: r.uint() }
    case Message.collect:
      return { type: 'collect', round: r.uint() }
    default:
      throw new DecodeError(`unknown lock message type ${type}`)
  }
}

function bringBits(bring: LockBring | undefined): number {
  if (bring === undefined) return 0
  return BRING_BIT + (bring.mode === 'exclusive' ? EXCLUSIVE_BIT : 0)
}

function readWant(r: ByteReader): LockWantMessage {
  const request = r.uint()
  const byte = r.u8()
  const action = pick(ACTIONS, byte & ~(BRING_BIT | EXCLUSIVE_BIT), 'lock action')
  const span = readSpan(r)
  if ((byte & BRING_BIT) !== 0) {
    if (span.lock === 'unlock') throw new DecodeError('an unlock brings nothing')
    const mode = (byte & EXCLUSIVE_BIT) === 0 ? 'shared' : 'exclusive'
    return { type: 'want', request, action, ...span, bring: readBring(r, mode) }
  }
  if ((byte & EXCLUSIVE_BIT) !== 0) throw new DecodeError('the mode of no token')
  return { type: 'want', request, action, ...span }
}

/** Whole pages: the first, and how many; 0 = to the end. */
function writeBring(w: ByteWriter, { request, range }: LockBring): void {
  const first = range.start / TOKEN_PAGE_BYTES
  const pages = range.end === RANGE_END ? 0 : range.end / TOKEN_PAGE_BYTES - first
  w.uint(request).uint(first).uint(pages)
}

function readBring(r: ByteReader, mode: TokenMode): LockBring {
  const request = r.uint()
  const first = r.uint(RANGE_END / TOKEN_PAGE_BYTES - 1)
  const pages = r.uint(RANGE_END / TOKEN_PAGE_BYTES - 1 - first)
  const end = pages === 0 ? RANGE_END : (first + pages) * TOKEN_PAGE_BYTES
  return { request, mode, range: { start: first * TOKEN_PAGE_BYTES, end } }
}

function pick<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index]
  if (value === undefined) throw new DecodeError(`unknown ${what} ${index}`)
  return value
}

function readList<T>(r: ByteReader, read: (r: ByteReader) => T): T[] {
  const count = r.uint(LOCK_ITEMS_MAX)
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read(r))
  return items
}

function writeU64(w: ByteWriter, value: bigint): void {
  w.u32(Number(value & 0xffffffffn)).u32(Number(value >> 32n))
}

function readU64(r: ByteReader): bigint {
  const low = BigInt(r.u32())
  return (BigInt(r.u32()) << 32n) | low
}

type AnySpan = LockSpan & { readonly lock: LockType | 'unlock' }

function writeSpan(w: ByteWriter, span: AnySpan): void {
  w.uint(span.ino).u8(KINDS.indexOf(span.kind) * 4 + LOCKS.indexOf(span.lock))
  writeU64(w, span.owner)
  w.uint(span.pid)
  writeRange(w, span)
}

function readSpan(r: ByteReader): AnySpan {
  const ino = r.uint() as Ino
  const byte = r.u8()
  const kind = pick(KINDS, byte >> 2, 'lock kind')
  const lock = pick(LOCKS, byte & 3, 'lock type')
  const owner = readU64(r)
  const pid = r.uint(PID_MAX)
  const range = readRange(r)
  if (kind === 'flock' && (range.start !== 0n || range.end !== LOCK_END)) {
    throw new DecodeError('flock of a part of a file')
  }
  return { ino, kind, lock, owner, pid, ...range }
}

function writeRange(w: ByteWriter, range: { start: bigint; end: bigint }): void {
  writeU64(w, range.start)
  writeU64(w, range.end)
}

function readRange(r: ByteReader): { start: bigint; end: bigint } {
  const range = { start: readU64(r), end: readU64(r) }
  if (!isLockRange(range)) throw new DecodeError('lock range that cannot be')
  return range
}

function readHeldSpan(r: ByteReader): LockSpan & { readonly lock: LockType } {
  const { lock, ...span } = readSpan(r)
  if (lock === 'unlock') throw new DecodeError('neither a read nor a write lock')
  return { ...span, lock }
}

function writeHolds(w: ByteWriter, holds: readonly LockHold[]): void {
  w.uint(holds.length)
  for (const hold of holds) {
    writeSpan(w, hold)
    w.uint(hold.ageMs)
  }
}

function readHolds(r: ByteReader): LockHold[] {
  return readList(r, (reader) => ({ ...readHeldSpan(reader), ageMs: reader.uint(AGE_MAX_MS) }))
}

function readWaiting(r: ByteReader): LockWaiting {
  return { ...readHeldSpan(r), ageMs: r.uint(AGE_MAX_MS), request: r.uint() }
}

function writeEdge(w: ByteWriter, edge: LockEdge): void {
  w.uint(edge.ino)
  writeU64(w, edge.waiter)
  w.uint(edge.request)
  writeU64(w, edge.holder)
  w.uint(edge.serial)
}

function readEdge(r: ByteReader): LockEdge {
  return {
    ino: r.uint() as Ino,
    waiter: readU64(r),
    request: r.uint(),
    holder: readU64(r),
    serial: r.uint()
  }
}

function writeConflict(w: ByteWriter, conflict: LockConflictBody | undefined): void {
  w.u8(conflict === undefined ? 0 : 1)
  if (conflict === undefined) return
  w.u8(KINDS.indexOf(conflict.kind) * 4 + LOCKS.indexOf(conflict.type))
  writeRange(w, conflict)
  w.uint(conflict.member).uint(conflict.pid)
}

function readConflict(r: ByteReader): LockConflictBody | undefined {
  if (!readBit(r)) return undefined
  const byte = r.u8()
  const kind = pick(KINDS, byte >> 2, 'lock kind')
  const type = pick(LOCKS, byte & 3, 'lock type')
  if (type === 'unlock') throw new DecodeError('neither a read nor a write lock')
  const range = readRange(r)
  const member = r.uint(MEMBER_MAX) as MemberId
  return { kind, type, ...range, member, pid: r.uint(PID_MAX) }
}
