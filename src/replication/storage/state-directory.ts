/**
 * (I/O) The state directory of a member: where what lies, who may look at it (mode 0700, files
 * 0600), which process runs on it, and the counters whose values must never be given out twice.
 *
 * Invariants: one daemon at a time, kept by a kernel lock that ends with its process however that
 * ends. Keeps RULES 7: an incarnation or inode range number is durable before its first use.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { assert } from '../../fs/assert.ts'
import type { Incarnation } from '../../fs/primitives.ts'
import { INCARNATION_MAX } from '../../fs/primitives.ts'
import type { CheckedFormat } from './atomic-file.ts'
import { readChecked, writeChecked, writeFileAtomic } from './atomic-file.ts'
import { journalPaths } from './journal-scan.ts'
import { DamagedFileError, systemCode } from './storage-errors.ts'

const INO_RANGE_MAX = 2 ** 24 - 1
/** Longer than `runningPid` of another process holds the lock. */
const PROBE_MS = 200

interface Counters {
  /** The last one given out. */
  readonly incarnation: number
  readonly inoRange: number
}

const COUNTERS: CheckedFormat<Counters> = {
  kind: 'counters',
  version: 1,
  validate: (value) => {
    if (typeof value !== 'object' || value === null) throw new Error('not an object')
    if (!('incarnation' in value) || !('inoRange' in value)) throw new Error('a counter is missing')
    return {
      incarnation: bounded(value.incarnation, 'incarnation', INCARNATION_MAX),
      inoRange: bounded(value.inoRange, 'inoRange', INO_RANGE_MAX)
    }
  }
}

/** Keeps the locks from the garbage collector, which would let go of them. */
const held = new Set<Database.Database>()

/** The state directory is in use by another process. */
export class StateInUseError extends Error {
  override name = 'StateInUseError'
  /** As far as known. */
  readonly pid: number | undefined

  constructor(dir: string, pid: number | undefined) {
    super(`${dir}: in use by ${pid === undefined ? 'another process' : `process ${pid}`}`)
    this.pid = pid
  }
}

/** Held until `release` or the end of the process. */
export interface StateLock {
  release(): void
}

export class StateDirectory {
  readonly dir: string

  /** Names only; touches nothing. */
  constructor(dir: string) {
    this.dir = resolve(dir)
  }

  get identity(): string {
    return join(this.dir, 'identity')
  }

  get record(): string {
    return join(this.dir, 'record')
  }

  get state(): string {
    return join(this.dir, 'state.db')
  }

  get counters(): string {
    return join(this.dir, 'counters')
  }

  get journal(): string {
    return join(this.dir, 'journal')
  }

  get segments(): string {
    return join(this.dir, 'segments')
  }

  /** The corestore of the writers' logs. */
  get logs(): string {
    return join(this.dir, 'log')
  }

  get salvage(): string {
    return join(this.dir, 'salvage')
  }

  get pid(): string {
    return join(this.dir, 'daemon.pid')
  }

  get controlSocket(): string {
    return join(this.dir, 'control.sock')
  }

  get daemonLog(): string {
    return join(this.dir, 'daemon.log')
  }

  get lockFile(): string {
    return join(this.dir, 'daemon.lock')
  }

  /** Makes the directory and those in it as far as they are missing; narrows their modes. */
  prepare(): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 })
    for (const dir of [this.dir, this.journal, this.segments, this.logs, this.salvage]) {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      if ((statSync(dir).mode & 0o777) !== 0o700) chmodSync(dir, 0o700)
    }
  }

  /**
   * Takes the directory for this process and writes its pid file. Throws StateInUseError when another process (or this one) has it.
   */
  lock(): StateLock {
    const lock = this.#takeLock(PROBE_MS)
    try {
      writeFileAtomic(this.pid, `${process.pid}\n`, 0o644)
    } catch (error) {
      lock.close()
      throw error
    }
    held.add(lock)
    const release = (): void => {
      if (!held.delete(lock)) return
      rmSync(this.pid, { force: true })
      lock.close()
    }
    return { release }
  }

  /** The process that has the directory, if one does. */
  runningPid(): number | undefined {
    let lock: Database.Database
    try {
      if (!statSync(this.lockFile, { throwIfNoEntry: false })) return undefined
      lock = this.#takeLock(0)
    } catch (error) {
      if (error instanceof StateInUseError) return error.pid
      throw error
    }
    lock.close()
    return undefined
  }

  /** A number larger than every one before; durable on return. Needs the lock. */
  nextIncarnation(): Incarnation {
    const counters = this.#readCounters()
    const incarnation = counters.incarnation + 1
    if (incarnation > INCARNATION_MAX) throw new RangeError('no incarnation number is left')
    writeChecked(this.counters, COUNTERS, { ...counters, incarnation })
    return incarnation as Incarnation
  }

  /** The number of an inode range never used before; durable on return. Needs the lock. */
  nextInoRange(): number {
    const counters = this.#readCounters()
    const inoRange = counters.inoRange + 1
    if (inoRange > INO_RANGE_MAX) throw new RangeError('no inode range is left')
    writeChecked(this.counters, COUNTERS, { ...counters, inoRange })
    return inoRange
  }

  #readCounters(): Counters {
    const counters = readChecked(this.counters, COUNTERS)
    if (counters) return counters
    // A journal is begun by a numbered incarnation: starting at 1 again would repeat numbers.
    if (existsSync(this.journal) && journalPaths(this.journal).length > 0) {
      throw new DamagedFileError(this.counters, 'it is missing though there is a journal')
    }
    return { incarnation: 0, inoRange: 0 }
  }

  /** An SQLite transaction that writes nothing: a kernel lock that no crash leaves behind. */
  #takeLock(waitMs: number): Database.Database {
    const database = new Database(this.lockFile, { timeout: waitMs })
    try {
      database.exec('BEGIN EXCLUSIVE')
      return database
    } catch (error) {
      database.close()
      if (systemCode(error)?.startsWith('SQLITE_BUSY')) {
        throw new StateInUseError(this.dir, this.#pidInFile())
      }
      throw error
    }
  }

  #pidInFile(): number | undefined {
    try {
      const pid = Number(readFileSync(this.pid, 'utf8').trim())
      return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
    } catch (error) {
      assert(systemCode(error) !== undefined, 'reading the pid file failed unexpectedly')
      return undefined
    }
  }
}

function bounded(value: unknown, name: string, max: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) {
    return value
  }
  throw new Error(`${name} is out of range`)
}
