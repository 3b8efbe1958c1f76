import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Database } from 'better-sqlite3'
import BetterSqlite3 from 'better-sqlite3'
import { sumsFile } from './checkpoint.ts'
import { PAGE_BYTES } from './page-sums.ts'
import { APPLICATION_ID, createSchema, SCHEMA_VERSION, upgradeSchema } from './schema.ts'
import { StateDamagedError } from './state-damaged-error.ts'
import { StateStore } from './state-store.ts'
import { firstDamagedPage, markOpen, saveFirstSums, settleWal } from './verify-state.ts'

export const STATE_FILE = 'state.db'

export interface OpenStateOptions {
  /** Page cache of the connection; default 16 MiB. */
  readonly cacheBytes?: number
  /** Most inodes kept in memory; default 32768 (about 15 MiB). */
  readonly cachedInodes?: number
  /** There were no sums to compare the pages with: only the structure was checked. */
  readonly onUnchecked?: (why: string) => void
}

/** A page that is not in it is read from the system's cache, which costs little more. */
const DEFAULT_CACHE_BYTES = 16 * 1024 * 1024

/**
 * Opens the state in `path` (a directory, which gets the file state.db, or a file), making it with
 * an empty root directory when there is none. Every page is compared with its sum first, which takes
 * about half a second a gigabyte. Throws StateDamagedError for a file that is not a sound database of
 * ours, SqliteError when the system refuses.
 */
export function openState(path: string, options: OpenStateOptions = {}): StateStore {
  const isDirectory = existsSync(path) && statSync(path).isDirectory()
  const file = isDirectory ? join(path, STATE_FILE) : path
  mkdirSync(dirname(file), { recursive: true })
  try {
    prepare(file, options.onUnchecked ?? (() => {}))
    const database = new BetterSqlite3(file)
    try {
      configure(database, options.cacheBytes ?? DEFAULT_CACHE_BYTES)
      upgradeSchema(database, schemaVersion(database))
      const { cachedInodes } = options
      return new StateStore({ database, file }, cachedInodes === undefined ? {} : { cachedInodes })
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw asDamage(error, file)
  }
}

/**
 * Makes the database, or finds it sound. The file itself is read while no connection is open: closing
 * it would take away the locks SQLite has on it (fcntl).
 */
function prepare(file: string, onUnchecked: (why: string) => void): void {
  // A crash while it was made leaves at most the page that WAL mode writes.
  const isNew = !existsSync(file) || statSync(file).size <= PAGE_BYTES
  const hadWal = existsSync(`${file}-wal`)
  const settled = withConnection(file, (database) => {
    configure(database, DEFAULT_CACHE_BYTES)
    if (isNew && isEmpty(database)) {
      // Those of another database that was taken away.
      rmSync(sumsFile(file), { force: true })
      create(database)
      return 'new'
    }
    assertOurs(database, file)
    return settleWal(database, file, hadWal)
  })
  if (settled === 'new') {
    saveFirstSums(file)
    return
  }
  const page = settled && firstDamagedPage(file, settled)
  if (settled && page === undefined) {
    markOpen(file, settled)
    return
  }
  if (page !== undefined && !settled?.doubtful) {
    throw new StateDamagedError(file, `damaged: page ${page} is not what was written`)
  }
  withConnection(file, (database) => assertStructure(database, file))
  saveFirstSums(file)
  onUnchecked(settled ? 'it was closed by another program' : 'there are no checksums of its pages')
}

function withConnection<T>(file: string, work: (database: Database) => T): T {
  const database = new BetterSqlite3(file)
  try {
    return work(database)
  } finally {
    database.close()
  }
}

/**
 * The WAL is copied by Checkpointer only, never by a commit. Dirty pages stay in memory until the
 * commit (cache_spill off): a full disk then shows at the commit, not inside an op.
 */
function configure(database: Database, cacheBytes: number): void {
  database.pragma(`page_size = ${PAGE_BYTES}`)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = NORMAL')
  database.pragma('wal_autocheckpoint = 0')
  database.pragma('cache_spill = OFF')
  database.pragma('temp_store = MEMORY')
  database.pragma(`cache_size = ${-Math.ceil(cacheBytes / 1024)}`)
}

/** The tables are fsynced in the database itself before anything is built on them. */
function create(database: Database): void {
  createSchema(database)
  database.pragma('wal_checkpoint(TRUNCATE)')
}

function isEmpty(database: Database): boolean {
  return database.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0
}

function assertOurs(database: Database, file: string): void {
  const application = database.pragma('application_id', { simple: true })
  if (application !== APPLICATION_ID) {
    throw new StateDamagedError(file, 'not a tandemfs state database')
  }
  const version = schemaVersion(database)
  if (version < 1 || version > SCHEMA_VERSION) {
    throw new StateDamagedError(file, `schema version ${version}, known is ${SCHEMA_VERSION}`)
  }
}

function schemaVersion(database: Database): number {
  return Number(database.pragma('user_version', { simple: true }))
}

function assertStructure(database: Database, file: string): void {
  const result = database.pragma('quick_check(1)', { simple: true })
  if (result !== 'ok') throw new StateDamagedError(file, `damaged: ${result}`)
}

function asDamage(error: unknown, file: string): unknown {
  if (!(error instanceof BetterSqlite3.SqliteError)) return error
  const damaged = error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB'
  if (!damaged) return error
  return new StateDamagedError(file, `damaged: ${error.message}`, { cause: error })
}
