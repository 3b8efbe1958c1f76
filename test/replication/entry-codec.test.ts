import test from 'brittle'
import { DecodeError } from '../../src/fs/byte-codec.ts'
import type { Op, Slice } from '../../src/fs/op.ts'
import { INLINE_MAX_BYTES, SLICE_MAX_BYTES } from '../../src/fs/op.ts'
import type {
  Epoch,
  Incarnation,
  Ino,
  MemberId,
  SegmentId,
  Seq,
  WriterId
} from '../../src/fs/primitives.ts'
import { makeSegmentId, makeWriterId } from '../../src/fs/primitives.ts'
import type { Entry, SealedEntry } from '../../src/replication/entry.ts'
import { ENTRY_HEAD_MAX_BYTES, SEGMENT_MAX_BYTES } from '../../src/replication/entry.ts'
import { decodeEntryHead, encodeEntryHead, openEntry } from '../../src/replication/entry-codec.ts'
import { Random } from '../sim/random.ts'

const W = makeWriterId(2 as MemberId, 3 as Incarnation)
const OTHER = makeWriterId(1 as MemberId, 1 as Incarnation)
const SEGMENT = makeSegmentId(W, 0)
const TIME = { sec: 1, nsec: 2 }
const REAP: Op = { type: 'reap', ino: 5 as Ino }

function sliceAt(place: Partial<Slice> = {}): Slice {
  const base = { segment: SEGMENT, offset: 0, length: 10, crc32: 1, sha256: Buffer.alloc(32, 9) }
  return { ...base, ...place }
}

function write(...slices: readonly Slice[]): Op {
  return { type: 'write', ino: 5 as Ino, offset: 0, slices, time: TIME }
}

function entryOf(ops: readonly Op[]): Entry {
  const deps = new Map([[OTHER, 7 as Seq]])
  return { epoch: 4 as Epoch, writer: W, seq: 300 as Seq, deps, ops }
}

function seal(ops: readonly Op[], payloadBytes = 0, as: Partial<SealedEntry> = {}): SealedEntry {
  const payload = Buffer.alloc(payloadBytes)
  return { writer: W, seq: 300 as Seq, head: encodeEntryHead(entryOf(ops)), payload, ...as }
}

function refused(
  t: { ok(value: unknown, message?: string): void },
  fn: () => unknown,
  message: string
) {
  try {
    fn()
    t.ok(false, `${message}: taken`)
  } catch (error) {
    t.ok(error instanceof DecodeError, message)
  }
}

test('entry codec - golden bytes, both ways', (t) => {
  const entry = entryOf([REAP])
  const hex = encodeEntryHead(entry).toString('hex')
  t.is(hex, '0104838080 10ac0201818080 08 07 01010c05000000000000'.replaceAll(' ', ''))
  t.alike(decodeEntryHead(Buffer.from(hex, 'hex')), entry)
})

test('entry codec - a slice has to lie in a segment', (t) => {
  const last = sliceAt({ offset: SEGMENT_MAX_BYTES - 10 })
  t.alike(openEntry(seal([write(last)])).ops, [write(last)], 'the last place there is')
  const places: readonly (readonly [string, Partial<Slice>])[] = [
    ['segment 0', { segment: 0 as SegmentId }],
    ['one byte behind the end', { offset: SEGMENT_MAX_BYTES - 9 }],
    ['far behind the end', { offset: 2 ** 52 }],
    ['a segment of another member', { segment: makeSegmentId(OTHER, 0) }]
  ]
  for (const [what, place] of places) {
    refused(t, () => openEntry(seal([REAP, write(sliceAt(), sliceAt(place))])), what)
  }
  const earlier = makeSegmentId(makeWriterId(2 as MemberId, 1 as Incarnation), 5)
  t.execution(() => openEntry(seal([write(sliceAt({ segment: earlier }))])))
})

test('entry codec - the payload is what the inline ops say', (t) => {
  const small = write(sliceAt({ length: 100 }))
  const large = write(sliceAt({ length: SLICE_MAX_BYTES }))
  const most = write(sliceAt({ length: INLINE_MAX_BYTES }))
  t.execution(() => openEntry(seal([small, large, REAP], 100)), 'large data does not come along')
  t.execution(() => openEntry(seal([small], 0)), 'bare')
  refused(t, () => openEntry(seal([small], 99)), 'too short')
  refused(t, () => openEntry(seal([small], 101)), 'too long')
  refused(t, () => openEntry(seal([large], 1)), 'payload without inline ops')
  const tooMany = Array.from({ length: 65 }, () => most)
  refused(t, () => openEntry(seal(tooMany, 0)), 'more inline bytes than an entry may have')
})

test('entry codec - an entry is the one it was sent as', (t) => {
  refused(t, () => openEntry(seal([REAP], 0, { seq: 301 as Seq })), 'another position')
  refused(t, () => openEntry(seal([REAP], 0, { writer: OTHER })), 'another writer')
  refused(t, () => decodeEntryHead(Buffer.alloc(ENTRY_HEAD_MAX_BYTES + 1)), 'too long a head')
  for (const wrong of [{ epoch: 0 as Epoch }, { writer: 0 as WriterId }, { seq: 0 as Seq }]) {
    const head = encodeEntryHead({ ...entryOf([REAP]), ...wrong })
    refused(t, () => decodeEntryHead(head), `header with ${Object.keys(wrong)} 0`)
  }
})

test('entry codec - damaged bytes give DecodeError and nothing else', (t) => {
  const random = new Random(11)
  const good = seal([write(sliceAt()), REAP, write(sliceAt({ offset: 10 }))], 20)
  let refusals = 0
  for (let i = 0; i < 4000; i++) {
    const head = damage(random, good.head)
    try {
      openEntry({ ...good, head })
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      refusals++
    }
  }
  t.ok(refusals > 2000, 'most of it is noticed')
})

/** Random bytes, a prefix, or some bytes changed. */
function damage(random: Random, good: Buffer): Buffer {
  const kind = random.below(3)
  if (kind === 0) return Buffer.from(Array.from({ length: random.below(200) }, () => byte(random)))
  if (kind === 1) return good.subarray(0, random.below(good.length))
  const bad = Buffer.from(good)
  for (let n = random.between(1, 4); n > 0; n--) bad[random.below(bad.length)] = byte(random)
  return bad
}

function byte(random: Random): number {
  return random.below(256)
}
