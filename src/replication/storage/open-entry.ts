/**
 * (I/O) The ops of the entry that is still being gathered, in the order they were answered: a scratch
 * file beside the journal, written over by each next entry. It is for the end of this process alone: what
 * it holds then is closed as an entry by the next start (replica/left-open.ts). The entry itself goes to
 * the journal, whole, when it is closed, before any other member hears of it.
 *
 * Invariant: what `left` gives was answered by this member and said to nobody. After the end of
 * the kernel the page cache may have lost any part of it, and a shorter entry would contradict the one
 * the others have; so it counts only under the boot it was written in (and never as durable).
 *
 * The bytes of small writes are not here: their ops name the slices, and under the same boot the page cache has
 * the segments as well. A slice is written before the op that names it exists, so wherever the
 * process is killed, a part that is whole names bytes that are there: before or within the write of
 * the slice there is no op; behind it the slice is one that nothing names; within the write of the part the
 * part is not whole and its op was not answered; behind it both are there. They stay: a slice is
 * written once, and only upkeep punches, what it listed behind the end of the open entry (replica/upkeep.ts).
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { assert } from '../../fs/assert.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { Entry } from '../entry.ts'
import { ENTRY_HEAD_MAX_BYTES, ENTRY_PAYLOAD_MAX_BYTES } from '../entry.ts'
import { decodeEntryHead } from '../entry-codec.ts'
import type { DiskIo } from './disk-io.ts'
import { diskIo, writeFully } from './disk-io.ts'
import { DamagedFileError } from './storage-errors.ts'

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id'
const MAGIC = Buffer.from('TFSOPEN2', 'latin1')
/** Its parts end with the bytes of their small writes, which stand in the segments, too. */
const MAGIC_WITH_BYTES = Buffer.from('TFSOPEN1', 'latin1')
const FILE_HEADER_BYTES = 64
const BOOT_ID_BYTES = 36
const PART_HEADER_BYTES = 40
/** A part up to this is put together in the same buffer each time. */
const SCRATCH_BYTES = 16 * 1024

/** Some ops of the open entry. */
export interface EntryPart {
  readonly writer: WriterId
  readonly seq: Seq
  /** 0 for the first part of an entry. */
  readonly index: number
  /** The entry's, with these ops alone; the caller's again as soon as it is written down. */
  readonly head: Uint8Array
}

export class OpenEntryFile {
  readonly #fd: number
  readonly #io: DiskIo
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  #at = FILE_HEADER_BYTES

  private constructor(fd: number, io: DiskIo) {
    this.#fd = fd
    this.#io = io
  }

  /**
   * The entry that an earlier process of this boot left open at `path`. Throws DamagedFileError for a
   * format that this program does not know.
   */
  static left(path: string, bootId = readBootId()): Entry | undefined {
    const bytes = readIfThere(path)
    if (bytes === undefined || bootId === undefined) return undefined
    const magic = bytes.subarray(0, MAGIC.length)
    const rest = bytes.subarray(MAGIC.length, FILE_HEADER_BYTES)
    if (!rest.equals(fileHeader(bootId).subarray(MAGIC.length))) return undefined
    if (!magic.equals(MAGIC) && !magic.equals(MAGIC_WITH_BYTES)) {
      throw new DamagedFileError(path, 'its format is not known to this program')
    }
    const parts = readParts(bytes)
    return parts.length === 0 ? undefined : joinParts(parts)
  }

  /** Begins anew; what was left is gone. Undefined where the boot has no name. */
  static begin(
    path: string,
    io: DiskIo = diskIo,
    bootId = readBootId()
  ): OpenEntryFile | undefined {
    if (bootId === undefined) return undefined
    const fd = openSync(path, 'w', 0o600)
    try {
      writeFully(io, fd, fileHeader(bootId), 0)
    } catch (error) {
      closeSync(fd)
      throw error
    }
    return new OpenEntryFile(fd, io)
  }

  /** In the page cache on return, as the slices that it names must be before. Throws the system's error. */
  put(part: EntryPart): void {
    if (part.index === 0) this.#at = FILE_HEADER_BYTES
    const totalBytes = PART_HEADER_BYTES + part.head.length
    const isSmall = totalBytes <= SCRATCH_BYTES
    const record = isSmall ? this.#scratch.subarray(0, totalBytes) : Buffer.alloc(totalBytes)
    writePartHeader(record, part)
    record.set(part.head, PART_HEADER_BYTES)
    record.writeUInt32LE(crc32(record.subarray(4)), 0)
    writeFully(this.#io, this.#fd, record, this.#at)
    this.#at += totalBytes
  }

  close(): void {
    closeSync(this.#fd)
  }
}

function readBootId(): string | undefined {
  return readIfThere(BOOT_ID_FILE)?.toString('latin1').trim()
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function fileHeader(bootId: string): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES)
  MAGIC.copy(header, 0)
  header.write(bootId, MAGIC.length, BOOT_ID_BYTES, 'latin1')
  return header
}

/** crc32 of the rest (put in by the caller), index, length of the head, 0, writer, seq. */
function writePartHeader(header: Buffer, part: EntryPart): void {
  header.writeUInt32LE(part.index, 4)
  header.writeUInt32LE(part.head.length, 8)
  header.writeUInt32LE(0, 12)
  writeNumber(header, part.writer, 16)
  writeNumber(header, part.seq, 24)
  header.fill(0, 32, PART_HEADER_BYTES)
}

/** Two halves: a BigInt would be made for each. */
function writeNumber(header: Buffer, value: number, at: number): void {
  header.writeUInt32LE(value % 2 ** 32, at)
  header.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

/** The parts of the newest entry; behind them may be those of longer, older ones. */
function readParts(bytes: Buffer): Entry[] {
  const parts: Entry[] = []
  let at = FILE_HEADER_BYTES
  while (at + PART_HEADER_BYTES <= bytes.length) {
    const headBytes = bytes.readUInt32LE(at + 8)
    const payloadBytes = bytes.readUInt32LE(at + 12)
    const headEnd = at + PART_HEADER_BYTES + headBytes
    const end = headEnd + payloadBytes
    if (headBytes > ENTRY_HEAD_MAX_BYTES || payloadBytes > ENTRY_PAYLOAD_MAX_BYTES) break
    if (end > bytes.length || bytes.readUInt32LE(at + 4) !== parts.length) break
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32LE(at)) break
    const part = decodeEntryHead(bytes.subarray(at + PART_HEADER_BYTES, headEnd))
    const first = parts[0]
    if (first && (part.writer !== first.writer || part.seq !== first.seq)) break
    parts.push(part)
    at = end
  }
  return parts
}

/** The entry that the parts make up, one at least. */
export function joinParts(parts: readonly Entry[]): Entry {
  const first = parts[0]
  assert(first !== undefined, 'an entry without parts')
  return { ...first, ops: parts.flatMap(({ ops }) => ops) }
}
