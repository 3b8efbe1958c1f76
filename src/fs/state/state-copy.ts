/**
 * A whole state that goes from one member to another: made at the source, taken over at the other
 * end. Both run in the worker of Checkpointer, never on the event loop.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import BetterSqlite3 from 'better-sqlite3'
import type { StatePosition } from '../ports/state-machine.ts'
import { noteAllSlicesDue } from './due-slice-table.ts'
import { LocalTables } from './local-tables.ts'
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.ts'

export interface CopiedState {
  readonly bytes: number
  /** Of the whole file. */
  readonly sha256: Uint8Array
}

const PAGES_PER_STEP = 2000

/**
 * Writes the state as of the last commit into the new file `to`, in steps between which the
 * thread can be ended. `database` is a connection of its own: what it reads stays as it is until
 * the copy is made.
 */
export async function copyState(database: Database, to: string): Promise<CopiedState> {
  rmSync(to, { force: true })
  database.exec('BEGIN')
  try {
    // The transaction begins with what it reads first.
    database.prepare('SELECT count(*) FROM meta').get()
    await database.backup(to, { progress: () => PAGES_PER_STEP })
  } finally {
    database.exec('COMMIT')
  }
  return { bytes: statSync(to).size, sha256: hashFile(to) }
}

/**
 * Makes the copy in `file` the state of this member: checked, without what was only the source's,
 * with every slice noted as due. Durable on return, in that one file. Throws what is wrong with it.
 */
export function adoptState(file: string): StatePosition {
  const database = new BetterSqlite3(file, { fileMustExist: true })
  try {
    assertOurs(database)
    database.pragma('journal_mode = DELETE')
    database.pragma('synchronous = FULL')
    const damage = database.pragma('quick_check(1)', { simple: true })
    if (damage !== 'ok') throw new Error(`its database is damaged: ${damage}`)
    database.transaction(() => {
      for (const name of localTables(database)) database.exec(`DROP TABLE "${name}"`)
      database.exec('DELETE FROM freed_batch')
      noteAllSlicesDue(database)
    })()
    return new LocalTables(database).position()
  } finally {
    database.close()
  }
}

function assertOurs(database: Database): void {
  const application = database.pragma('application_id', { simple: true })
  if (application !== APPLICATION_ID) throw new Error('it is not a state database')
  const version = database.pragma('user_version', { simple: true })
  if (version !== SCHEMA_VERSION) {
    throw new Error(`its schema has version ${version}, known is ${SCHEMA_VERSION}`)
  }
}

function localTables(database: Database): string[] {
  const names = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'local_*'")
    .pluck()
    .all() as string[]
  return names.filter((name) => /^local_[a-z_]+$/.test(name))
}

const HASHED_BYTES = 1024 * 1024

function hashFile(file: string): Uint8Array {
  const sum = createHash('sha256')
  const fd = openSync(file, 'r')
  try {
    const part = Buffer.allocUnsafe(HASHED_BYTES)
    for (;;) {
      const count = readSync(fd, part, 0, part.length, null)
      if (count === 0) return sum.digest()
      sum.update(part.subarray(0, count))
    }
  } finally {
    closeSync(fd)
  }
}
