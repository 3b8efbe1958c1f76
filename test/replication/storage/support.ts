/** What the storage tests share: a scratch folder, a log that remembers, entries, a disk that fails. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Test } from 'brittle'
import type { LogFields, Logger } from '../../../src/fs/ports/logger.ts'
import type { Incarnation, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import type { DiskIo } from '../../../src/replication/storage/disk-io.ts'
import { diskIo } from '../../../src/replication/storage/disk-io.ts'
import type { JournalOptions } from '../../../src/replication/storage/journal.ts'
import { Journal } from '../../../src/replication/storage/journal.ts'

export interface Logged {
  readonly level: string
  readonly fields: LogFields
  readonly message: string
}

export class MemoryLogger implements Logger {
  readonly lines: Logged[] = []

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: 'debug', fields, message })
  }

  info(fields: LogFields, message: string): void {
    this.lines.push({ level: 'info', fields, message })
  }

  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: 'warn', fields, message })
  }

  error(fields: LogFields, message: string): void {
    this.lines.push({ level: 'error', fields, message })
  }

  child(): Logger {
    return this
  }

  has(level: string, message: RegExp): boolean {
    return this.lines.some((line) => line.level === level && message.test(line.message))
  }
}

export function writerOf(member: number, incarnation: number): ReturnType<typeof makeWriterId> {
  return makeWriterId(member as MemberId, incarnation as Incarnation)
}

export const WRITER = writerOf(1, 1)
export const NEXT_WRITER = writerOf(1, 2)

/** An entry whose sizes and bytes follow from its seq. */
export function entry(seq: number, payloadBytes = (seq * 13) % 50): SealedEntry {
  return {
    writer: WRITER,
    seq: seq as Seq,
    head: Buffer.from(`head of entry ${seq}`),
    payload: Buffer.alloc(payloadBytes, seq % 251)
  }
}

export function openJournal(
  dir: string,
  options: Partial<JournalOptions> = {},
  io: DiskIo = diskIo,
  logger: Logger = new MemoryLogger()
): Journal {
  return Journal.open({ dir, logger, io }, { writer: WRITER, ...options })
}

/** The seqs that the journal yields; checks that every entry is the one that was written. */
export function seqsOf(t: Test, journal: Journal): number[] {
  const seqs: number[] = []
  for (const { entry: read } of journal.entries()) {
    const wrote = entry(read.seq, read.payload.length)
    if (!read.head.equals(wrote.head) || !read.payload.equals(wrote.payload)) {
      t.fail(`entry ${read.seq} came back with other bytes`)
    }
    seqs.push(read.seq)
  }
  return seqs
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

export function flipBit(path: string, offset: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x10, offset)
  writeFileSync(path, bytes)
}

export function failing(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code })
}

/** Checks that `fn` throws a RangeError (brittle's exception lets native errors through). */
export function outOfRange(t: Test, fn: () => unknown): void {
  try {
    fn()
    t.fail('nothing was thrown')
  } catch (error) {
    t.ok(error instanceof RangeError, String(error))
  }
}
