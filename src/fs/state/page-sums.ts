/**
 * A checksum (crc32) of every page of the state database, in a file beside it. SQLite itself notices
 * only what breaks its structure; with the sums a bit flipped anywhere is found when the state is
 * opened.
 *
 * Invariant: a page whose newest content was copied into the database and is not in the WAL any more
 * has its sum in the file, durably. The sums are therefore saved after each checkpoint and before
 * the WAL may start over (checkpoint.ts); pages that are still in the WAL are covered by the checksums
 * SQLite has there.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync
} from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { assert } from '../assert.ts'
import { NO_SALTS, type WalSalts } from './wal-file.ts'

export const PAGE_BYTES = 4096

const MAGIC = 0x74646673
const VERSION = 1
const HEADER_BYTES = 32
const SUM_BYTES = 4
const PAGES_PER_READ = 256
/** A page that was never written has no sum; a sum that happens to be 0 counts as one. */
const UNKNOWN = 0
const ZERO_SUM = 1

export interface SumsState {
  /** The WAL whose frames are covered, and how many of them. */
  readonly salts: WalSalts
  readonly frames: number
  /** The database was closed with nothing left to copy: nothing came after these sums. */
  readonly closed: boolean
}

export const NOTHING_COVERED: SumsState = { salts: NO_SALTS, frames: 0, closed: false }

export class PageSums {
  #sums: Buffer
  #pages: number

  private constructor(sums: Buffer) {
    this.#sums = sums
    this.#pages = sums.length / SUM_BYTES
  }

  /** The file's sums; undefined when there is none, or it is not what was written. */
  static load(file: string): { readonly sums: PageSums; readonly state: SumsState } | undefined {
    const bytes = readIfThere(file)
    if (bytes === undefined || bytes.length < HEADER_BYTES + SUM_BYTES) return undefined
    const end = bytes.length - SUM_BYTES
    if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(4) !== VERSION) return undefined
    if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) return undefined
    const state = {
      salts: bytes.readBigUInt64LE(8),
      frames: bytes.readUInt32LE(16),
      closed: bytes.readUInt32LE(20) === 1
    }
    return { sums: new PageSums(bytes.subarray(HEADER_BYTES, end)), state }
  }

  /** The sums of a database as it stands in its file. */
  static of(databaseFile: string): PageSums {
    const sums = new PageSums(Buffer.alloc(0))
    forEachPage(databaseFile, (page, content) => sums.set(page, content))
    return sums
  }

  set(page: number, content: Uint8Array): void {
    assert(content.length === PAGE_BYTES, 'page of another size')
    if (page > this.#pages) this.#grow(page)
    this.#sums.writeUInt32LE(sumOf(content), (page - 1) * SUM_BYTES)
  }

  /** The first page of the file that is not what was written, or undefined. */
  firstDamaged(databaseFile: string, isInWal: (page: number) => boolean): number | undefined {
    let damaged: number | undefined
    const pages = forEachPage(databaseFile, (page, content) => {
      if (damaged !== undefined || page > this.#pages) return
      const sum = this.#sums.readUInt32LE((page - 1) * SUM_BYTES)
      if (sum !== UNKNOWN && sum !== sumOf(content) && !isInWal(page)) damaged = page
    })
    return damaged ?? this.#firstMissing(pages + 1, isInWal)
  }

  #firstMissing(from: number, isInWal: (page: number) => boolean): number | undefined {
    for (let page = from; page <= this.#pages; page++) {
      const sum = this.#sums.readUInt32LE((page - 1) * SUM_BYTES)
      if (sum !== UNKNOWN && !isInWal(page)) return page
    }
    return undefined
  }

  /** Durable on return. */
  save(file: string, { salts, frames, closed }: SumsState): void {
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt32LE(MAGIC, 0)
    header.writeUInt32LE(VERSION, 4)
    header.writeBigUInt64LE(salts, 8)
    header.writeUInt32LE(frames, 16)
    header.writeUInt32LE(closed ? 1 : 0, 20)
    const sums = this.#sums.subarray(0, this.#pages * SUM_BYTES)
    const sum = Buffer.alloc(SUM_BYTES)
    sum.writeUInt32LE(crc32(sums, crc32(header)))
    replaceFile(file, Buffer.concat([header, sums, sum]))
  }

  #grow(pages: number): void {
    if (pages * SUM_BYTES > this.#sums.length) {
      const grown = Buffer.alloc(2 * pages * SUM_BYTES)
      this.#sums.copy(grown, 0, 0, this.#pages * SUM_BYTES)
      this.#sums = grown
    }
    this.#pages = pages
  }
}

function sumOf(content: Uint8Array): number {
  const sum = crc32(content)
  return sum === UNKNOWN ? ZERO_SUM : sum
}

/** Returns how many pages there are. */
function forEachPage(file: string, onPage: (page: number, content: Buffer) => void): number {
  const fd = openSync(file, 'r')
  try {
    const pages = Math.floor(fstatSync(fd).size / PAGE_BYTES)
    const buffer = Buffer.alloc(PAGES_PER_READ * PAGE_BYTES)
    for (let page = 1; page <= pages; ) {
      const count = Math.min(PAGES_PER_READ, pages - page + 1)
      const position = (page - 1) * PAGE_BYTES
      const read = readSync(fd, buffer, 0, count * PAGE_BYTES, position)
      assert(read === count * PAGE_BYTES, 'the database shrank while it was read')
      for (let i = 0; i < count; i++, page++) {
        onPage(page, buffer.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES))
      }
    }
    return pages
  } finally {
    closeSync(fd)
  }
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function replaceFile(file: string, content: Buffer): void {
  const temporary = `${file}.new`
  const fd = openSync(temporary, 'w', 0o600)
  try {
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at)
    fsyncSync(fd)
  } catch (error) {
    closeSync(fd)
    unlinkSync(temporary)
    throw error
  }
  closeSync(fd)
  renameSync(temporary, file)
  const folder = openSync(dirname(file), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
