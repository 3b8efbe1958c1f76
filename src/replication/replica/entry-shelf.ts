/**
 * The shelf: heads of foreign entries that were applied here but not yet compared with the signed
 * block of their writer's hypercore. A local table in the state database, so it is exactly as
 * durable as the state.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import { LIMIT_PARAMETER } from '../../fs/state/limit-parameter.ts'

interface ShelfRow {
  readonly seq: number
  readonly head: Buffer
}

export class EntryShelf {
  readonly #put: Statement<[number, number, Buffer]>
  readonly #get: Statement<[number, number], ShelfRow>
  readonly #first: Statement<[number, number], ShelfRow>
  readonly #delete: Statement<[number, number]>
  readonly #writers: Statement<[], { writer: number }>

  constructor(database: Database) {
    database.exec(`CREATE TABLE IF NOT EXISTS local_entry_shelf (
      writer INTEGER NOT NULL, seq INTEGER NOT NULL, head BLOB NOT NULL,
      PRIMARY KEY (writer, seq)) WITHOUT ROWID`)
    this.#put = database.prepare('INSERT OR IGNORE INTO local_entry_shelf VALUES (?, ?, ?)')
    this.#get = database.prepare(
      'SELECT seq, head FROM local_entry_shelf WHERE writer = ? AND seq = ?'
    )
    this.#first = database.prepare(
      `SELECT seq, head FROM local_entry_shelf WHERE writer = ? ORDER BY seq ${LIMIT_PARAMETER}`
    )
    this.#delete = database.prepare('DELETE FROM local_entry_shelf WHERE writer = ? AND seq <= ?')
    this.#writers = database.prepare('SELECT DISTINCT writer FROM local_entry_shelf')
  }

  put(writer: WriterId, seq: Seq, head: Buffer): void {
    this.#put.run(writer, seq, head)
  }

  get(writer: WriterId, seq: Seq): Buffer | undefined {
    return this.#get.get(writer, seq)?.head
  }

  /** The oldest entries of a writer, in order. */
  oldest(writer: WriterId, limit: number): { readonly seq: Seq; readonly head: Buffer }[] {
    return this.#first.all(writer, limit).map((row) => ({ seq: row.seq as Seq, head: row.head }))
  }

  /** The entries up to `seq` go. */
  remove(writer: WriterId, seq: Seq): void {
    this.#delete.run(writer, seq)
  }

  writers(): WriterId[] {
    return this.#writers.all().map((row) => row.writer as WriterId)
  }
}
