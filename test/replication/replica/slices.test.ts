import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import test from 'brittle'
import { FsError } from '../../../src/fs/errno.ts'
import type { Op, Slice } from '../../../src/fs/op.ts'
import { INLINE_MAX_BYTES, SLICE_MAX_BYTES } from '../../../src/fs/op.ts'
import type {
  Epoch,
  Incarnation,
  Ino,
  MemberId,
  SegmentId,
  Seq
} from '../../../src/fs/primitives.ts'
import { makeSegmentId, makeWriterId, writerOfSegment } from '../../../src/fs/primitives.ts'
import type { Entry } from '../../../src/replication/entry.ts'
import type { BulkMessage } from '../../../src/replication/messages.ts'
import type { SlicesOptions } from '../../../src/replication/replica/slices.ts'
import { SLICES_DEFAULTS, Slices } from '../../../src/replication/replica/slices.ts'
import type { LargeAppend, SliceState } from '../../../src/replication/storage/segment-store.ts'
import {
  SegmentStore,
  sha256,
  sliceMatches
} from '../../../src/replication/storage/segment-store.ts'
import { HandClock, NotedLinks, NotedLogger, settle } from './support.ts'

const A = 1 as MemberId
const B = 2 as MemberId
const C = 3 as MemberId
const LARGE = INLINE_MAX_BYTES + 1
const OWN = makeSegmentId(makeWriterId(A, 1 as Incarnation), 0)
const OF_B = makeSegmentId(makeWriterId(B, 1 as Incarnation), 0)

function bytesOf(fill: number, length = LARGE): Buffer {
  return Buffer.alloc(length, fill)
}

function sliceOf(data: Buffer, segment: SegmentId = OF_B, offset = 0): Slice {
  return { segment, offset, length: data.length, crc32: crc32(data), sha256: sha256(data) }
}

function entryOf(...slices: readonly Slice[]): Entry {
  const time = { sec: 0, nsec: 0 }
  const ops: Op[] = slices.map((slice) => ({
    type: 'write',
    ino: 5 as Ino,
    offset: 0,
    slices: [slice],
    time
  }))
  const writer = makeWriterId(B, 1 as Incarnation)
  return { epoch: 1 as Epoch, writer, seq: 1 as Seq, deps: new Map(), ops }
}

/** Segments in memory. */
class MemorySegments {
  readonly places = new Map<string, Buffer>()
  failure: Error | undefined
  #end = 0

  appendLarge(data: Uint8Array): LargeAppend {
    const slices = this.append(data)
    return { places: slices, slices: Promise.resolve(slices) }
  }

  append(data: Uint8Array): readonly Slice[] {
    if (this.failure) throw this.failure
    const slice = sliceOf(Buffer.from(data), OWN, this.#end)
    this.writeAt(OWN, this.#end, data)
    this.#end += data.length
    return [slice]
  }

  writeAt(segment: SegmentId, offset: number, data: Uint8Array): void {
    if (this.failure) throw this.failure
    this.places.set(`${segment}:${offset}`, Buffer.from(data))
  }

  readSync(slice: Slice, from: number, length: number, target: Uint8Array, at: number): SliceState {
    const state = this.verifySha(slice)
    const data = this.readBytes(slice.segment, slice.offset)
    if (state === 'ok') target.set(data?.subarray(from, from + length) ?? [], at)
    return state
  }

  crc32(data: Uint8Array): number {
    return crc32(data)
  }

  readRun(): boolean {
    return false
  }

  readBytes(segment: SegmentId, offset: number): Buffer | undefined {
    return this.places.get(`${segment}:${offset}`)
  }

  verifySha(slice: Slice): SliceState {
    const data = this.readBytes(slice.segment, slice.offset)
    if (!data) return 'missing'
    return sliceMatches(slice, data) ? 'ok' : 'damaged'
  }
}

type Place = Pick<Slice, 'segment' | 'offset' | 'length'>

function make(
  options: Partial<SlicesOptions> = {},
  members: readonly MemberId[] = [B, C],
  isRestored = true
) {
  const segments = new MemorySegments()
  const links = new NotedLinks(members)
  const clock = new HandClock()
  const logger = new NotedLogger()
  const damage: string[] = []
  /** In sync, and known to have applied the entries. */
  const applied: MemberId[] = [A, B]
  const lacking: boolean[] = []
  let arrivals = 0
  const slices = new Slices(
    {
      segments,
      links,
      clock,
      logger,
      self: A,
      hasApplied: (member) => applied.includes(member),
      onDamage: (text) => damage.push(text),
      onArrived: () => arrivals++,
      onAppliedDead: () => lacking.push(true)
    },
    { ...SLICES_DEFAULTS, ...options }
  )
  if (isRestored) slices.restored()
  const reply = (from: MemberId, place: Place, data: Buffer | undefined): void => {
    const { segment, offset, length } = place
    slices.onBulk(from, { type: 'slice-reply', segment, offset, length, data })
  }
  return {
    segments,
    links,
    clock,
    logger,
    damage,
    applied,
    lacking,
    slices,
    reply,
    count: () => arrivals
  }
}

function toOf(sent: readonly { readonly to: MemberId; readonly message: BulkMessage }[]): string[] {
  return sent.map(({ to, message }) => `${message.type} ${to}`)
}

test('slices - large data is pushed ahead, small data is not', async (t) => {
  const { links, slices } = make()
  await slices.append(bytesOf(1, INLINE_MAX_BYTES))
  t.alike(links.takeBulk(), [])
  await slices.append(bytesOf(2))
  t.alike(toOf(links.takeBulk()), ['slice 2', 'slice 3'])
  t.alike(slices.takeUnjournaled(), [OWN])
  t.alike(slices.takeUnjournaled(), [])
  links.hasRoom = false
  let isDone = false
  const done = Promise.resolve(slices.append(bytesOf(3))).then(() => {
    isDone = true
  })
  await settle()
  t.is(isDone, false, 'a full queue holds the writer back')
  t.alike(links.takeBulk(), [], 'and what it writes')
  links.hasRoom = true
  links.drain()
  await done
  t.alike(toOf(links.takeBulk()), ['slice 2', 'slice 3'])
})

test('slices - a write that fails has given up its bytes before it says so', async (t) => {
  const { links, slices, segments } = make()
  links.hasRoom = false
  segments.appendLarge = (data) => ({
    places: segments.append(data),
    slices: Promise.reject(new Error('no sums'))
  })
  let error: unknown
  const done = Promise.resolve(slices.append(bytesOf(4))).catch((reason: unknown) => {
    error = reason
    t.alike(toOf(links.takeBulk()), ['slice 2', 'slice 3'], 'nothing is read behind it')
  })
  await settle()
  t.is(error, undefined)
  links.hasRoom = true
  links.drain()
  await done
  t.ok(String(error).includes('no sums'))
  t.alike(links.takeBulk(), [])
})

test('slices - slices behind each other are pushed together, and each is held', async (t) => {
  const writer = make({}, [B])
  const receiver = make({}, [A])
  const store = SegmentStore.open(
    { dir: await t.tmp(), logger: new NotedLogger() },
    { writer: writerOfSegment(OF_B), segmentMaxBytes: 6 * SLICE_MAX_BYTES }
  )
  writer.segments.appendLarge = (data) => store.appendLarge(data)
  const data = randomBytes(10 * SLICE_MAX_BYTES + 5000)
  const slices = await writer.slices.append(data)
  t.is(slices.length, 11)
  const entry = entryOf(...slices)
  const lengths: number[] = []
  for (const { message } of writer.links.takeBulk()) {
    if (message.type !== 'slice') throw new Error(`a ${message.type} instead of a push`)
    t.absent(receiver.slices.holds(entry, false))
    lengths.push(message.data.length)
    receiver.slices.onBulk(B, message)
  }
  const parts = [4, 2, 4].map((count) => count * SLICE_MAX_BYTES)
  t.alike(lengths, [...parts.slice(0, 2), (parts[2] ?? 0) + 5000], 'a segment ends between')
  t.ok(receiver.slices.holds(entry, false))
  const pushed = [...receiver.segments.places.values()]
  t.ok(Buffer.concat(pushed).equals(data))
  await store.close()
})

test('slices - a full disk is ENOSPC, anything else stays what it is', async (t) => {
  const { segments, slices } = make()
  const codeOf = async (): Promise<string> => {
    try {
      await slices.append(bytesOf(1))
    } catch (error) {
      return error instanceof FsError ? error.code : 'other'
    }
    return 'none'
  }
  for (const code of ['ENOSPC', 'EDQUOT']) {
    segments.failure = Object.assign(new Error('full'), { code })
    t.is(await codeOf(), 'ENOSPC')
  }
  segments.failure = new Error('broken')
  t.is(await codeOf(), 'other')
})

test('slices - an entry is held with its large slices only', (t) => {
  const { slices, count } = make()
  const large = bytesOf(1)
  const entry = entryOf(sliceOf(large), sliceOf(bytesOf(2, 10), OF_B, 200_000))
  t.is(slices.holds(entry, false), false)
  const push = { type: 'slice', segment: OF_B, offset: 0 } as const
  slices.onBulk(B, { ...push, data: bytesOf(9) })
  t.is(slices.holds(entry, false), false, 'other bytes at the place')
  slices.onBulk(B, { ...push, data: large })
  t.is(count(), 2)
  t.is(slices.holds(entry, false), true)
  t.is(slices.holds(entry, true), false, 'bare: the small bytes are missing as well')
  slices.settle(entry, false)
  t.alike(slices.takeUnjournaled(), [OF_B], 'durable means the slices too (RULES 3)')
  t.is(slices.holds(entry, false), false, 'nothing is remembered of an applied entry')
})

test('slices - a push into a segment of another member is refused', (t) => {
  const { segments, slices, logger, count } = make()
  slices.onBulk(C, { type: 'slice', segment: OF_B, offset: 0, data: bytesOf(1) })
  slices.onBulk(C, { type: 'slice', segment: OWN, offset: 0, data: bytesOf(1) })
  t.is(segments.places.size, 0)
  t.is(count(), 0)
  t.is(logger.lines.length, 2)
})

test('slices - what a push cannot store is not held', (t) => {
  const { segments, slices, count } = make()
  segments.failure = new RangeError('no such place')
  slices.onBulk(B, { type: 'slice', segment: OF_B, offset: 0, data: bytesOf(1) })
  t.is(count(), 0)
  t.is(slices.holds(entryOf(sliceOf(bytesOf(1))), false), false)
})

test('slices - a wanted slice: from the disk, else its writer, else the others', async (t) => {
  const { segments, links, slices, reply, count } = make()
  const onDisk = bytesOf(1)
  const missing = bytesOf(2)
  const slice = sliceOf(missing, OF_B, 200_000)
  segments.writeAt(OF_B, 0, onDisk)
  const entry = entryOf(sliceOf(onDisk), slice)
  slices.want(entry, false)
  slices.want(entry, false)
  t.is(count(), 1)
  t.alike(toOf(links.takeBulk()), ['fetch-slice 2'], 'asked once')
  reply(C, slice, missing)
  t.is(slices.holds(entry, false), false, 'who was not asked is not heard')
  reply(B, slice, bytesOf(9))
  t.alike(toOf(links.takeBulk()), ['fetch-slice 3'], 'wrong bytes')
  reply(C, slice, missing)
  await settle()
  t.is(slices.holds(entry, false), true)
})

test('slices - punched in part is dead, damaged is not', async (t) => {
  const { slices, reply } = make()
  const [punched, damaged] = [bytesOf(1), bytesOf(2)]
  const first = sliceOf(punched)
  const second = sliceOf(damaged, OF_B, LARGE)
  slices.want(entryOf(first), false)
  slices.want(entryOf(second), false)
  punched.fill(0, 8192, 8192 + 4096)
  damaged.fill(0, 8192, 8192 + 4095)
  for (const from of [B, C]) {
    reply(from, first, punched)
    reply(from, second, damaged)
  }
  await settle()
  t.is(slices.holds(entryOf(first), false), true)
  t.is(slices.holds(entryOf(second), false), false)
})

test('slices - dead only when a member of the in-sync set had it and has it no more', async (t) => {
  const { slices, reply, clock, applied, lacking, links } = make()
  const slice = sliceOf(bytesOf(1))
  const entry = entryOf(slice)
  applied.splice(0, 2, A)
  slices.want(entry, false)
  reply(B, slice, undefined)
  reply(C, slice, undefined)
  await settle()
  t.is(slices.holds(entry, false), false, 'they may not have it yet')
  applied.push(B)
  links.takeBulk()
  clock.advance(SLICES_DEFAULTS.retryMs)
  t.alike(toOf(links.takeBulk()), ['fetch-slice 2'], 'asked again')
  reply(B, slice, undefined)
  reply(C, slice, undefined)
  await settle()
  t.is(slices.holds(entry, false), true)
  t.alike(lacking, [])
  slices.settle(entry, false)
  t.alike(lacking, [true], 'the state alone has the entry whole now')
})

test('slices - an answer counts by what was known of its member when it was asked', async (t) => {
  const { slices, reply, applied } = make({}, [B])
  const slice = sliceOf(bytesOf(1))
  const entry = entryOf(slice)
  applied.splice(0, 2, A)
  slices.want(entry, false)
  // It applies the entry, with its bytes, after it has answered.
  applied.push(B)
  reply(B, slice, undefined)
  await settle()
  t.is(slices.holds(entry, false), false)
})

test('slices - the answer to another question at the same place says nothing', async (t) => {
  const { slices, reply } = make({}, [B])
  const data = bytesOf(1)
  const slice = sliceOf(data)
  const entry = entryOf(slice)
  slices.want(entry, false)
  // It was asked for this slice and its neighbour in one piece before, and is late.
  const both = { ...slice, length: 2 * LARGE }
  reply(B, both, Buffer.concat([data, Buffer.alloc(LARGE)]))
  reply(B, both, undefined)
  await settle()
  t.is(slices.holds(entry, false), false, 'not dead')
  reply(B, slice, data)
  await settle()
  t.is(slices.holds(entry, false), true, 'and still waited for')
})

test('slices - a silent or vanished member is passed over', async (t) => {
  const { slices, links, clock } = make()
  const entry = entryOf(sliceOf(bytesOf(1)))
  slices.want(entry, false)
  clock.advance(SLICES_DEFAULTS.fetchTimeoutMs)
  t.alike(toOf(links.takeBulk()), ['fetch-slice 2', 'fetch-slice 3'])
  links.members = [B]
  slices.onPeerGone(C)
  await settle()
  t.is(slices.holds(entry, false), false, 'silence is no word that it is dead')
  clock.advance(SLICES_DEFAULTS.retryMs)
  t.alike(toOf(links.takeBulk()), ['fetch-slice 2'])
  slices.close()
  await settle()
  t.is(clock.pending, 0)
})

test('slices - fetches and remembered arrivals are bounded', async (t) => {
  const { slices, links, reply } = make({ fetchesMax: 2, arrivedMax: 2 }, [B])
  const data = [1, 2, 3, 4].map((fill) => bytesOf(fill))
  const wanted = data.map((bytes, i) => sliceOf(bytes, OF_B, i * 200_000))
  slices.want(entryOf(...wanted), false)
  t.is(links.takeBulk().length, 2)
  for (const [i, slice] of wanted.entries()) {
    reply(B, slice, data[i])
    await settle()
  }
  t.is(links.takeBulk().length, 2, 'one after the other')
  const held = wanted.map((slice) => slices.holds(entryOf(slice), false))
  t.alike(held, [false, false, true, true], 'the oldest are forgotten, and looked for on the disk')
})

test('slices - damage on the disk is repaired from another member', async (t) => {
  const { segments, slices, reply, logger, damage } = make()
  const data = bytesOf(1)
  const slice = sliceOf(data)
  segments.writeAt(OF_B, 0, bytesOf(8))
  const target = Buffer.alloc(4)
  const read = slices.read(slice, 10, 4, target, 0)
  t.ok(read instanceof Promise)
  reply(B, slice, data)
  await read
  t.alike(target, bytesOf(1, 4))
  t.is(slices.repaired, 1)
  t.is(logger.lines.length, 2, 'found and repaired are both said')
  t.alike(damage, [])
  t.absent(slices.read(slice, 0, 4, target, 0), 'sound again: no promise')
})

test('slices - damage that cannot be repaired is EIO and reported', async (t) => {
  const { slices, damage } = make({}, [])
  let code = ''
  try {
    await slices.read(sliceOf(bytesOf(1)), 0, 4, Buffer.alloc(4), 0)
  } catch (error) {
    code = error instanceof FsError ? error.code : 'other'
  }
  t.is(code, 'EIO')
  t.is(damage.length, 1)
})

test('slices - nobody is answered before the journal is replayed', async (t) => {
  const { slices, segments, links } = make({}, [B, C], false)
  const ask = { type: 'fetch-slice', segment: OWN, offset: 0, length: 10 } as const
  slices.onBulk(B, ask)
  await settle()
  t.alike(links.takeBulk(), [])
  segments.writeAt(OWN, 0, bytesOf(1, 10))
  slices.restored()
  await settle()
  const place = { type: 'slice-reply', segment: OWN, offset: 0, length: 10 } as const
  t.alike(links.takeBulk(), [{ to: B, message: { ...place, data: bytesOf(1, 10) } }])
})

test('slices - serves what stands on the disk, a bounded number at a time', async (t) => {
  const { segments, slices, links } = make({ servingMax: 2 })
  segments.writeAt(OWN, 0, bytesOf(1, 10))
  const ask = { type: 'fetch-slice', segment: OWN, length: 10 } as const
  slices.onBulk(B, { ...ask, offset: 0 })
  slices.onBulk(B, { ...ask, offset: 10 })
  await settle()
  const place = { type: 'slice-reply', segment: OWN, length: 10 } as const
  t.alike(
    links.takeBulk().map((sent) => sent.message),
    [
      { ...place, offset: 0, data: bytesOf(1, 10) },
      { ...place, offset: 10, data: undefined }
    ]
  )
  links.hasRoom = false
  for (let i = 0; i < 5; i++) slices.onBulk(B, { ...ask, offset: 0 })
  links.hasRoom = true
  links.drain()
  await settle()
  t.is(links.takeBulk().length, 2, 'the rest is asked for again')
})
