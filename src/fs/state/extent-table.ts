/**
 * Extents: which slice holds which bytes of a file. Invariant: the extents of an inode do not
 * overlap, and pieces of one slice lie only inside the file range the slice was written to - so
 * whether a slice is still in use is answered by looking at that range alone.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { Slice } from '../op.ts'
import type { Ino, SegmentId } from '../primitives.ts'

/** Bytes [offset, offset + length) of the file are bytes [delta, delta + length) of the slice. */
export interface Extent {
  readonly offset: number
  readonly length: number
  readonly slice: Slice
  readonly delta: number
}

/** What a cut took away. */
export interface CutResult {
  readonly bytes: number
  /** Slices nothing refers to any more. */
  readonly freed: readonly Slice[]
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

const COLUMNS = 'offset, length, segment, slice_offset, slice_length, delta, crc32, sha256'
const NOTHING: CutResult = { bytes: 0, freed: [] }

function fromColumns(row: ExtentColumns): Extent {
  const [offset, length, segment, sliceOffset, sliceLength, delta, crc32, sha256] = row
  const slice = { segment, offset: sliceOffset, length: sliceLength, crc32, sha256 }
  return { offset, length, slice, delta }
}

export class ExtentTable {
  readonly #range: Statement
  readonly #insert: Statement
  readonly #shorten: Statement
  readonly #delete: Statement
  readonly #used: Statement
  readonly #after: Statement
  readonly #all: Statement

  constructor(database: Database) {
    this.#range = database
      .prepare(
        `SELECT ${COLUMNS} FROM extent WHERE ino = ? AND offset < ? AND offset >= ` +
          'coalesce((SELECT max(offset) FROM extent WHERE ino = ? AND offset <= ?), ?) ' +
          'ORDER BY offset'
      )
      .raw(true)
    this.#insert = database.prepare(
      `INSERT INTO extent (ino, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
    )
    this.#shorten = database.prepare('UPDATE extent SET length = ? WHERE ino = ? AND offset = ?')
    this.#delete = database.prepare('DELETE FROM extent WHERE ino = ? AND offset = ?')
    this.#used = database
      .prepare(
        'SELECT 1 FROM extent WHERE ino = ? AND offset >= ? AND offset < ? ' +
          'AND segment = ? AND slice_offset = ? LIMIT 1'
      )
      .pluck(true)
    this.#after = database
      .prepare(`SELECT ${COLUMNS} FROM extent WHERE ino = ? AND offset > ? ORDER BY offset LIMIT 1`)
      .raw(true)
    this.#all = database
      .prepare(`SELECT ino, ${COLUMNS} FROM extent ORDER BY ino, offset`)
      .raw(true)
  }

  /** Extents that share a byte with [start, end), in file order. */
  range(ino: Ino, start: number, end: number): Extent[] {
    const extents: Extent[] = []
    for (const row of this.#range.all(ino, end, ino, start, start) as ExtentColumns[]) {
      if (row[0] + row[1] > start) extents.push(fromColumns(row))
    }
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
    return { bytes, freed: this.#unused(ino, gone) }
  }

  #unused(ino: Ino, gone: readonly Extent[]): Slice[] {
    const freed = new Map<string, Slice>()
    for (const { offset, length, delta, slice } of gone) {
      const { segment } = slice
      const written = offset - delta
      const whole = length === slice.length
      if (!whole && this.#used.get(ino, written, written + slice.length, segment, slice.offset)) {
        continue
      }
      freed.set(`${segment}:${slice.offset}`, slice)
    }
    return [...freed.values()]
  }

  *all(): IterableIterator<Extent & { readonly ino: Ino }> {
    for (const row of this.#all.iterate()) {
      const [ino, ...rest] = row as [Ino, ...ExtentColumns]
      yield { ino, ...fromColumns(rest) }
    }
  }
}
