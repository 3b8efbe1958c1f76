import type { Database, Statement } from 'better-sqlite3'
import type { Ino } from '../primitives.ts'
import { LIMIT_PARAMETER } from './limit-parameter.ts'
import { Listings } from './listings.ts'
import { RecentLookups } from './recent-lookups.ts'

export interface Dentry {
  readonly parent: Ino
  readonly name: Uint8Array
  readonly ino: Ino
  /** Type bits of the inode's mode. */
  readonly type: number
  /** Its place in readdir order. */
  readonly cookie: number
}

type DentryColumns = readonly [Ino, Uint8Array, Ino, number, number]

function fromColumns(row: DentryColumns): Dentry {
  return { parent: row[0], name: row[1], ino: row[2], type: row[3], cookie: row[4] }
}

const COLUMNS = 'parent, name, ino, type, cookie'

export class DentryTable {
  readonly #select: Statement
  readonly #insert: Statement
  readonly #delete: Statement
  readonly #list: Statement
  readonly #listings: Listings
  readonly #lookups = new RecentLookups()
  readonly #all: Statement
  readonly #after: Statement
  readonly #nameIn: Statement

  constructor(database: Database) {
    const from = `SELECT ${COLUMNS} FROM dentry`
    this.#select = database.prepare(`${from} WHERE parent = ? AND name = ?`).raw(true)
    this.#insert = database.prepare(`INSERT INTO dentry (${COLUMNS}) VALUES (?, ?, ?, ?, ?)`)
    this.#delete = database.prepare('DELETE FROM dentry WHERE parent = ? AND name = ?')
    this.#list = database
      .prepare(`${from} WHERE parent = ? AND cookie > ? ORDER BY cookie ${LIMIT_PARAMETER}`)
      .raw(true)
    this.#listings = new Listings((parent, afterCookie, limit) =>
      (this.#list.all(parent, afterCookie, limit) as DentryColumns[]).map(fromColumns)
    )
    this.#after = database
      .prepare(`${from} WHERE (parent, name) > (?, ?) ORDER BY parent, name ${LIMIT_PARAMETER}`)
      .raw(true)
    this.#nameIn = database
      .prepare('SELECT name FROM dentry WHERE parent = ? AND ino = ? LIMIT 1')
      .pluck(true)
    this.#all = database.prepare(`${from} ORDER BY parent, name`).raw(true)
  }

  get(parent: Ino, name: Uint8Array): Dentry | undefined {
    return this.#lookups.get(parent, name, () => this.#look(parent, name))
  }

  #look(parent: Ino, name: Uint8Array): Dentry | undefined {
    const row = this.#select.get(parent, name) as DentryColumns | undefined
    return row === undefined ? undefined : fromColumns(row)
  }

  insert(dentry: Dentry): void {
    this.#lookups.forget()
    this.#listings.changed(dentry.parent)
    this.#insert.run(dentry.parent, dentry.name, dentry.ino, dentry.type, dentry.cookie)
  }

  delete(parent: Ino, name: Uint8Array): void {
    this.#lookups.forget()
    this.#listings.changed(parent)
    this.#delete.run(parent, name)
  }

  /** At most `limit` dentries with a larger cookie, in cookie order; none only when there are none. */
  list(parent: Ino, afterCookie: number, limit: number): readonly Dentry[] {
    return this.#listings.list(parent, afterCookie, limit)
  }

  /** At most `limit` dentries behind that one, by parent and name. */
  after(parent: Ino, name: Uint8Array, limit: number): Dentry[] {
    return (this.#after.all(parent, name, limit) as DentryColumns[]).map(fromColumns)
  }

  /** A name of `ino` in a directory; looks at its entries one by one. */
  nameIn(parent: Ino, ino: Ino): Uint8Array | undefined {
    return this.#nameIn.get(parent, ino) as Uint8Array | undefined
  }

  isEmpty(parent: Ino): boolean {
    return this.#list.get(parent, 0, 1) === undefined
  }

  *all(): IterableIterator<Dentry> {
    for (const row of this.#all.iterate()) yield fromColumns(row as DentryColumns)
  }
}
