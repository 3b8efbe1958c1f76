/**
 * One process at a time changes a state directory. The lock is SQLite's own file lock (fcntl): it
 * needs no native code of ours, is atomic, and ends with the process however that dies.
 */
import Database from 'better-sqlite3'
import { errorCode } from './explain-error.ts'
import { stateFiles } from './state-files.ts'
import { UserError } from './user-error.ts'

export class StateLock {
  readonly #database: Database.Database

  private constructor(database: Database.Database) {
    this.#database = database
  }

  /** Throws UserError 'alreadyRunning' when another process holds it. */
  static acquire(stateDir: string): StateLock {
    const database = new Database(stateFiles(stateDir).lock, { timeout: 0 })
    try {
      database.pragma('journal_mode = MEMORY')
      database.exec('BEGIN EXCLUSIVE')
      return new StateLock(database)
    } catch (error) {
      database.close()
      if (errorCode(error) !== 'SQLITE_BUSY') throw error
      throw new UserError(
        'alreadyRunning',
        {
          what: stateDir,
          why: 'another tandemfs process is using this state directory',
          remedy: "see 'tandemfs status', or unmount it first"
        },
        { cause: error }
      )
    }
  }

  release(): void {
    this.#database.close()
  }
}
