import type { Database, Statement } from 'better-sqlite3'
import type { StatePosition } from '../ports/state-machine.ts'
import type { Epoch, Seq, WriterId } from '../primitives.ts'

export interface Totals {
  /** Inodes, orphans included. */
  inodes: number
  /** Sum of `bytes` over all inodes. */
  dataBytes: number
}

/** This member's own rows: how far the state has come, and its totals. */
export class LocalTables {
  readonly #database: Database
  readonly #clearPosition: Statement
  readonly #setPosition: Statement
  readonly #setMeta: Statement
  readonly #getMeta: Statement

  constructor(database: Database) {
    this.#database = database
    this.#clearPosition = database.prepare('DELETE FROM position')
    this.#setPosition = database.prepare('INSERT INTO position (writer, seq) VALUES (?, ?)')
    this.#setMeta = database.prepare('UPDATE meta SET value = ? WHERE key = ?')
    this.#getMeta = database.prepare('SELECT value FROM meta WHERE key = ?').pluck(true)
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
