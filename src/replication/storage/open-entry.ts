/**
 * (I/O) The ops of the entry that is still being gathered, in the order they were answered: a scratch
 * file beside the journal, written over by each next entry. It is for the end of this process alone: what
 * it holds then is closed as an entry by the next start. The entry itself goes to the journal, whole,
 * when it is closed, before any other member hears of it.
 *
 * Invariant: what `left` gives was answered by this member and said to nobody. After the end of
 * the kernel the page cache may have lost any part of it, and a shorter entry would contradict the one
 * the others have; so it counts only under the boot it was written in (and never as durable).
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { assert } from '../../fs/assert.ts'
import type { Op } from '../../fs/op.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { Entry, SealedEntry } from '../entry.ts'
import { ENTRY_HEAD_MAX_BYTES, ENTRY_PAYLOAD_MAX_BYTES } from '../entry.ts'
import { decodeEntryHead, encodeEntryHead } from '../entry-codec.ts'
import type { DiskIo } from './disk-io.ts'
import { diskIo, writeFully, writevFully } from './disk-io.ts'

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id'
const MAGIC = Buffer.from('TFSOPEN1', 'latin1')
const FILE_HEADER_BYTES = 64
const BOOT_ID_BYTES = 36
const PART_HEADER_BYTES = 40
/** A part up to this is written from one buffer. */
const GATHERED_BYTES = 16 * 1024

/** Some ops of the open entry: a head that holds only them, and their inline bytes. */
export interface EntryPart {
  readonly writer: WriterId
  readonly seq: Seq
  /** 0 for the first part of an entry. */
  readonly index: number
  readonly head: Uint8Array
  readonly payload: readonly Uint8Array[]
}

export class OpenEntryFile {
  readonly #fd: number
  readonly #io: DiskIo
  readonly #scratch = Buffer.allocUnsafeSlow(GATHERED_BYTES)
  #at = FILE_HEADER_BYTES

  private constructor(fd: number, io: DiskIo) {
    this.#fd = fd
    this.#io = io
  }

  /** The entry that an earlier process of this boot left open at `path`. */
  static left(path: string, bootId = readBootId()): SealedEntry | undefined {
    const bytes = readIfThere(path)
    if (bytes === undefined || bootId === undefined) return undefined
    if (!bytes.subarray(0, FILE_HEADER_BYTES).equals(fileHeader(bootId))) return undefined
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
      writevFully(io, fd, [fileHeader(bootId)], 0)
    } catch (error) {
      closeSync(fd)
      throw error
    }
    return new OpenEntryFile(fd, io)
  }

  /** In the page cache on return. Throws the system's error. */
  put(part: EntryPart): void {
    if (part.index === 0) this.#at = FILE_HEADER_BYTES
    let payloadBytes = 0
    for (const piece of part.payload) payloadBytes += piece.length
    const totalBytes = PART_HEADER_BYTES + part.head.length + payloadBytes
    const header = this.#scratch.subarray(0, PART_HEADER_BYTES)
    writePartHeader(header, part, payloadBytes)
    if (totalBytes <= GATHERED_BYTES) this.#writeGathered(part, totalBytes)
    else {
      let sum = crc32(header.subarray(4))
      for (const piece of [part.head, ...part.payload]) sum = crc32(piece, sum)
      header.writeUInt32LE(sum, 0)
      writevFully(this.#io, this.#fd, [header, part.head, ...part.payload], this.#at)
    }
    this.#at += totalBytes
  }

  close(): void {
    closeSync(this.#fd)
  }

  #writeGathered(part: EntryPart, totalBytes: number): void {
    const record = this.#scratch.subarray(0, totalBytes)
    record.set(part.head, PART_HEADER_BYTES)
    let at = PART_HEADER_BYTES + part.head.length
    for (const piece of part.payload) {
      record.set(piece, at)
      at += piece.length
    }
    record.writeUInt32LE(crc32(record.subarray(4)), 0)
    writeFully(this.#io, this.#fd, record, this.#at)
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

/** crc32 of the rest, index, lengths, writer, seq. */
function writePartHeader(header: Buffer, part: EntryPart, payloadBytes: number): void {
  header.writeUInt32LE(part.index, 4)
  header.writeUInt32LE(part.head.length, 8)
  header.writeUInt32LE(payloadBytes, 12)
  writeNumber(header, part.writer, 16)
  writeNumber(header, part.seq, 24)
  header.fill(0, 32, PART_HEADER_BYTES)
}

/** Two halves: a BigInt would be made for each. */
function writeNumber(header: Buffer, value: number, at: number): void {
  header.writeUInt32LE(value % 2 ** 32, at)
  header.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

/** A part as it is read back. */
export interface ReadPart {
  readonly entry: Entry
  readonly payload: Uint8Array
}

/** The parts of the newest entry; behind them may be those of longer, older ones. */
function readParts(bytes: Buffer): ReadPart[] {
  const parts: ReadPart[] = []
  let at = FILE_HEADER_BYTES
  while (at + PART_HEADER_BYTES <= bytes.length) {
    const headBytes = bytes.readUInt32LE(at + 8)
    const payloadBytes = bytes.readUInt32LE(at + 12)
    const end = at + PART_HEADER_BYTES + headBytes + payloadBytes
    if (headBytes > ENTRY_HEAD_MAX_BYTES || payloadBytes > ENTRY_PAYLOAD_MAX_BYTES) break
    if (end > bytes.length || bytes.readUInt32LE(at + 4) !== parts.length) break
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32LE(at)) break
    const headEnd = at + PART_HEADER_BYTES + headBytes
    const entry = decodeEntryHead(bytes.subarray(at + PART_HEADER_BYTES, headEnd))
    const first = parts[0]?.entry
    if (first && (entry.writer !== first.writer || entry.seq !== first.seq)) break
    parts.push({ entry, payload: bytes.subarray(headEnd, end) })
    at = end
  }
  return parts
}

/** The entry that the parts make up, one at least. */
export function joinParts(parts: readonly ReadPart[]): SealedEntry {
  const first = parts[0]?.entry
  assert(first !== undefined, 'an entry without parts')
  const ops: Op[] = parts.flatMap(({ entry }) => entry.ops)
  return {
    writer: first.writer,
    seq: first.seq,
    head: encodeEntryHead({ ...first, ops }),
    payload: Buffer.concat(parts.map(({ payload }) => payload))
  }
}
