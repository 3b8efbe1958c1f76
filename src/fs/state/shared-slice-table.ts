/**
 * Slices that a clone gave to a second home, each with the homes that still use it. A slice that is
 * not here has exactly one. Replicated: equal on equal members, because a row stands for a clone
 * that was applied and for extents that are there, in whatever order other ops came between.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { Ino, SegmentId } from '../primitives.ts'
import type { Home } from './extent-table.ts'

export interface SharedSlice {
  readonly segment: SegmentId
  readonly sliceOffset: number
  readonly ino: Ino
  readonly base: number
}

type SharedColumns = readonly [SegmentId, number, Ino, number]

export class SharedSliceTable {
  /** There never was a row: nothing to look for. */
  #isEmpty: boolean
  readonly #enter: Statement
  readonly #leave: Statement
  readonly #used: Statement
  readonly #all: Statement

  constructor(database: Database) {
    this.#enter = database.prepare(
      'INSERT OR IGNORE INTO shared_slice (segment, slice_offset, ino, base) VALUES (?, ?, ?, ?)'
    )
    this.#leave = database.prepare(
      'DELETE FROM shared_slice WHERE segment = ? AND slice_offset = ? AND ino = ? AND base = ?'
    )
    this.#used = database
      .prepare('SELECT 1 FROM shared_slice WHERE segment = ? AND slice_offset = ? LIMIT 1')
      .pluck(true)
    this.#isEmpty = database.prepare('SELECT 1 FROM shared_slice LIMIT 1').get() === undefined
    this.#all = database
      .prepare(
        'SELECT segment, slice_offset, ino, base FROM shared_slice ' +
          'ORDER BY segment, slice_offset, ino, base'
      )
      .raw(true)
  }

  /** The home shares its slice from now on. */
  enter({ ino, base, slice }: Home): void {
    this.#isEmpty = false
    this.#enter.run(slice.segment, slice.offset, ino, base)
  }

  /** The home does not use its slice any more; true when nothing else does. */
  leave({ ino, base, slice }: Home): boolean {
    if (this.#isEmpty) return true
    this.#leave.run(slice.segment, slice.offset, ino, base)
    return this.#used.get(slice.segment, slice.offset) === undefined
  }

  *all(): IterableIterator<SharedSlice> {
    for (const row of this.#all.iterate()) {
      const [segment, sliceOffset, ino, base] = row as SharedColumns
      yield { segment, sliceOffset, ino, base }
    }
  }
}
