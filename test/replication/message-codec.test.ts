import test from 'brittle'
import { DecodeError } from '../../src/fs/byte-codec.ts'
import { SLICE_MAX_BYTES } from '../../src/fs/op.ts'
import type { LockRow } from '../../src/fs/ports/lock-service.ts'
import type { Epoch, Ino, MemberId, SegmentId, Seq, WriterId } from '../../src/fs/primitives.ts'
import type { SealedEntry } from '../../src/replication/entry.ts'
import { VECTOR_ENTRIES_MAX } from '../../src/replication/entry-codec.ts'
import type { WireMessage } from '../../src/replication/message-codec.ts'
import {
  decodeBulk,
  decodeControl,
  ENTRIES_PER_FETCH_MAX,
  encodeBulk,
  encodeControl,
  ORPHANS_PER_QUERY_MAX,
  STATE_PART_MAX_BYTES
} from '../../src/replication/message-codec.ts'
import type { BulkMessage, ControlMessage, StatePart } from '../../src/replication/messages.ts'
import { PUSH_MAX_BYTES } from '../../src/replication/messages.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import type { Ballot } from '../../src/replication/register/ballot.ts'
import type { Vector } from '../../src/replication/vector.ts'
import { Random } from '../sim/random.ts'

const W = 0x1000001 as WriterId
const EPOCH = 4 as Epoch
const SEGMENT = (2 ** 44) as SegmentId
const EMPTY: Vector = new Map()
/** Golden: 01 81808008 ac02. */
const VECTOR: Vector = new Map([[W, 300 as Seq]])
const ENTRY: SealedEntry = {
  writer: W,
  seq: 2 as Seq,
  head: Buffer.from('aabb', 'hex'),
  payload: Buffer.from('cc', 'hex')
}
const ROW: LockRow = {
  ino: 5 as Ino,
  kind: 'flock',
  type: 'write',
  start: 0n,
  end: 9n,
  member: 0 as MemberId,
  pid: 7,
  owner: 12n,
  state: 'waiting',
  ageMs: 200,
  waiters: 1,
  command: 'git'
}

function key(fill: string): string {
  return fill.repeat(64)
}

const RECORD: EpochRecord = {
  version: 1,
  volumeId: 'ab'.repeat(16),
  volumeName: 'v',
  epoch: EPOCH,
  authority: 1 as MemberId,
  members: [
    { id: 1 as MemberId, name: 'm1', publicKey: key('1'), addresses: [], role: 'data' },
    { id: 2 as MemberId, name: 'm2', publicKey: key('2'), addresses: [], role: 'data' }
  ],
  live: [W],
  inSync: [1 as MemberId],
  writers: [{ writer: W, coreKey: key('a') }],
  history: [{ epoch: EPOCH, cuts: [[W, 3 as Seq]] }],
  forgotten: 0,
  lastWriters: [W],
  voters: [
    [1 as MemberId, 2],
    [2 as MemberId, 1]
  ],
  votersBefore: [[1 as MemberId, 1]],
  nextMemberId: 3,
  removedKeys: []
}

const CONTROL: readonly (readonly [ControlMessage, string])[] = [
  [
    { type: 'hello', writer: W, coreKey: key('a'), epoch: EPOCH, serving: true, held: VECTOR },
    `1: 81808008 40 ${'61'.repeat(64)} 04 01 01 81808008 ac02`
  ],
  [
    {
      type: 'heartbeat',
      epoch: EPOCH,
      sentMs: 200,
      applied: VECTOR,
      checkpointed: EMPTY,
      checkpointEpoch: 0,
      space: { totalBytes: 300, availableBytes: 1 },
      stamp: { sentUs: 300, heardUs: 200, heldUs: 1 }
    },
    '2: 04 c801 01 81808008 ac02 00 00 ac02 01 ac02 c801 01'
  ],
  [{ type: 'lease', epoch: EPOCH, sentMs: 200, leaseMs: 3000 }, '3: 04 c801 b817'],
  [{ type: 'push', entries: [ENTRY] }, '4: 01 81808008 02 02 aabb 01 cc'],
  [{ type: 'ack', received: VECTOR, durable: EMPTY }, '5: 01 81808008 ac02 00'],
  [{ type: 'sync', vector: VECTOR }, '6: 01 81808008 ac02'],
  [
    { type: 'signed', writer: W, seq: 300 as Seq, signature: Buffer.from('0102', 'hex') },
    '22: 81808008 ac02 020102'
  ],
  [{ type: 'fetch-entries', writer: W, from: 1 as Seq, to: 300 as Seq }, '7: 81808008 01 ac02'],
  [
    { type: 'entries', writer: W, from: 2 as Seq, entries: [ENTRY] },
    '8: 81808008 02 01 81808008 02 02 aabb 01 cc'
  ],
  [{ type: 'token', epoch: EPOCH, body: Buffer.from('0102', 'hex') }, '9: 04 0102'],
  [
    { type: 'seal', ballot: 513 as Ballot, epoch: EPOCH, round: 300, cuts: VECTOR },
    '10: 8104 04 ac02 01 81808008 ac02'
  ],
  [{ type: 'sealed', epoch: EPOCH, round: 300, held: EMPTY }, '11: 04 ac02 00'],
  [{ type: 'join', epoch: EPOCH, want: 'in-sync' }, '13: 04 01'],
  [{ type: 'join', epoch: EPOCH, want: 'live' }, '13: 04 00'],
  [{ type: 'join', epoch: EPOCH, want: 'unsealed' }, '13: 04 02'],
  [
    { type: 'orphan-query', epoch: EPOCH, query: 1, inos: [5 as Ino, 300 as Ino] },
    '14: 04 01 02 05 ac02'
  ],
  [
    { type: 'orphan-answer', epoch: EPOCH, query: 1, closed: [5 as Ino], applied: VECTOR },
    '15: 04 01 01 05 01 81808008 ac02'
  ],
  [{ type: 'leave', epoch: EPOCH }, '16: 04'],
  [{ type: 'lock', epoch: EPOCH, body: Buffer.alloc(0) }, '17: 04'],
  [{ type: 'lock-query', query: 3 }, '18: 03'],
  [
    { type: 'lock-rows', query: 3, rows: [ROW] },
    '19: 03 01 05 01 01 01 01 30 01 39 02 3132 07 c801 01 03 676974'
  ],
  [{ type: 'register', body: Buffer.from('0781048827', 'hex') }, '20: 07 8104 8827'],
  [
    { type: 'members', change: { kind: 'remove', id: 2 as MemberId } },
    `21: 18 ${Buffer.from('{"kind":"remove","id":2}').toString('hex')}`
  ]
]

const PART: StatePart = {
  type: 'state-part',
  copy: 1,
  status: 'there',
  offset: 0,
  totalBytes: STATE_PART_MAX_BYTES * 2,
  sha256: Buffer.alloc(32),
  data: Buffer.alloc(2)
}

const BULK: readonly (readonly [BulkMessage, string])[] = [
  [
    { type: 'slice', segment: SEGMENT, offset: 300, data: Buffer.from('abcd', 'hex') },
    '1: 80808080808004 ac02 abcd'
  ],
  [
    { type: 'fetch-slice', segment: SEGMENT, offset: 0, length: SLICE_MAX_BYTES },
    '2: 80808080808004 00 808008'
  ],
  [
    { type: 'slice-reply', segment: SEGMENT, offset: 0, length: 1, data: Buffer.from('ab', 'hex') },
    '3: 80808080808004 00 01 01 ab'
  ],
  [
    { type: 'slice-reply', segment: SEGMENT, offset: 0, length: 300, data: undefined },
    '3: 80808080808004 00 ac02 00'
  ],
  [
    { type: 'fetch-state', copy: 2, offset: 300, length: STATE_PART_MAX_BYTES },
    '4: 02 ac02 808040'
  ],
  [
    {
      type: 'state-part',
      copy: 2,
      status: 'there',
      offset: 300,
      totalBytes: 302,
      sha256: Buffer.alloc(32, 7),
      data: Buffer.from('abcd', 'hex')
    },
    `5: 02 02 ac02 ae02 20 ${'07'.repeat(32)} abcd`
  ],
  [
    {
      type: 'state-part',
      copy: 2,
      status: 'preparing',
      offset: 0,
      totalBytes: 0,
      sha256: Buffer.alloc(0),
      data: Buffer.alloc(0)
    },
    '5: 02 01 00 00 00'
  ]
]

function bodyOf({ parts }: WireMessage): Buffer {
  return Buffer.concat(parts)
}

function textOf(wire: WireMessage): string {
  return `${wire.type}: ${bodyOf(wire).toString('hex')}`
}

function plain(golden: string): string {
  return golden.replaceAll(' ', '').replace(':', ': ')
}

function isRefused(decode: () => unknown): boolean {
  try {
    decode()
    return false
  } catch (error) {
    if (error instanceof DecodeError) return true
    throw error
  }
}

test('message codec - golden bytes of control messages, both ways', (t) => {
  for (const [message, golden] of CONTROL) {
    const wire = encodeControl(message)
    t.is(textOf(wire), plain(golden), message.type)
    t.alike(decodeControl(wire.type, bodyOf(wire)), message)
  }
})

test('message codec - golden bytes of bulk messages, both ways', (t) => {
  for (const [message, golden] of BULK) {
    const wire = encodeBulk(message)
    t.is(textOf(wire), plain(golden), message.type)
    t.alike(decodeBulk(wire.type, bodyOf(wire)), message)
  }
})

test('message codec - a record is JSON and checked as a whole', (t) => {
  const wire = encodeControl({ type: 'record', leads: true, record: RECORD })
  t.is(wire.type, 12)
  t.alike(decodeControl(12, bodyOf(wire)), { type: 'record', leads: true, record: RECORD })
  const broken = encodeControl({
    type: 'record',
    leads: false,
    record: { ...RECORD, authority: 9 as MemberId }
  })
  t.ok(
    isRefused(() => decodeControl(12, bodyOf(broken))),
    'an authority that is no member'
  )
})

test('message codec - every control type has its sample here', (t) => {
  const types = new Set(CONTROL.map(([message]) => encodeControl(message).type))
  types.add(12)
  for (let type = 0; type < 256; type++) {
    if (types.has(type)) continue
    t.ok(
      isRefused(() => decodeControl(type, Buffer.alloc(8))),
      `type ${type} is unknown`
    )
  }
  t.is(types.size, 22)
  t.ok(isRefused(() => decodeBulk(0, Buffer.alloc(8))))
  t.ok(isRefused(() => decodeBulk(6, Buffer.alloc(8))))
})

test('message codec - every proper prefix and every longer body is refused', (t) => {
  const openEnded = new Set(['token', 'lock'])
  for (const [message] of CONTROL) {
    // All of it belongs to a codec of its own.
    if (message.type === 'register') continue
    const { type, ...wire } = encodeControl(message)
    const body = bodyOf({ type, ...wire })
    const least = openEnded.has(message.type) ? 1 : body.length
    for (let length = 0; length < least; length++) {
      t.ok(
        isRefused(() => decodeControl(type, body.subarray(0, length))),
        message.type
      )
    }
    if (openEnded.has(message.type)) continue
    const longer = Buffer.concat([body, Buffer.alloc(1)])
    t.ok(
      isRefused(() => decodeControl(type, longer)),
      `${message.type} with a byte too many`
    )
  }
})

test('message codec - counts and lengths are bounded', (t) => {
  const vector = new Map<WriterId, Seq>()
  for (let i = 0; i <= VECTOR_ENTRIES_MAX; i++) vector.set((i + 1) as WriterId, 1 as Seq)
  const entries = Array.from({ length: ENTRIES_PER_FETCH_MAX + 1 }, () => ENTRY)
  const inos = Array.from({ length: ORPHANS_PER_QUERY_MAX + 1 }, () => 5 as Ino)
  const tooMuch: readonly ControlMessage[] = [
    { type: 'sync', vector },
    { type: 'push', entries },
    { type: 'entries', writer: W, from: 1 as Seq, entries },
    { type: 'orphan-query', epoch: EPOCH, query: 1, inos },
    { type: 'token', epoch: EPOCH, body: Buffer.alloc(1024 * 1024 + 1) },
    { type: 'lease', epoch: EPOCH, sentMs: 1, leaseMs: 3_600_001 },
    { type: 'hello', writer: W, coreKey: 'x', epoch: EPOCH, serving: false, held: EMPTY }
  ]
  for (const message of tooMuch) {
    const wire = encodeControl(message)
    t.ok(
      isRefused(() => decodeControl(wire.type, bodyOf(wire))),
      message.type
    )
  }
  const place = { segment: SEGMENT, offset: 0 }
  const data = Buffer.alloc(SLICE_MAX_BYTES + 1)
  const largest = encodeBulk({ type: 'slice', ...place, data: Buffer.alloc(PUSH_MAX_BYTES) })
  t.is(decodeBulk(largest.type, bodyOf(largest)).type, 'slice')
  const bulk: readonly BulkMessage[] = [
    { type: 'slice', ...place, data: Buffer.alloc(PUSH_MAX_BYTES + 1) },
    { type: 'slice-reply', ...place, length: data.length, data },
    { type: 'slice-reply', ...place, length: 2, data: Buffer.alloc(1) },
    { type: 'fetch-slice', ...place, length: SLICE_MAX_BYTES + 1 },
    { type: 'fetch-state', copy: 1, offset: 0, length: STATE_PART_MAX_BYTES + 1 },
    { ...PART, data: Buffer.alloc(STATE_PART_MAX_BYTES + 1) },
    { ...PART, totalBytes: 1 },
    { ...PART, data: Buffer.alloc(0) },
    { ...PART, sha256: Buffer.alloc(31) }
  ]
  for (const message of bulk) {
    const wire = encodeBulk(message)
    t.ok(
      isRefused(() => decodeBulk(wire.type, bodyOf(wire))),
      message.type
    )
  }
  const twice = Buffer.from('020101 0102'.replace(' ', ''), 'hex')
  t.ok(
    isRefused(() => decodeControl(6, twice)),
    'a writer that stands twice in a vector'
  )
})

test('message codec - damaged and random bytes give DecodeError and nothing else', (t) => {
  const random = new Random(7)
  const record = encodeControl({ type: 'record', leads: true, record: RECORD })
  const control = [...CONTROL.map(([message]) => encodeControl(message)), record]
  const bulk = BULK.map(([message]) => encodeBulk(message))
  const counts = { taken: 0, refused: 0 }
  for (let i = 0; i < 10_000; i++) {
    const isControl = random.chance(0.8)
    const { type, ...wire } = random.pick(isControl ? control : bulk)
    const body = damage(random, bodyOf({ type, ...wire }))
    const refused = isRefused(() => (isControl ? decodeControl : decodeBulk)(type, body))
    counts[refused ? 'refused' : 'taken']++
  }
  t.ok(counts.refused > 1000 && counts.taken > 100, JSON.stringify(counts))
})

/** Random bytes, a prefix, or some bytes changed. */
function damage(random: Random, good: Buffer): Buffer {
  const kind = random.below(3)
  if (kind === 0) {
    return Buffer.from(Array.from({ length: random.below(100) }, () => random.below(256)))
  }
  if (kind === 1) return good.subarray(0, random.below(good.length))
  const bad = Buffer.from(good)
  for (let n = random.between(1, 4); n > 0; n--) bad[random.below(bad.length)] = random.below(256)
  return bad
}
