/**
 * (I/O) The journal: the crash log of this member, own and foreign entries in the order they were
 * accepted, in numbered append-only files.
 *
 * Invariants: what `entries` yields is a prefix of what was appended, and contains everything
 * before `durable`. A position is durable only after an fdatasync that began after the write; a
 * failed fdatasync is never tried again, the journal has then failed for good.
 * Keeps RULES 14 (torn tail, synced positions) and offers `syncNow` for RULES 13. When a file may
 * be pruned is the caller's to decide (RULES 1); when a record may be appended too (RULES 3).
 */
import {
  close,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  unlinkSync
} from 'node:fs'
import { join } from 'node:path'
import { assert } from '../../fs/assert.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { WriterId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'
import { fsyncDirectory } from './atomic-file.ts'
import type { Crc32, DiskIo } from './disk-io.ts'
import { diskIo, writeFully } from './disk-io.ts'
import { GroupSync } from './group-sync.ts'
import { JournalFile } from './journal-file.ts'
import type { JournalPosition } from './journal-record.ts'
import {
  encodeEntryRecord,
  encodeMarkRecord,
  entryRecordBytes,
  FILE_HEADER_BYTES
} from './journal-record.ts'
import type { JournalScan, ReplayedEntry } from './journal-scan.ts'
import { readEntries, scanJournal } from './journal-scan.ts'
import { StoreFailedError, systemCode } from './storage-errors.ts'

const COPY_BYTES = 1024 * 1024
const AHEAD_BYTES = 1024 * 1024

export interface JournalComponents {
  readonly dir: string
  readonly logger: Logger
  /** Called once, when the journal fails for good: the member must leave the in-sync set. */
  readonly onFailure?: (error: StoreFailedError) => void
  readonly io?: DiskIo
  /** zlib's unless given. */
  readonly crc32?: Crc32
}

export interface JournalOptions {
  /** The writer this member is now. */
  readonly writer: WriterId
  /** A file is followed by a new one when it would grow beyond this. */
  readonly fileMaxBytes?: number
  /** So much of a file is made in advance at a time; 0: nothing. */
  readonly aheadBytes?: number
}

export interface JournalStats {
  readonly files: number
  readonly sizeBytes: number
  readonly appended: JournalPosition
  readonly durable: JournalPosition
}

/** A file that is not appended to any more. */
interface ClosedFile {
  readonly path: string
  readonly start: JournalPosition
  readonly end: JournalPosition
}

export class Journal {
  readonly #dir: string
  readonly #logger: Logger
  readonly #onFailure: ((error: StoreFailedError) => void) | undefined
  readonly #io: DiskIo
  readonly #crc32: Crc32 | undefined
  readonly #writer: WriterId
  readonly #fileMaxBytes: number
  readonly #zeros: Buffer
  readonly #syncs = new GroupSync(() => this.#syncOnce())
  #closedFiles: ClosedFile[]
  /** Rotated files with bytes that no fdatasync has covered yet. */
  #unsynced: JournalFile[] = []
  #current: JournalFile
  /** Position after the last entry; behind it there may be a mark. */
  #appended: JournalPosition
  #durable: JournalPosition
  #failure: StoreFailedError | undefined
  #closed = false

  private constructor(
    components: JournalComponents,
    options: JournalOptions,
    closedFiles: ClosedFile[],
    current: JournalFile
  ) {
    this.#dir = components.dir
    this.#logger = components.logger
    this.#onFailure = components.onFailure
    this.#io = components.io ?? diskIo
    this.#crc32 = components.crc32
    this.#writer = options.writer
    this.#fileMaxBytes = options.fileMaxBytes ?? 64 * 1024 * 1024
    this.#zeros = Buffer.alloc(options.aheadBytes ?? AHEAD_BYTES)
    this.#closedFiles = closedFiles
    this.#current = current
    this.#appended = current.end
    this.#durable = current.end
  }

  /**
   * Opens the journal in `dir` (made when missing): checks every record, cuts a torn tail, makes
   * what is left durable and begins a new file. Throws DamagedJournalError when a record that was
   * durable cannot be read, and the system's errors.
   */
  static open(components: JournalComponents, options: JournalOptions): Journal {
    const { dir, logger } = components
    const io = components.io ?? diskIo
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(dir)) {
      if (name.endsWith('.journal.tmp')) unlinkSync(join(dir, name))
    }
    const scan = scanJournal(dir)
    const kept = cutTail(scan, dir, logger, io)
    rewriteUnsynced(kept, scan.synced, io)
    const last = scan.files.at(-1)
    const current = JournalFile.create(
      dir,
      { number: (last?.header.number ?? 0) + 1, start: scan.end, writer: options.writer },
      io
    )
    logger.info(
      { files: kept.length, entries: scan.entries, end: scan.end, synced: scan.synced },
      'journal opened'
    )
    return new Journal(components, options, kept, current)
  }

  /** Position after the last entry. */
  get appended(): JournalPosition {
    return this.#appended
  }

  /** Everything before this position is on the disk. */
  get durable(): JournalPosition {
    return this.#durable
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  stats(): JournalStats {
    const first = this.#closedFiles[0]?.start ?? this.#current.header.start
    return {
      files: this.#closedFiles.length + 1,
      sizeBytes: this.#current.end - first,
      appended: this.#appended,
      durable: this.#durable
    }
  }

  /**
   * Writes the entries behind each other, into the page cache, in one call. Returns the position
   * after the last one: they are durable when `durable` has reached it. All or nothing: when it
   * throws (ENOSPC, EIO, StoreFailedError) the journal holds none of them.
   */
  append(entries: readonly SealedEntry[]): JournalPosition {
    this.#assertUsable()
    if (entries.length === 0) return this.#appended
    let totalBytes = 0
    for (const entry of entries) totalBytes += entryRecordBytes(entry)
    const { sizeBytes } = this.#current
    if (sizeBytes > FILE_HEADER_BYTES && sizeBytes + totalBytes > this.#fileMaxBytes) this.#rotate()
    const { salt } = this.#current.header
    const parts: Buffer[] = []
    let position = this.#current.end
    for (const entry of entries) {
      encodeEntryRecord(entry, { position, synced: this.#durable, salt }, parts, this.#crc32)
      position = (position + entryRecordBytes(entry)) as JournalPosition
    }
    try {
      this.#current.append(parts, totalBytes)
    } catch (error) {
      if (error instanceof StoreFailedError) this.#fail(error)
      throw error
    }
    this.#appended = position
    return position
  }

  /**
   * Makes everything appended before the call durable. Calls are gathered: one fdatasync runs at
   * a time. Rejects with StoreFailedError when the disk refuses, and from then on always.
   */
  async sync(): Promise<void> {
    this.#assertUsable()
    if (this.#durable >= this.#appended) return
    await this.#syncs.request()
  }

  /** The same, blocking the event loop: for the commit that waits for it (RULES 13). */
  syncNow(): void {
    this.#assertUsable()
    if (this.#durable >= this.#appended) return
    const target = this.#current.end
    const files = [...this.#unsynced, this.#current]
    try {
      this.#current.makeAhead(this.#zeros)
      for (const file of files) file.syncNow()
    } catch (error) {
      throw this.#fail(error)
    }
    this.#nowDurable(target)
    if (!this.#syncs.running) this.#retire()
  }

  /**
   * Yields the entries after position `from` (default: all retained) up to what was appended at
   * the time of the call, one in memory at a time. The journal must not be pruned meanwhile.
   */
  entries(from = 0 as JournalPosition): Generator<ReplayedEntry, void, undefined> {
    const files = [...this.#closedFiles, this.#currentSpan()].filter((file) => file.end > from)
    const spans = files.map(({ path, start, end }) => ({ path, sizeBytes: end - start }))
    return readEntries(spans, from, this.#appended)
  }

  /**
   * Removes the files that lie wholly before `upTo`; the last one always stays. Returns how many.
   * The caller has made sure of RULES 1 for everything before `upTo`.
   */
  prune(upTo: JournalPosition): number {
    this.#assertUsable()
    assert(upTo <= this.#durable, 'pruning a part of the journal that is not durable')
    let removed = 0
    for (const file of this.#closedFiles) {
      if (file.end > upTo) break
      this.#remove(file.path)
      removed++
    }
    if (removed > 0) {
      this.#closedFiles = this.#closedFiles.slice(removed)
      fsyncDirectory(this.#dir)
    }
    return removed
  }

  /** Freeing the blocks takes milliseconds: the thread pool does it when it closes the last descriptor. */
  #remove(path: string): void {
    const fd = openSync(path, 'r')
    try {
      unlinkSync(path)
    } finally {
      close(fd, (error) => {
        if (error) this.#logger.warn({ path, error }, 'journal: a removed file was not closed')
      })
    }
  }

  /** Syncs unless failed, and closes the files. */
  async close(): Promise<void> {
    if (this.#closed) return
    try {
      if (!this.#failure) await this.sync()
    } finally {
      await this.#syncs.idle()
      this.#closed = true
      for (const file of this.#unsynced) file.close()
      this.#current.close()
    }
  }

  async #syncOnce(): Promise<void> {
    this.#assertUsable()
    if (this.#durable >= this.#appended) return
    const target = this.#current.end
    try {
      this.#current.makeAhead(this.#zeros)
      for (const file of [...this.#unsynced, this.#current]) await file.sync()
    } catch (error) {
      throw this.#fail(error)
    }
    // syncNow may have met the failed write-back meanwhile.
    this.#assertUsable()
    this.#nowDurable(target)
    this.#retire()
  }

  #nowDurable(target: JournalPosition): void {
    if (target <= this.#durable) return
    this.#durable = target
    if (target === this.#current.end) this.#mark()
  }

  /** Closes rotated files that are durable; not while an fdatasync that uses them may run. */
  #retire(): void {
    const done = this.#unsynced.filter((file) => file.end <= this.#durable)
    this.#unsynced = this.#unsynced.filter((file) => file.end > this.#durable)
    for (const file of done) file.close()
  }

  /**
   * Notes the durable position behind the last entry, so that this entry, too, is known to have
   * been durable. Only an improvement: the mark itself need not become durable, nor be written.
   */
  #mark(): void {
    const { end: position, header } = this.#current
    const record = encodeMarkRecord({ position, synced: this.#durable, salt: header.salt })
    try {
      this.#current.append([record], record.length)
    } catch (error) {
      if (error instanceof StoreFailedError) this.#fail(error)
      else this.#logger.debug({ error }, 'journal: no room for a mark of the synced position')
    }
  }

  #rotate(): void {
    const before = this.#current
    const { number } = before.header
    this.#current = JournalFile.create(
      this.#dir,
      { number: number + 1, start: before.end, writer: this.#writer },
      this.#io
    )
    this.#closedFiles.push({ path: before.path, start: before.header.start, end: before.end })
    if (before.end > this.#durable || this.#syncs.running) this.#unsynced.push(before)
    else before.close()
  }

  #currentSpan(): ClosedFile {
    return { path: this.#current.path, start: this.#current.header.start, end: this.#current.end }
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure
    assert(!this.#closed, 'the journal is closed')
  }

  #fail(cause: unknown): StoreFailedError {
    if (this.#failure) return this.#failure
    const failure =
      cause instanceof StoreFailedError ? cause : new StoreFailedError('journal', cause)
    this.#failure = failure
    this.#logger.error({ error: failure, code: systemCode(cause) }, 'journal failed for good')
    this.#onFailure?.(failure)
    return failure
  }
}

/** Removes what is behind the sound part, physically; returns the files that stay. */
function cutTail(scan: JournalScan, dir: string, logger: Logger, io: DiskIo): ClosedFile[] {
  const { tail, files } = scan
  const spans = files.map(({ path, header, sizeBytes }) => ({
    path,
    start: header.start,
    end: (header.start + sizeBytes) as JournalPosition
  }))
  if (!tail) return spans
  const index = files.findIndex((file) => file.path === tail.path)
  const lostBytes = (spans.at(-1)?.end ?? tail.position) - tail.position
  logger.warn({ ...tail, lostBytes, synced: scan.synced }, 'journal: torn tail cut off')
  for (const file of spans.slice(index + 1).reverse()) rmSync(file.path)
  fsyncDirectory(dir)
  const fd = openSync(tail.path, 'r+')
  try {
    io.truncate(fd, tail.offset)
    io.fdatasyncNow(fd)
  } finally {
    closeSync(fd)
  }
  return spans
    .slice(0, index + 1)
    .map((span) => (span.path === tail.path ? { ...span, end: tail.position } : span))
}

/**
 * Makes what was never known to be durable so. It is written again first: after an fdatasync that
 * failed in an earlier life, the kernel may take these pages for clean though the disk lacks them.
 */
function rewriteUnsynced(files: readonly ClosedFile[], synced: JournalPosition, io: DiskIo): void {
  const copy = Buffer.allocUnsafe(COPY_BYTES)
  for (const { path, start, end } of files) {
    if (end <= synced) continue
    const fd = openSync(path, 'r+')
    try {
      let offset = Math.max(0, synced - start)
      while (start + offset < end) {
        const count = readSync(fd, copy, 0, Math.min(copy.length, end - start - offset), offset)
        if (count === 0) throw new Error(`${path}: became shorter while it was opened`)
        writeFully(io, fd, copy.subarray(0, count), offset)
        offset += count
      }
      io.fdatasyncNow(fd)
    } finally {
      closeSync(fd)
    }
  }
}
