import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Database } from 'better-sqlite3'
import BetterSqlite3 from 'better-sqlite3'
import { APPLICATION_ID, createSchema, SCHEMA_VERSION, upgradeSchema } from './schema.ts'
import { StateStore } from './state-store.ts'

export const STATE_FILE = 'state.db'

/** The database cannot be used; says why. */
export class StateDamagedError extends Error {
  override name = 'StateDamagedError'
}

export interface OpenStateOptions {
  /** Page cache of the connection; default 64 MiB. */
  readonly cacheBytes?: number
  /** Checks all pages and indexes when opening; default true. About 1 s a gigabyte. */
  readonly quickCheck?: boolean
  /** Most inodes kept in memory; default 32768 (about 15 MiB). */
  readonly cachedInodes?: number
}

const PAGE_BYTES = 4096
const DEFAULT_CACHE_BYTES = 64 * 1024 * 1024

/**
 * Opens the state in `path` (a directory, which gets the file state.db, or a file), making it with
 * an empty root directory when there is none. Throws StateDamagedError for a file that is not a
 * sound database of ours, SqliteError when the system refuses.
 */
export function openState(path: string, options: OpenStateOptions = {}): StateStore {
  const isDirectory = existsSync(path) && statSync(path).isDirectory()
  const file = isDirectory ? join(path, STATE_FILE) : path
  mkdirSync(dirname(file), { recursive: true })
  // A crash while it was made leaves at most the page that WAL mode writes.
  const isNew = !existsSync(file) || statSync(file).size <= PAGE_BYTES
  const database = new BetterSqlite3(file)
  try {
    configure(database, options.cacheBytes ?? DEFAULT_CACHE_BYTES)
    if (isNew && isEmpty(database)) create(database)
    else assertSound(database, file, options.quickCheck ?? true)
    const { cachedInodes } = options
    return new StateStore({ database, file }, cachedInodes === undefined ? {} : { cachedInodes })
  } catch (error) {
    database.close()
    throw asDamage(error, file)
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

function assertSound(database: Database, file: string, quickCheck: boolean): void {
  const application = database.pragma('application_id', { simple: true })
  if (application !== APPLICATION_ID) {
    throw new StateDamagedError(`${file}: not a tandemfs state database`)
  }
  const version = database.pragma('user_version', { simple: true })
  if (version !== 1 && version !== SCHEMA_VERSION) {
    throw new StateDamagedError(`${file}: schema version ${version}, known is ${SCHEMA_VERSION}`)
  }
  if (quickCheck) {
    const result = database.pragma('quick_check(1)', { simple: true })
    if (result !== 'ok') throw new StateDamagedError(`${file}: damaged: ${result}`)
  }
  if (version === 1) upgradeSchema(database)
}

function asDamage(error: unknown, file: string): unknown {
  if (!(error instanceof BetterSqlite3.SqliteError)) return error
  const damaged = error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB'
  if (!damaged) return error
  return new StateDamagedError(`${file}: damaged: ${error.message}`, { cause: error })
}
