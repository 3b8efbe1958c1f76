/**
 * Places of slices that nothing refers to any more, many in a row of this member's own table: a row
 * for each slice would cost as much as the write that freed it. What was freed lately stands in memory
 * until a row is full, somebody asks, or the transaction is committed; a crash takes it away
 * together with the changes that freed it.
 */
import type { Database, Statement } from 'better-sqlite3'
import { ByteWriter, DecodeError } from '../byte-codec.ts'
import type { FreedBatch, FreedSlice } from '../ports/state-machine.ts'
import type { FreedBatchId } from '../primitives.ts'
import { readFreedSlices, writeFreedSlices } from './freed-slices-codec.ts'
import { StateDamagedError } from './state-damaged-error.ts'

/** Most slices of a row. Mostly it fills one page of the database then. */
export const BATCH_SLICES = 512

export class FreedBatchTable {
  readonly #database: Database
  readonly #insert: Statement
  readonly #list: Statement
  readonly #delete: Statement
  readonly #writer = new ByteWriter()
  /** Freed, and not in a row yet. */
  #lately: FreedSlice[] = []

  constructor(database: Database) {
    this.#database = database
    this.#insert = database.prepare('INSERT INTO freed_batch (slices) VALUES (?)')
    this.#list = database.prepare('SELECT id, slices FROM freed_batch ORDER BY id').raw(true)
    this.#delete = database.prepare('DELETE FROM freed_batch WHERE id = ?')
  }

  /** The slice as it is now: it is not held on to. */
  add({ segment, offset, length }: FreedSlice): void {
    this.#lately.push({ segment, offset, length })
    if (this.#lately.length >= BATCH_SLICES) this.flush()
  }

  /** Everything freed so far is in a row. */
  flush(): void {
    if (this.#lately.length === 0) return
    writeFreedSlices(this.#writer, this.#lately)
    this.#insert.run(this.#writer.finish())
    this.#lately = []
  }

  /** The oldest batches, up to the one with which they hold `slices` slices. */
  list(slices: number): FreedBatch[] {
    this.flush()
    const batches: FreedBatch[] = []
    let count = 0
    for (const row of this.#list.iterate()) {
      const [id, bytes] = row as [FreedBatchId, Uint8Array]
      const batch = { id, slices: this.#read(id, bytes) }
      batches.push(batch)
      count += batch.slices.length
      if (count >= slices) break
    }
    return batches
  }

  forget(ids: readonly FreedBatchId[]): void {
    for (const id of ids) this.#delete.run(id)
  }

  #read(id: FreedBatchId, bytes: Uint8Array): FreedSlice[] {
    try {
      return readFreedSlices(bytes)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      const text = `damaged: freed batch ${id}: ${error.message}`
      throw new StateDamagedError(this.#database.name, text, { cause: error })
    }
  }
}
