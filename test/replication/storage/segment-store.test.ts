import { randomBytes } from 'node:crypto'
import { rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import test from 'brittle'
import type { Slice } from '../../../src/fs/op.ts'
import { SLICE_MAX_BYTES } from '../../../src/fs/op.ts'
import type { SegmentId, WriterId } from '../../../src/fs/primitives.ts'
import { makeSegmentId, writerOfSegment } from '../../../src/fs/primitives.ts'
import { loadAddon } from '../../../src/mount/channel/load-addon.ts'
import { nativeSystemCalls } from '../../../src/mount/channel/system-calls.ts'
import { SEGMENT_MAX_BYTES } from '../../../src/replication/entry.ts'
import type { DiskIo, FileRangeCalls } from '../../../src/replication/storage/disk-io.ts'
import { diskIo } from '../../../src/replication/storage/disk-io.ts'
import type {
  SegmentStoreComponents,
  SegmentStoreOptions
} from '../../../src/replication/storage/segment-store.ts'
import {
  SegmentStore,
  segmentPath,
  sliceMatches
} from '../../../src/replication/storage/segment-store.ts'
import {
  failing,
  flipBit,
  MemoryLogger,
  NEXT_WRITER,
  outOfRange,
  WRITER,
  writerOf
} from './support.ts'

const KIB = 1024

function openStore(
  dir: string,
  components: Partial<SegmentStoreComponents> = {},
  options: Partial<SegmentStoreOptions> = {}
): SegmentStore {
  return SegmentStore.open(
    { dir, logger: new MemoryLogger(), ...components },
    { writer: WRITER, ...options }
  )
}

function readBack(store: SegmentStore, slices: readonly Slice[]): Buffer | string {
  const bytes = Buffer.alloc(slices.reduce((sum, slice) => sum + slice.length, 0))
  let at = 0
  for (const slice of slices) {
    const state = store.readSync(slice, 0, slice.length, bytes, at)
    if (state !== 'ok') return state
    at += slice.length
  }
  return bytes
}

function only(slices: readonly Slice[]): Slice {
  const [slice] = slices
  if (!slice || slices.length !== 1) throw new Error('not one slice')
  return slice
}

test('append - cuts into slices that come back, whole and in parts', async (t) => {
  const store = openStore(await t.tmp())
  for (const size of [1, 4096, 128 * KIB, 128 * KIB + 1, 1024 * KIB]) {
    const data = randomBytes(size)
    const slices = store.append(data)
    t.is(slices.length, Math.ceil(size / (128 * KIB)))
    t.alike(readBack(store, slices), data)
    for (const slice of slices) t.is(store.verifySha(slice), 'ok')
    const slice = slices.at(-1)
    if (!slice) throw new Error('no slice')
    const target = Buffer.alloc(10)
    const from = Math.max(0, slice.length - 5)
    t.is(store.readSync(slice, from, slice.length - from, target, 3), 'ok')
    const end = data.subarray(data.length - (slice.length - from))
    t.alike(target.subarray(3, 3 + end.length), end)
  }
  t.is(store.append(Buffer.alloc(0)).length, 0)
  await store.close()
})

test('append - the sums of a large write are made off the event loop, or without the call at once', async (t) => {
  const { addon } = loadAddon()
  const { ranges } = addon ? nativeSystemCalls(addon) : { ranges: undefined }
  if (ranges === undefined) throw new Error('the native addon is needed here')
  for (const calls of [{ ranges }, {}]) {
    const store = openStore(await t.tmp(), calls)
    const data = randomBytes(3 * SLICE_MAX_BYTES + 77)
    const { places, slices } = store.appendLarge(data)
    const stored = await slices
    t.ok(places.every(({ offset }, i) => offset === stored[i]?.offset))
    let at = 0
    for (const slice of stored) {
      t.ok(sliceMatches(slice, data.subarray(at, at + slice.length)))
      at += slice.length
    }
    t.is(at, data.length)
    const back = readBack(store, stored)
    t.ok(Buffer.isBuffer(back) && back.equals(data))
    await store.close()
  }
})

test('append - goes on in the next segment when one is full', async (t) => {
  const store = openStore(await t.tmp(), {}, { segmentMaxBytes: 300 * KIB })
  const data = randomBytes(1000 * KIB)
  const slices = store.append(data)
  t.alike(readBack(store, slices), data)
  t.is(store.segments().length, 4)
  for (const slice of slices) t.ok(slice.offset + slice.length <= 300 * KIB)
  t.is(store.usage().sizeBytes, 1000 * KIB)
  await store.close()
})

test('append - whole slices end a segment, wherever they began', async (t) => {
  const store = openStore(await t.tmp(), {}, { segmentMaxBytes: 3 * SLICE_MAX_BYTES })
  store.append(randomBytes(100))
  const data = randomBytes(4 * SLICE_MAX_BYTES + 5)
  const slices = store.append(data)
  t.alike(
    slices.map(({ length }) => length),
    [...Array.from({ length: 4 }, () => SLICE_MAX_BYTES), 5]
  )
  t.is(new Set(slices.map(({ segment }) => segment)).size, 2)
  const back = readBack(store, slices)
  t.ok(Buffer.isBuffer(back) && back.equals(data))
  await store.close()
})

test('append - a segment that exists before its first use is refused', async (t) => {
  const dir = await t.tmp()
  const first = openStore(dir)
  first.append(Buffer.from('x'))
  await first.close()
  const second = openStore(dir)
  await t.exception(() => second.append(Buffer.from('y')), /exists before its first use/)
  await second.close()
  const third = openStore(dir, {}, { writer: NEXT_WRITER })
  t.is(writerOfSegment(only(third.append(Buffer.from('y'))).segment), NEXT_WRITER)
  await third.close()
})

test('append - a full disk takes nothing and the place is used again', async (t) => {
  let room = Number.POSITIVE_INFINITY
  const io = {
    ...diskIo,
    write: (fd: number, bytes: Uint8Array, position: number) => {
      if (room <= 0) throw failing('ENOSPC')
      const count = diskIo.write(fd, bytes.subarray(0, Math.min(bytes.length, room)), position)
      room -= count
      return count
    }
  }
  const store = openStore(await t.tmp(), { io })
  const before = store.append(randomBytes(1000))
  room = 200 * KIB
  await t.exception(() => store.append(randomBytes(512 * KIB)), /ENOSPC/)
  room = Number.POSITIVE_INFINITY
  const data = randomBytes(2000)
  const after = only(store.append(data))
  t.is(after.offset, 1000)
  t.alike(readBack(store, [after]), data)
  t.not(readBack(store, before), 'damaged')
  await store.close()
})

test('writeAt - stores what another writer made, at its place', async (t) => {
  const tmp = await t.tmp()
  const origin = openStore(join(tmp, 'a'))
  const copy = openStore(join(tmp, 'b'), {}, { writer: writerOf(2, 1) })
  const data = randomBytes(300 * KIB)
  const slices = origin.append(data)
  t.is(readBack(copy, slices), 'missing')
  for (const slice of [...slices].reverse()) {
    const bytes = data.subarray(slice.offset, slice.offset + slice.length)
    t.ok(sliceMatches(slice, bytes))
    copy.writeAt(slice.segment, slice.offset, bytes)
  }
  t.alike(readBack(copy, slices), data)
  await copy.syncUnsynced()
  t.is(copy.unsyncedSegments().length, 0)
  await origin.close()
  await copy.close()
})

test('writeEach - what lies behind each other in place and in memory is written in one call', async (t) => {
  const dir = await t.tmp()
  const writes: { position: number; bytes: string }[] = []
  const write: DiskIo['write'] = (fd, bytes, position) => {
    writes.push({ position, bytes: Buffer.from(bytes).toString('latin1') })
    return diskIo.write(fd, bytes, position)
  }
  const store = openStore(dir, { io: { ...diskIo, write } })
  const [a, b] = [0, 1].map((index) => makeSegmentId(writerOf(2, 1), index)) as [
    SegmentId,
    SegmentId
  ]
  const payload = Buffer.from('onetwosixtenall')
  const piece = (segment: SegmentId, offset: number, from: number) => ({
    slice: { segment, offset },
    bytes: payload.subarray(from, from + 3)
  })
  const apart = { slice: { segment: b, offset: 6 }, bytes: Buffer.from('end') }
  store.writeEach([
    piece(a, 100, 0),
    piece(a, 103, 3),
    piece(a, 110, 6),
    piece(b, 0, 9),
    piece(b, 3, 12),
    apart
  ])
  t.alike(writes, [
    { position: 100, bytes: 'onetwo' },
    { position: 110, bytes: 'six' },
    { position: 0, bytes: 'tenall' },
    { position: 6, bytes: 'end' }
  ])
  t.is(store.readBytes(a, 100, 6)?.toString(), 'onetwo')
  t.is(store.readBytes(b, 0, 9)?.toString(), 'tenallend')
  store.writeEach([])
  await store.close()
})

test('writeAt - places outside of a segment are refused', async (t) => {
  const store = openStore(await t.tmp())
  const foreign = makeSegmentId(writerOf(2, 1), 0)
  const bytes = Buffer.from('abc')
  const bad: [number, number][] = [
    [foreign, -1],
    [foreign, 0.5],
    [foreign, Number.NaN],
    [foreign, SEGMENT_MAX_BYTES - 2],
    [foreign, Number.MAX_SAFE_INTEGER],
    [0, 0],
    [-5, 0],
    [1.5, 0]
  ]
  for (const [segment, offset] of bad) {
    outOfRange(t, () => store.writeAt(segment as SegmentId, offset, bytes))
  }
  store.writeAt(foreign, SEGMENT_MAX_BYTES - 3, bytes)
  outOfRange(t, () => store.writeAt(makeSegmentId(WRITER, 0), 0, bytes))
  const own = only(store.append(Buffer.from('own')))
  store.writeAt(own.segment, own.offset, Buffer.from('own'))
  outOfRange(t, () => store.writeAt(own.segment, 1, Buffer.from('own')))
  t.alike(store.segments(), [own.segment, foreign])
  await store.close()
})

test('read - every flipped bit is noticed; a hole or a short file is missing', async (t) => {
  const dir = await t.tmp()
  const store = openStore(dir)
  const slices = store.append(randomBytes(100))
  const slice = only(slices)
  const next = only(store.append(Buffer.alloc(50)))
  const path = segmentPath(dir, slice.segment)
  for (let offset = 0; offset < 100; offset++) {
    flipBit(path, offset)
    if (readBack(store, slices) !== 'damaged') t.fail(`flip at ${offset} was not noticed`)
    flipBit(path, offset)
  }
  t.is(store.verifySha({ ...slice, sha256: Buffer.alloc(32) }), 'damaged')
  t.is(store.verifySha(slice), 'ok')
  t.alike(readBack(store, [next]), Buffer.alloc(50), 'zeros that were written are no hole')
  truncateSync(path, 99)
  t.is(readBack(store, slices), 'missing')
  truncateSync(path, 0)
  truncateSync(path, 200)
  t.is(readBack(store, slices), 'missing')
  await store.close()
  rmSync(path)
  const again = openStore(dir, {}, { writer: NEXT_WRITER })
  t.is(readBack(again, slices), 'missing')
  await again.close()
})

test('read - requests outside of the slice or target are refused', async (t) => {
  const store = openStore(await t.tmp())
  const slice = only(store.append(Buffer.from('0123456789')))
  const target = Buffer.alloc(10)
  outOfRange(t, () => store.readSync(slice, 5, 6, target, 0))
  outOfRange(t, () => store.readSync(slice, -1, 2, target, 0))
  outOfRange(t, () => store.readSync(slice, 0, 10, target, 1))
  const long = { ...slice, length: 200 * KIB }
  outOfRange(t, () => store.readSync(long, 0, 1, target, 0))
  await store.close()
})

test('sync - covers what was written before it and only the segments asked for', async (t) => {
  const store = openStore(await t.tmp())
  const a = makeSegmentId(writerOf(2, 1), 0)
  const b = makeSegmentId(writerOf(3, 1), 0)
  store.writeAt(a, 0, Buffer.from('a'))
  store.writeAt(b, 0, Buffer.from('b'))
  await store.syncSegments([a])
  t.alike(store.unsyncedSegments(), [b])
  const running = store.syncSegments([a, b])
  store.writeAt(b, 1, Buffer.from('c'))
  await running
  t.alike(store.unsyncedSegments(), [b], 'the later write is not covered')
  await store.syncUnsynced()
  t.alike(store.unsyncedSegments(), [])
  store.markUnsynced(a)
  t.alike(store.unsyncedSegments(), [a])
  await store.close()
})

test('sync - a failed fdatasync fails the store for good', async (t) => {
  let broken = true
  let calls = 0
  const failures: Error[] = []
  const io = {
    ...diskIo,
    fdatasync: (fd: number) => {
      calls++
      return broken ? Promise.reject(failing('EIO')) : diskIo.fdatasync(fd)
    }
  }
  const store = openStore(await t.tmp(), { io, onFailure: (error) => failures.push(error) })
  const slices = store.append(Buffer.from('data'))
  const waits = [store.syncUnsynced(), store.syncUnsynced()]
  for (const wait of waits) await t.exception(wait, /segment store failed: EIO/)
  broken = false
  await t.exception(store.syncUnsynced(), /segment store failed/)
  await t.exception(() => store.append(Buffer.from('x')), /segment store failed/)
  t.is(calls, 1, 'never tried again')
  t.is(failures.length, 1)
  t.alike(readBack(store, slices), Buffer.from('data'), 'reads go on')
  await store.close()
})

test('open files - bounded; files with unsynced bytes are synced before they are closed', async (t) => {
  let syncs = 0
  const io = {
    ...diskIo,
    fdatasyncNow: (fd: number) => {
      syncs++
      diskIo.fdatasyncNow(fd)
    }
  }
  const store = openStore(await t.tmp(), { io }, { openFilesMax: 4 })
  const ids = Array.from({ length: 10 }, (_, k) => makeSegmentId(writerOf(2, 1), k))
  for (const id of ids) store.writeAt(id, 0, Buffer.from(`segment ${id}`))
  t.is(syncs, 6)
  t.is(store.unsyncedSegments().length, 4)
  await store.syncUnsynced()
  for (const id of ids) store.writeAt(id, 0, Buffer.from(`segment ${id}`))
  t.is(syncs, 12, 'durable ones were closed first')
  await store.close()
})

test('runs - read in one call, and only when all of it is sound', async (t) => {
  const dir = await t.tmp()
  const asked: [number, number[], boolean][] = []
  let errno = 0
  const ranges: FileRangeCalls = {
    crc32,
    punchHole: async () => {},
    startWriteBack: async () => {},
    forgetPages: async () => {},
    sha256Each: async () => Buffer.alloc(0),
    readChecked: (_fd, _target, offset, { parts, once }) => {
      asked.push([offset, [...parts], once])
      return errno
    }
  }
  const store = openStore(dir, { ranges })
  store.append(randomBytes(100))
  const slices = store.append(randomBytes(2 * SLICE_MAX_BYTES + 5))
  const [first, second, third] = slices
  if (!first || !second || !third) throw new Error('three slices')
  const target = Buffer.alloc(2 * SLICE_MAX_BYTES + 5)
  t.ok(store.readRun(slices, target, true))
  const parts = slices.flatMap((slice) => [slice.length, slice.crc32])
  t.alike(asked, [[100, parts, true]])
  errno = 74
  t.absent(store.readRun(slices, target, false), 'other bytes')
  const elsewhere = { ...first, segment: makeSegmentId(9 as WriterId, 0) }
  t.absent(store.readRun([elsewhere], target.subarray(0, first.length), true), 'no such segment')
  outOfRange(t, () => store.readRun([first, third], target, true))
  outOfRange(t, () => store.readRun([first, second], target, true))
  await store.close()
  const plain = openStore(dir, {}, { writer: NEXT_WRITER })
  t.absent(plain.readRun(slices, target, true), 'not without the call')
  await plain.close()
})

test('punch - through the given call', async (t) => {
  const dir = await t.tmp()
  const punched: [number, number][] = []
  const ranges: FileRangeCalls = {
    crc32,
    punchHole: async (_fd, offset, length) => void punched.push([offset, length]),
    readChecked: () => 0,
    startWriteBack: async () => {},
    forgetPages: async () => {},
    sha256Each: async () => Buffer.alloc(0)
  }
  const store = openStore(dir, { ranges })
  const slice = only(store.append(randomBytes(10_000)))
  t.ok(await store.punch(slice.segment, 0, 4096))
  t.alike(punched, [[0, 4096]])
  t.absent(await store.punch(makeSegmentId(9 as WriterId, 0), 0, 10), 'no such segment')
  const outside = store.punch(slice.segment, 0, SEGMENT_MAX_BYTES + 1)
  t.ok((await outside.catch((error: unknown) => error)) instanceof RangeError)
  await store.close()
  const plain = openStore(dir, {}, { writer: NEXT_WRITER })
  t.absent(plain.canPunch)
  t.absent(await plain.punch(slice.segment, 0, 4096))
  await plain.close()
})

test('free space - what the filesystem says', async (t) => {
  const store = openStore(await t.tmp())
  const { totalBytes, availableBytes } = store.freeSpace()
  t.ok(totalBytes > 0 && availableBytes > 0 && availableBytes <= totalBytes)
  await store.close()
})
