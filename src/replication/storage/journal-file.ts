/**
 * (I/O) One journal file open for appending. It is made durable with its header before its first
 * record, so a header that cannot be read is always damage and never a torn tail.
 *
 * What is appended between two syncs is written over zeros that an earlier sync has made durable: then an
 * fdatasync has the data alone to write, not the size and the blocks of the file as well. So
 * behind the last record there may be zeros, which mean nothing (journal-scan.ts).
 *
 * Two descriptors: the kernel reports a failed write-back once per descriptor, so the synchronous
 * and the asynchronous fdatasync each learn of it, whichever comes first.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fsyncDirectory } from './atomic-file.ts'
import type { DiskIo } from './disk-io.ts'
import { writeFully, writevFully } from './disk-io.ts'
import type { FileHeader, JournalPosition } from './journal-record.ts'
import { encodeFileHeader, FILE_HEADER_BYTES } from './journal-record.ts'
import { journalFileName } from './journal-scan.ts'
import { StoreFailedError, systemCode } from './storage-errors.ts'

export class JournalFile {
  readonly path: string
  readonly header: FileHeader
  readonly #io: DiskIo
  readonly #appendFd: number
  readonly #syncFd: number
  #sizeBytes = FILE_HEADER_BYTES
  /** With the zeros behind the records. */
  #madeBytes = FILE_HEADER_BYTES
  #diskFull = false

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
    this.#madeBytes = Math.max(this.#madeBytes, this.#sizeBytes)
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

  /**
   * Adds these zeros for the records to come, where few are left; the next sync makes them durable.
   * Throws the system's error, but for a full disk.
   */
  makeAhead(zeros: Uint8Array): void {
    const leftBytes = this.#madeBytes - this.#sizeBytes
    if (this.#diskFull || leftBytes >= zeros.length / 16) return
    try {
      writeFully(this.#io, this.#appendFd, zeros, this.#madeBytes)
      this.#madeBytes += zeros.length
    } catch (error) {
      // Records go on being appended one by one, for as long as there is room for those.
      if (systemCode(error) !== 'ENOSPC' && systemCode(error) !== 'EDQUOT') throw error
      this.#diskFull = true
    }
  }

  #cutBack(cause: unknown): void {
    try {
      this.#io.truncate(this.#appendFd, this.#sizeBytes)
      this.#madeBytes = this.#sizeBytes
    } catch (error) {
      const causes = new AggregateError([cause, error], 'a write and the cut after it')
      throw new StoreFailedError('journal', causes)
    }
  }
}
