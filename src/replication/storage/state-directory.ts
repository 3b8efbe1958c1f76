/**
 * (I/O) The state directory of a member: where what lies, who may look at it (mode 0700, files
 * 0600), and the counters whose values must never be given out twice. That one process at a time
 * works on it is the daemon's to see to.
 *
 * Keeps RULES 7: an incarnation or inode range number is durable before its first use.
 */
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Incarnation } from '../../fs/primitives.ts'
import { INCARNATION_MAX } from '../../fs/primitives.ts'
import type { CheckedFormat } from './atomic-file.ts'
import { readChecked, writeChecked } from './atomic-file.ts'
import { journalPaths } from './journal-scan.ts'
import { DamagedFileError } from './storage-errors.ts'

const INO_RANGE_MAX = 2 ** 24 - 1

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

  /** In the journal's directory: what puts the one aside puts the other aside. */
  get openEntry(): string {
    return join(this.journal, 'open-entry')
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

  /** Makes the directory and those in it as far as they are missing; narrows their modes. */
  prepare(): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 })
    for (const dir of [this.dir, this.journal, this.segments, this.logs, this.salvage]) {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      if ((statSync(dir).mode & 0o777) !== 0o700) chmodSync(dir, 0o700)
    }
  }

  /** A number larger than every one before; durable on return. */
  nextIncarnation(): Incarnation {
    const counters = this.#readCounters()
    const incarnation = counters.incarnation + 1
    if (incarnation > INCARNATION_MAX) throw new RangeError('no incarnation number is left')
    writeChecked(this.counters, COUNTERS, { ...counters, incarnation })
    return incarnation as Incarnation
  }

  /** The number of an inode range never used before; durable on return. */
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
}

function bounded(value: unknown, name: string, max: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) {
    return value
  }
  throw new Error(`${name} is out of range`)
}
