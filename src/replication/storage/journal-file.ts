/**
 * (I/O) One journal file open for appending. It is made durable with its header before its first
 * record, so a header that cannot be read is always damage and never a torn tail.
 *
 * Two descriptors: the kernel reports a failed write-back once per descriptor, so the synchronous
 * and the asynchronous fdatasync each learn of it, whichever comes first.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fsyncDirectory } from './atomic-file.ts'
import type { DiskIo } from './disk-io.ts'
import { writevFully } from './disk-io.ts'
import type { FileHeader, JournalPosition } from './journal-record.ts'
import { encodeFileHeader, FILE_HEADER_BYTES } from './journal-record.ts'
import { journalFileName } from './journal-scan.ts'
import { StoreFailedError } from './storage-errors.ts'

export class JournalFile {
  readonly path: string
  readonly header: FileHeader
  readonly #io: DiskIo
  readonly #appendFd: number
  readonly #syncFd: number
  #sizeBytes = FILE_HEADER_BYTES

  private constructor(path: string, header: FileHeader, fd: number, io: DiskIo) {
    this.path = path
    this.header = header
    this.#io = io
    this.#appendFd = fd
    this.#syncFd = openSync(path, 'r+')
  }

  /** Makes the file; name and header are durable on return. */
  static create(dir: string, fields: Omit<FileHeader, 'salt'>, io: DiskIo): JournalFile {
    const header: FileHeader = { ...fields, salt: randomBytes(4).readUInt32LE(0) }
    const path = join(dir, journalFileName(header.number))
    const temporary = join(dirname(path), `.${basename(path)}.tmp`)
    const fd = openSync(temporary, 'w+', 0o600)
    try {
      writeFileSync(fd, encodeFileHeader(header))
      io.fdatasyncNow(fd)
      renameSync(temporary, path)
      fsyncDirectory(dir)
      return new JournalFile(path, header, fd, io)
    } catch (error) {
      closeSync(fd)
      rmSync(temporary, { force: true })
      rmSync(path, { force: true })
      throw error
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get end(): JournalPosition {
    return (this.header.start + this.#sizeBytes) as JournalPosition
  }

  /**
   * Appends whole records. A failed or short write is cut off again and its error thrown; when
   * the cut fails too, StoreFailedError: the file then ends in something unknown.
   */
  append(parts: readonly Uint8Array[], totalBytes: number): void {
    try {
      writevFully(this.#io, this.#appendFd, parts, this.#sizeBytes)
    } catch (error) {
      this.#cutBack(error)
      throw error
    }
    this.#sizeBytes += totalBytes
  }

  sync(): Promise<void> {
    return this.#io.fdatasync(this.#syncFd)
  }

  syncNow(): void {
    this.#io.fdatasyncNow(this.#appendFd)
  }

  close(): void {
    closeSync(this.#appendFd)
    closeSync(this.#syncFd)
  }

  #cutBack(cause: unknown): void {
    try {
      this.#io.truncate(this.#appendFd, this.#sizeBytes)
    } catch (error) {
      const causes = new AggregateError([cause, error], 'a write and the cut after it')
      throw new StoreFailedError('journal', causes)
    }
  }
}
