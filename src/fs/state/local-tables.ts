import type { Database, Statement } from 'better-sqlite3'
import type { Slice } from '../op.ts'
import type { FreedSlice, Origin, StatePosition } from '../ports/state-machine.ts'
import type { Epoch, SegmentId, Seq, WriterId } from '../primitives.ts'
import { LIMIT_PARAMETER } from './limit-parameter.ts'

export interface Totals {
  /** Inodes, orphans included. */
  inodes: number
  /** Sum of `bytes` over all inodes. */
  dataBytes: number
}

/** This member's own rows: what was freed here, and how far the state has come. */
export class LocalTables {
  readonly #database: Database
  readonly #addFreed: Statement
  readonly #listFreed: Statement
  readonly #forgetFreed: Statement
  readonly #clearPosition: Statement
  readonly #setPosition: Statement
  readonly #setMeta: Statement
  readonly #getMeta: Statement

  constructor(database: Database) {
    this.#database = database
    this.#addFreed = database.prepare(
      'INSERT INTO freed_slice (segment, offset, length, writer, seq) VALUES (?, ?, ?, ?, ?)'
    )
    this.#listFreed = database
      .prepare(
        `SELECT segment, offset, length, writer, seq FROM freed_slice ORDER BY id ${LIMIT_PARAMETER}`
      )
      .raw(true)
    this.#forgetFreed = database.prepare('DELETE FROM freed_slice WHERE segment = ? AND offset = ?')
    this.#clearPosition = database.prepare('DELETE FROM position')
    this.#setPosition = database.prepare('INSERT INTO position (writer, seq) VALUES (?, ?)')
    this.#setMeta = database.prepare('UPDATE meta SET value = ? WHERE key = ?')
    this.#getMeta = database.prepare('SELECT value FROM meta WHERE key = ?').pluck(true)
  }

  addFreed(slices: readonly Slice[], origin: Origin): void {
    for (const slice of slices) {
      this.#addFreed.run(slice.segment, slice.offset, slice.length, origin.writer, origin.seq)
    }
  }

  freed(limit: number): FreedSlice[] {
    const rows = this.#listFreed.all(limit) as [SegmentId, number, number, WriterId, Seq][]
    return rows.map(([segment, offset, length, writer, seq]) => ({
      segment,
      offset,
      length,
      origin: { writer, seq }
    }))
  }

  forgetFreed(slices: readonly FreedSlice[]): void {
    for (const slice of slices) this.#forgetFreed.run(slice.segment, slice.offset)
  }

  position(): StatePosition {
    const rows = this.#database.prepare('SELECT writer, seq FROM position').raw(true).all()
    const applied = new Map(rows as [WriterId, Seq][])
    return { epoch: this.#meta('epoch') as Epoch | 0, applied }
  }

  setPosition(position: StatePosition): void {
    this.#setMeta.run(position.epoch, 'epoch')
    this.#clearPosition.run()
    for (const [writer, seq] of position.applied) this.#setPosition.run(writer, seq)
  }

  totals(): Totals {
    return { inodes: this.#meta('inodes'), dataBytes: this.#meta('data_bytes') }
  }

  setTotals(totals: Totals): void {
    this.#setMeta.run(totals.inodes, 'inodes')
    this.#setMeta.run(totals.dataBytes, 'data_bytes')
  }

  #meta(key: string): number {
    return this.#getMeta.get(key) as number
  }
}
