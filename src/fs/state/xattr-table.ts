import type { Database, Statement } from 'better-sqlite3'
import type { Ino } from '../primitives.ts'

export interface Xattr {
  readonly ino: Ino
  readonly name: Uint8Array
  readonly value: Uint8Array
}

type XattrColumns = readonly [Ino, Uint8Array, Uint8Array]

/** Inodes remembered to have none; then they are forgotten all together. */
const BARE_MAX_INODES = 16_384

export class XattrTable {
  /** Most inodes have no attribute, and are asked for one whenever something is made or run. */
  readonly #bare = new Set<Ino>()
  /** There was none at all since this was opened. */
  #isEmpty: boolean
  readonly #any: Statement
  readonly #select: Statement
  readonly #names: Statement
  readonly #put: Statement
  readonly #delete: Statement
  readonly #deleteAll: Statement
  readonly #all: Statement

  constructor(database: Database) {
    this.#select = database
      .prepare('SELECT value FROM xattr WHERE ino = ? AND name = ?')
      .pluck(true)
    this.#any = database.prepare('SELECT 1 FROM xattr WHERE ino = ? LIMIT 1').pluck(true)
    this.#names = database.prepare('SELECT name FROM xattr WHERE ino = ? ORDER BY name').pluck(true)
    this.#put = database.prepare('INSERT OR REPLACE INTO xattr (ino, name, value) VALUES (?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM xattr WHERE ino = ? AND name = ?')
    this.#deleteAll = database.prepare('DELETE FROM xattr WHERE ino = ?')
    this.#all = database.prepare('SELECT ino, name, value FROM xattr ORDER BY ino, name').raw(true)
    this.#isEmpty = database.prepare('SELECT 1 FROM xattr LIMIT 1').get() === undefined
  }

  get(ino: Ino, name: Uint8Array): Uint8Array | undefined {
    if (this.isBare(ino)) return undefined
    return this.#select.get(ino, name) as Uint8Array | undefined
  }

  /** True when the inode has none. */
  isBare(ino: Ino): boolean {
    if (this.#isEmpty || this.#bare.has(ino)) return true
    if (this.#any.get(ino) !== undefined) return false
    this.#rememberBare(ino)
    return true
  }

  #rememberBare(ino: Ino): void {
    if (this.#bare.size >= BARE_MAX_INODES) this.#bare.clear()
    this.#bare.add(ino)
  }

  names(ino: Ino): Uint8Array[] {
    return this.#names.all(ino) as Uint8Array[]
  }

  put(ino: Ino, name: Uint8Array, value: Uint8Array): void {
    this.#isEmpty = false
    this.#bare.delete(ino)
    this.#put.run(ino, name, value)
  }

  /** False when there was none. */
  delete(ino: Ino, name: Uint8Array): boolean {
    return this.#delete.run(ino, name).changes === 1
  }

  deleteAll(ino: Ino): void {
    this.#deleteAll.run(ino)
  }

  *all(): IterableIterator<Xattr> {
    for (const row of this.#all.iterate()) {
      const [ino, name, value] = row as XattrColumns
      yield { ino, name, value }
    }
  }
}
