/**
 * Extents: which slice holds which bytes of a file. Invariant: the extents of an inode do not
 * overlap, and all pieces of one slice lie inside one of its homes - so whether a home still uses
 * the slice is answered by looking at that range alone. A slice has one home, the file range it was
 * written to, unless a clone gave it more (shared-slice-table.ts).
 */
import type { Database, Statement } from 'better-sqlite3'
import { assert } from '../assert.ts'
import type { Slice } from '../op.ts'
import type { Ino, SegmentId } from '../primitives.ts'
import { LIMIT_PARAMETER } from './limit-parameter.ts'

/** Bytes [offset, offset + length) of the file are bytes [delta, delta + length) of the slice. */
export interface Extent {
  readonly offset: number
  readonly length: number
  readonly slice: Slice
  readonly delta: number
}

/** Where a slice stands, without the sums of its bytes. */
export type SlicePlace = Pick<Slice, 'segment' | 'offset' | 'length'>

/** A file range [base, base + slice.length) in which every byte is that of the slice, or not its. */
export interface Home {
  readonly ino: Ino
  /** Where byte 0 of the slice would lie; below 0 when a clone took only a later part. */
  readonly base: number
  readonly slice: SlicePlace
}

/** What a cut took away. */
export interface CutResult {
  readonly bytes: number
  /** Homes that hold nothing of their slice any more. */
  readonly left: readonly Home[]
}

type ExtentColumns = readonly [
  number,
  number,
  SegmentId,
  number,
  number,
  number,
  number,
  Uint8Array
]

type PlaceColumns = readonly [number, number, SegmentId, number, number, number]

const COLUMNS = 'offset, length, segment, slice_offset, slice_length, delta, crc32, sha256'
const NOTHING: CutResult = { bytes: 0, left: [] }

function fromColumns(row: ExtentColumns): Extent {
  const [offset, length, segment, sliceOffset, sliceLength, delta, crc32, sha256] = row
  const slice = { segment, offset: sliceOffset, length: sliceLength, crc32, sha256 }
  return { offset, length, slice, delta }
}

export function homeOf(ino: Ino, { offset, delta, slice }: Extent): Home {
  return { ino, base: offset - delta, slice }
}

/** What an extent is to be, with the row still what it was. */
interface Unwritten {
  readonly ino: Ino
  readonly offset: number
  slice: Slice
}

export class ExtentTable {
  /** An extent that grows write by write is written to its row when anybody looks. */
  #unwritten: Unwritten | undefined
  readonly #at: Statement
  readonly #placeAt: Statement
  readonly #between: Statement
  readonly #insert: Statement
  readonly #insertEnd: Statement
  readonly #set: Statement
  readonly #shorten: Statement
  readonly #delete: Statement
  readonly #used: Statement
  readonly #after: Statement
  readonly #all: Statement

  constructor(database: Database) {
    this.#at = database
      .prepare(
        `SELECT ${COLUMNS} FROM extent WHERE ino = ? AND offset <= ? ORDER BY offset DESC LIMIT 1`
      )
      .raw(true)
    // Without the sums, for each of which an object would be made: half of what #at takes.
    this.#placeAt = database
      .prepare(
        'SELECT offset, length, segment, slice_offset, slice_length, delta FROM extent ' +
          'WHERE ino = ? AND offset <= ? ORDER BY offset DESC LIMIT 1'
      )
      .raw(true)
    this.#between = database
      .prepare(
        `SELECT ${COLUMNS} FROM extent WHERE ino = ? AND offset > ? AND offset < ? ` +
          `ORDER BY offset ${LIMIT_PARAMETER}`
      )
      .raw(true)
    this.#insert = database.prepare(
      `INSERT INTO extent (ino, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
    )
    this.#insertEnd = database.prepare(
      `INSERT INTO extent (ino, ${COLUMNS}) SELECT ino, ?, ?, segment, slice_offset, slice_length, ` +
        '?, crc32, sha256 FROM extent WHERE ino = ? AND offset = ?'
    )
    this.#set = database.prepare(
      'UPDATE extent SET length = ?, segment = ?, slice_offset = ?, slice_length = ?, delta = 0, ' +
        'crc32 = ?, sha256 = ? WHERE ino = ? AND offset = ?'
    )
    this.#shorten = database.prepare('UPDATE extent SET length = ? WHERE ino = ? AND offset = ?')
    this.#delete = database.prepare('DELETE FROM extent WHERE ino = ? AND offset = ?')
    this.#used = database
      .prepare(
        'SELECT 1 FROM extent WHERE ino = ? AND offset >= ? AND offset < ? ' +
          'AND segment = ? AND slice_offset = ? AND offset - delta = ? LIMIT 1'
      )
      .pluck(true)
    this.#after = database
      .prepare(`SELECT ${COLUMNS} FROM extent WHERE ino = ? AND offset > ? ORDER BY offset LIMIT 1`)
      .raw(true)
    this.#all = database
      .prepare(`SELECT ino, ${COLUMNS} FROM extent ORDER BY ino, offset`)
      .raw(true)
  }

  /** Extents that share a byte with [start, end), in file order; the first `limit` of them. */
  range(ino: Ino, start: number, end: number, limit?: number): Extent[] {
    const extents: Extent[] = []
    if (end <= start || limit === 0) return extents
    this.flush()
    const first = this.#at.get(ino, start) as ExtentColumns | undefined
    if (first !== undefined && first[0] + first[1] > start) {
      extents.push(fromColumns(first))
      // Small reads and writes mostly lie in one extent; a list costs several times as much.
      if (first[0] + first[1] >= end) return extents
    }
    const rows = this.#between.all(ino, start, end, limit === undefined ? -1 : limit)
    for (const row of rows as ExtentColumns[]) extents.push(fromColumns(row))
    if (limit !== undefined && extents.length > limit) extents.length = limit
    return extents
  }

  /** The extent at or behind `offset`: where data is found next. */
  nextData(ino: Ino, offset: number): Extent | undefined {
    const [at] = this.range(ino, offset, offset + 1)
    if (at !== undefined) return at
    const row = this.#after.get(ino, offset) as ExtentColumns | undefined
    return row === undefined ? undefined : fromColumns(row)
  }

  insert(ino: Ino, extent: Extent): void {
    this.flush()
    const { slice } = extent
    this.#insert.run(
      ino,
      extent.offset,
      extent.length,
      slice.segment,
      slice.offset,
      slice.length,
      extent.delta,
      slice.crc32,
      slice.sha256
    )
  }

  /** The extent that begins at `offset` becomes all of `slice`; there is one. */
  set(ino: Ino, offset: number, slice: Slice): void {
    const unwritten = this.#unwritten
    if (unwritten?.ino === ino && unwritten.offset === offset) {
      unwritten.slice = slice
      return
    }
    this.flush()
    this.#unwritten = { ino, offset, slice }
  }

  /** Every row is what the methods here say it is. */
  flush(): void {
    if (this.#unwritten === undefined) return
    const { ino, offset, slice } = this.#unwritten
    this.#unwritten = undefined
    const { segment, offset: at, length, crc32, sha256 } = slice
    const { changes } = this.#set.run(length, segment, at, length, crc32, sha256, ino, offset)
    assert(changes === 1, () => `inode ${ino} has no extent at ${offset}`)
  }

  /**
   * [offset, end) becomes these slices. What mostly happens, that a write has the place of an earlier
   * one or lies within it, takes two to four statements.
   */
  write(ino: Ino, offset: number, end: number, slices: readonly Slice[]): CutResult {
    const [only] = slices
    const overwritten = only && slices.length === 1 && this.#overwrite(ino, offset, only)
    if (overwritten) return overwritten
    const cut = this.cut(ino, offset, end)
    this.append(ino, offset, slices)
    return cut
  }

  /** If one extent has all bytes that the slice is to take, it takes them. */
  #overwrite(ino: Ino, offset: number, slice: Slice): CutResult | undefined {
    this.flush()
    const row = this.#placeAt.get(ino, offset) as PlaceColumns | undefined
    if (row === undefined) return undefined
    const [at, bytes, segment, sliceOffset, length, delta] = row
    const left = offset - at
    const right = bytes - left - slice.length
    if (right < 0) return undefined
    if (left === 0 && right === 0) {
      this.set(ino, offset, slice)
      const home = { ino, base: offset - delta, slice: { segment, offset: sliceOffset, length } }
      return { bytes, left: bytes === length || !this.#holds(home) ? [home] : [] }
    }
    const end = offset + slice.length
    if (right > 0) this.#insertEnd.run(end, right, delta + bytes - right, ino, at)
    if (left > 0) {
      this.#shorten.run(left, ino, at)
      this.insert(ino, { offset, length: slice.length, slice, delta: 0 })
    } else {
      this.set(ino, offset, slice)
    }
    return { bytes: slice.length, left: [] }
  }

  /** Slices behind each other from `offset` on, where nothing is. */
  append(ino: Ino, offset: number, slices: readonly Slice[]): void {
    let at = offset
    for (const slice of slices) {
      this.insert(ino, { offset: at, length: slice.length, slice, delta: 0 })
      at += slice.length
    }
  }

  /** Makes [start, end) a hole: extents inside go, those across an edge keep what is outside. */
  cut(ino: Ino, start: number, end: number): CutResult {
    const overlapping = this.range(ino, start, end)
    if (overlapping.length === 0) return NOTHING
    let bytes = 0
    const gone: Extent[] = []
    for (const extent of overlapping) {
      const extentEnd = extent.offset + extent.length
      const left = Math.max(0, start - extent.offset)
      const right = Math.max(0, extentEnd - end)
      bytes += extent.length - left - right
      if (left > 0) this.#shorten.run(left, ino, extent.offset)
      else this.#delete.run(ino, extent.offset)
      if (right > 0) {
        const delta = extent.delta + extent.length - right
        this.insert(ino, { offset: end, length: right, slice: extent.slice, delta })
      }
      if (left === 0 && right === 0) gone.push(extent)
    }
    return { bytes, left: this.#emptyHomes(ino, gone) }
  }

  #emptyHomes(ino: Ino, gone: readonly Extent[]): Home[] {
    const [first] = gone
    if (first && gone.length === 1) {
      const home = homeOf(ino, first)
      return first.length === first.slice.length || !this.#holds(home) ? [home] : []
    }
    const left = new Map<string, Home>()
    for (const extent of gone) {
      const home = homeOf(ino, extent)
      const { base, slice } = home
      const whole = extent.length === slice.length
      if (!whole && this.#holds(home)) continue
      left.set(`${slice.segment}:${slice.offset}:${base}`, home)
    }
    return [...left.values()]
  }

  #holds({ ino, base, slice }: Home): boolean {
    this.flush()
    const { segment, offset, length } = slice
    return this.#used.get(ino, base, base + length, segment, offset, base) !== undefined
  }

  *all(): IterableIterator<Extent & { readonly ino: Ino }> {
    this.flush()
    for (const row of this.#all.iterate()) {
      const [ino, ...rest] = row as [Ino, ...ExtentColumns]
      yield { ino, ...fromColumns(rest) }
    }
  }
}
