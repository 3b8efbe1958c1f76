/**
 * Reads a journal directory from disk: which files there are, whether every record is sound, and
 * where a torn tail begins.
 *
 * Keeps RULES 14: a bad record at or after the highest synced position that any sound record
 * names is a torn tail (its writer never heard that it was durable); a bad record before that is
 * damage, and the journal is refused. Sound records behind a bad one still count for that highest
 * position: they may have reached the disk before it. A file ends where nothing but zeros follows:
 * they were made in advance, or never became records.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { SealedEntry } from '../entry.ts'
import type { FileHeader, JournalPosition, RecordHeader } from './journal-record.ts'
import {
  decodeFileHeader,
  decodeRecordHeader,
  FILE_HEADER_BYTES,
  RECORD_ALIGN_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  recordBytes,
  recordIsSound
} from './journal-record.ts'
import { DamagedJournalError } from './storage-errors.ts'

const FILE_NAME = /^(\d{12})\.journal$/
const WINDOW_BYTES = 1024 * 1024
const SEARCH_BYTES = 4 * 1024 * 1024
const ZEROS = Buffer.alloc(64 * 1024)

export interface JournalFileInfo {
  readonly path: string
  readonly header: FileHeader
  /** Up to the end of the last record; zeros behind it do not count. */
  readonly sizeBytes: number
}

export interface TornTail {
  readonly path: string
  readonly offset: number
  readonly position: JournalPosition
  readonly reason: string
}

export interface JournalScan {
  /** In order; with a torn tail also the files behind it, which hold nothing that counts. */
  readonly files: readonly JournalFileInfo[]
  /** Number of entries before the tail. */
  readonly entries: number
  /** The highest position that a sound record says was durable. */
  readonly synced: JournalPosition
  /** Where the sound part ends. */
  readonly end: JournalPosition
  readonly tail: TornTail | undefined
}

export interface PlacedRecord {
  readonly header: RecordHeader
  /** The whole record; valid until the next read. */
  readonly bytes: Buffer
  readonly offset: number
}

export function journalFileName(number: number): string {
  return `${String(number).padStart(12, '0')}.journal`
}

/** Reads the records of one journal file, with a window over the file in memory. */
export class JournalFileReader {
  /** Its size is that of the file, whatever is in it. */
  readonly info: JournalFileInfo
  readonly #fd: number
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0

  constructor(path: string) {
    this.#fd = openSync(path, 'r')
    try {
      const sizeBytes = fstatSync(this.#fd).size
      const header = decodeFileHeader(readAt(this.#fd, 0, Math.min(FILE_HEADER_BYTES, sizeBytes)))
      if (typeof header === 'string') throw new DamagedJournalError(path, 0, header)
      this.info = { path, header, sizeBytes }
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** The record at `offset`, or in words why there is no sound one. */
  record(offset: number): PlacedRecord | string {
    const { header: file, sizeBytes } = this.info
    const left = sizeBytes - offset
    if (left < RECORD_HEADER_BYTES) return 'the file ends within a record header'
    const position = (file.start + offset) as JournalPosition
    const header = decodeRecordHeader(this.#view(offset, RECORD_HEADER_BYTES), position)
    if (typeof header === 'string') return header
    const length = recordBytes(header)
    if (left < length) return 'the file ends within a record'
    const bytes = this.#view(offset, length)
    if (!recordIsSound(bytes, header, file.salt)) return 'wrong checksum of the record'
    return { header, bytes, offset }
  }

  /** Nothing was written from `offset` on. */
  isEmptyFrom(offset: number): boolean {
    const { sizeBytes } = this.info
    for (let from = offset; from < sizeBytes; from += ZEROS.length) {
      const piece = readAt(this.#fd, from, Math.min(ZEROS.length, sizeBytes - from))
      if (!piece.equals(ZEROS.subarray(0, piece.length))) return false
    }
    return true
  }

  /** The first sound record at or after `offset`, wherever records begin. */
  search(offset: number): PlacedRecord | undefined {
    const { sizeBytes } = this.info
    let from = offset
    while (from + RECORD_HEADER_BYTES <= sizeBytes) {
      const piece = readAt(this.#fd, from, Math.min(SEARCH_BYTES, sizeBytes - from))
      let at = piece.indexOf(RECORD_MAGIC)
      while (at !== -1) {
        if ((from + at) % RECORD_ALIGN_BYTES === 0) {
          const record = this.record(from + at)
          if (typeof record !== 'string') return record
        }
        at = piece.indexOf(RECORD_MAGIC, at + 1)
      }
      from += Math.max(piece.length - RECORD_MAGIC.length + 1, RECORD_ALIGN_BYTES)
    }
    return undefined
  }

  #view(offset: number, length: number): Buffer {
    const start = offset - this.#windowStart
    if (start < 0 || start + length > this.#window.length) {
      const wanted = Math.max(length, WINDOW_BYTES)
      this.#window = readAt(this.#fd, offset, Math.min(wanted, this.info.sizeBytes - offset))
      this.#windowStart = offset
      return this.#window.subarray(0, length)
    }
    return this.#window.subarray(start, start + length)
  }
}

/** Checks every record of every file. Throws DamagedJournalError for damage that is no tail. */
export function scanJournal(dir: string): JournalScan {
  const files: JournalFileInfo[] = []
  let entries = 0
  let synced = 0
  let end: number | undefined
  let tail: TornTail | undefined
  for (const path of journalPaths(dir)) {
    const reader = new JournalFileReader(path)
    try {
      const { info } = reader
      checkOrder(info, files.at(-1))
      if (end !== undefined && !tail && info.header.start !== end) {
        tail = missingEnd(files.at(-1), end, info)
      }
      let offset = FILE_HEADER_BYTES
      let { sizeBytes } = info
      while (offset < sizeBytes) {
        const record = reader.record(offset)
        if (typeof record !== 'string') {
          synced = Math.max(synced, record.header.synced)
          if (!tail && record.header.kind === 'entry') entries++
          offset += record.bytes.length
          continue
        }
        if (reader.isEmptyFrom(offset)) {
          sizeBytes = offset
          break
        }
        const position = (info.header.start + offset) as JournalPosition
        tail ??= { path, offset, position, reason: record }
        const next = reader.search(offset + RECORD_ALIGN_BYTES - (offset % RECORD_ALIGN_BYTES))
        if (!next) break
        offset = next.offset
      }
      files.push({ ...info, sizeBytes })
      if (!tail) end = info.header.start + offset
    } finally {
      reader.close()
    }
  }
  if (tail && tail.position < synced) {
    throw new DamagedJournalError(tail.path, tail.offset, tail.reason)
  }
  return {
    files,
    entries,
    synced: synced as JournalPosition,
    end: (tail?.position ?? end ?? 0) as JournalPosition,
    tail
  }
}

export interface ReplayedEntry {
  readonly entry: SealedEntry
  /** Position after the entry's record. */
  readonly position: JournalPosition
}

/** Yields the entries of `files` up to `end`, one at a time, each checked again and copied. */
export function* readEntries(
  files: Iterable<Pick<JournalFileInfo, 'path' | 'sizeBytes'>>,
  from: JournalPosition,
  end: JournalPosition
): Generator<ReplayedEntry, void, undefined> {
  for (const { path, sizeBytes } of files) {
    const reader = new JournalFileReader(path)
    try {
      const { start } = reader.info.header
      let offset = Math.max(FILE_HEADER_BYTES, from - start)
      while (start + offset < end && offset < sizeBytes) {
        const record = reader.record(offset)
        if (typeof record === 'string') throw new DamagedJournalError(path, offset, record)
        offset += record.bytes.length
        if (record.header.kind === 'mark') continue
        yield { entry: copyEntry(record), position: (start + offset) as JournalPosition }
      }
    } finally {
      reader.close()
    }
  }
}

export function journalPaths(dir: string): string[] {
  const names = readdirSync(dir).filter((name) => FILE_NAME.test(name))
  return names.sort().map((name) => join(dir, name))
}

function copyEntry(record: PlacedRecord): SealedEntry {
  const { headBytes, payloadBytes, writer, seq } = record.header
  const bodyEnd = RECORD_HEADER_BYTES + headBytes + payloadBytes
  const body = Buffer.from(record.bytes.subarray(RECORD_HEADER_BYTES, bodyEnd))
  return { writer, seq, head: body.subarray(0, headBytes), payload: body.subarray(headBytes) }
}

function checkOrder(info: JournalFileInfo, before: JournalFileInfo | undefined): void {
  const { path, header } = info
  if (!path.endsWith(journalFileName(header.number))) {
    throw new DamagedJournalError(path, 0, `it is file ${header.number}, renamed`)
  }
  if (before && header.start < before.header.start + FILE_HEADER_BYTES) {
    throw new DamagedJournalError(path, 0, 'it begins before the file before it')
  }
}

/** The file before `next` is shorter (or longer) than it was when `next` was begun. */
function missingEnd(
  before: JournalFileInfo | undefined,
  end: number,
  next: JournalFileInfo
): TornTail {
  if (!before || end > next.header.start) {
    throw new DamagedJournalError(next.path, 0, 'it does not begin where the file before it ends')
  }
  return {
    path: before.path,
    offset: end - before.header.start,
    position: end as JournalPosition,
    reason: 'records up to the next file are missing'
  }
}

function readAt(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let done = 0
  while (done < length) {
    const count = readSync(fd, bytes, done, length - done, offset + done)
    if (count === 0) return bytes.subarray(0, done)
    done += count
  }
  return bytes
}
