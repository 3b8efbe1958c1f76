import BetterSqlite3 from 'better-sqlite3'
import test from 'brittle'
import type { Slice } from '../../../src/fs/op.ts'
import type { Ino, SegmentId } from '../../../src/fs/primitives.ts'
import { ExtentTable, type Home } from '../../../src/fs/state/extent-table.ts'
import { createSchema } from '../../../src/fs/state/schema.ts'

const FILE = 7 as Ino
const OTHER = 8 as Ino
const SIZE = 6

function open(): { extents: ExtentTable; clear: () => void; close: () => void } {
  const database = new BetterSqlite3(':memory:')
  createSchema(database)
  const extents = new ExtentTable(database)
  const remove = database.prepare('DELETE FROM extent')
  return { extents, clear: () => remove.run(), close: () => database.close() }
}

function slice(number: number, length: number): Slice {
  const segment = 100 as SegmentId
  return { segment, offset: number * 1000, length, crc32: number, sha256: Buffer.alloc(32, number) }
}

function numberOf({ slice }: Home): number {
  return slice.offset / 1000
}

/** Which byte of which slice stands at each offset; '' is a hole. */
function bytesOf(extents: ExtentTable): string[] {
  const bytes = new Array<string>(SIZE).fill('')
  for (const { offset, length, delta, slice } of extents.range(FILE, 0, SIZE)) {
    for (let i = 0; i < length; i++) bytes[offset + i] = `${slice.crc32}.${delta + i}`
  }
  return bytes
}

interface Range {
  readonly start: number
  readonly end: number
}

function ranges(): Range[] {
  const all: Range[] = []
  for (let start = 0; start < SIZE; start++) {
    for (let end = start + 1; end <= SIZE; end++) all.push({ start, end })
  }
  return all
}

test('extent-table - all worlds of three writes and a cut on six bytes', (t) => {
  const { extents, clear, close } = open()
  t.teardown(close)
  let worlds = 0
  for (const first of ranges()) {
    for (const second of ranges()) {
      for (const third of ranges()) {
        clear()
        const model = new Array<string>(SIZE).fill('')
        const live = new Set<number>()
        const steps = [first, second, third]
        for (const [at, { start, end }] of steps.entries()) {
          const isCut = at === 1 && (worlds & 1) === 1
          const before = model.filter((byte, i) => i >= start && i < end && byte !== '').length
          const { bytes, left } = isCut
            ? extents.cut(FILE, start, end)
            : extents.write(FILE, start, end, [slice(at + 1, end - start)])
          model.fill('', start, end)
          for (const home of left) live.delete(numberOf(home))
          if (!isCut) {
            live.add(at + 1)
            for (let i = start; i < end; i++) model[i] = `${at + 1}.${i - start}`
          }
          const used = new Set(model.filter((byte) => byte !== '').map((byte) => +(byte[0] ?? '')))
          const same =
            bytes === before &&
            bytesOf(extents).join() === model.join() &&
            [...used].sort().join() === [...live].sort().join()
          if (!same) {
            t.fail(JSON.stringify(steps))
            return
          }
        }
        worlds++
      }
    }
  }
  t.is(worlds, 21 ** 3)
})

test('extent-table - range gives what shares a byte, and no other inode', (t) => {
  const { extents, close } = open()
  t.teardown(close)
  extents.insert(FILE, { offset: 0, length: 10, slice: slice(1, 10), delta: 0 })
  extents.insert(FILE, { offset: 20, length: 10, slice: slice(2, 10), delta: 0 })
  extents.insert(OTHER, { offset: 5, length: 100, slice: slice(3, 100), delta: 0 })
  const offsets = (start: number, end: number) =>
    extents.range(FILE, start, end).map((extent) => extent.offset)
  t.alike(offsets(0, 30), [0, 20])
  t.alike(offsets(9, 10), [0])
  t.alike(offsets(10, 20), [])
  t.alike(offsets(15, 21), [20])
  t.alike(offsets(29, 1000), [20])
  t.is(extents.nextData(FILE, 10)?.offset, 20)
  t.is(extents.nextData(FILE, 25)?.offset, 20)
  t.is(extents.nextData(FILE, 30), undefined)
})

test('extent-table - a slice is freed when its last piece goes, and once', (t) => {
  const { extents, close } = open()
  t.teardown(close)
  extents.insert(FILE, { offset: 0, length: 30, slice: slice(1, 30), delta: 0 })
  t.is(extents.cut(FILE, 10, 20).left.length, 0)
  t.is(extents.cut(FILE, 0, 10).left.length, 0)
  const [rest] = extents.range(FILE, 0, 30)
  t.is(rest?.delta, 20)
  t.is(rest?.slice.length, 30)
  t.alike(extents.cut(FILE, 0, 1000).left.map(numberOf), [1])
  t.alike(extents.cut(FILE, 0, 1000), { bytes: 0, left: [] })
})

test('extent-table - one that was set is what everybody sees, before and after it is written', (t) => {
  const looks: Record<string, (extents: ExtentTable) => unknown> = {
    range: (extents) => extents.range(FILE, 0, SIZE).map((extent) => extent.slice.crc32),
    'next data': (extents) => [extents.nextData(FILE, 0)?.slice.crc32],
    all: (extents) => [...extents.all()].map((extent) => extent.slice.crc32),
    cut: (extents) => extents.cut(FILE, 0, SIZE).left.map(numberOf),
    'a write over it': (extents) => extents.write(FILE, 0, 4, [slice(9, 4)]).left.map(numberOf),
    'a write into it': (extents) => {
      extents.write(FILE, 1, 2, [slice(9, 1)])
      return [extents.range(FILE, 0, 1)[0]?.slice.crc32]
    }
  }
  for (const [title, look] of Object.entries(looks)) {
    const { extents, close } = open()
    extents.append(FILE, 0, [slice(1, 2)])
    extents.set(FILE, 0, slice(2, 3))
    extents.set(FILE, 0, slice(3, 4))
    t.alike(look(extents), [3], title)
    close()
  }
})

test('extent-table - one that was set and then another', (t) => {
  const { extents, close } = open()
  t.teardown(close)
  extents.append(FILE, 0, [slice(1, 2)])
  extents.append(OTHER, 0, [slice(2, 2)])
  extents.set(FILE, 0, slice(3, 2))
  extents.set(OTHER, 0, slice(4, 2))
  t.alike(
    [...extents.all()].map((extent) => extent.slice.crc32),
    [3, 4]
  )
})
