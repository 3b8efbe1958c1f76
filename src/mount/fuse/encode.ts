/**
 * Typed replies to bytes. Fixed-size replies are written into one scratch buffer that is used
 * again for the next reply: the parts are valid until the next call, which is what
 * FuseChannel.reply asks for.
 */
import { assert, unreachable } from '../../fs/assert.ts'
import type { Attr } from '../../fs/attr.ts'
import { Errno } from '../../fs/errno.ts'
import type { LockInTheWay, StatFs } from '../../fs/filesystem-api.ts'
import type { Ino } from '../../fs/primitives.ts'
import { LockTypeCode, Size, STATX_MASK } from './abi.ts'
import type { InitReply, Reply } from './reply.ts'

const HIGH = 2 ** 32
const BODY = Size.OUT_HEADER
const SCRATCH_BYTES = 512
/** Of struct fuse_entry_out, up to its attributes. */
export const ENTRY_HEAD_BYTES = 40
/** st_blksize; the kernel also uses it as the block size of its page cache bookkeeping. */
const BLOCK_BYTES = 4096
/** Longest validity given to the kernel, so that seconds stay a small number. */
const VALID_MS_MAX = 24 * 3600 * 1000

export function writeU64(buffer: Buffer, value: number, at: number): void {
  assert(value >= 0 && Number.isSafeInteger(value), 'unsigned 64-bit field out of range')
  buffer.writeUInt32LE(value % HIGH, at)
  buffer.writeUInt32LE(Math.floor(value / HIGH), at + 4)
}

/** Two's complement, for seconds before 1970. */
function writeI64(buffer: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value), 'signed 64-bit field out of range')
  const high = Math.floor(value / HIGH)
  buffer.writeUInt32LE(value - high * HIGH, at)
  buffer.writeInt32LE(high, at + 4)
}

export function writeOutHeader(
  buffer: Buffer,
  sizeBytes: number,
  error: number,
  uniqueLow: number,
  uniqueHigh: number
): void {
  buffer.writeUInt32LE(sizeBytes, 0)
  buffer.writeInt32LE(error, 4)
  buffer.writeUInt32LE(uniqueLow, 8)
  buffer.writeUInt32LE(uniqueHigh, 12)
}

/** struct fuse_attr. */
export function writeAttr(buffer: Buffer, attr: Attr, at: number): void {
  writeU64(buffer, attr.ino, at)
  writeU64(buffer, attr.size, at + 8)
  writeU64(buffer, attr.blocks, at + 16)
  writeI64(buffer, attr.atime.sec, at + 24)
  writeI64(buffer, attr.mtime.sec, at + 32)
  writeI64(buffer, attr.ctime.sec, at + 40)
  buffer.writeUInt32LE(attr.atime.nsec, at + 48)
  buffer.writeUInt32LE(attr.mtime.nsec, at + 52)
  buffer.writeUInt32LE(attr.ctime.nsec, at + 56)
  buffer.writeUInt32LE(attr.mode, at + 60)
  buffer.writeUInt32LE(attr.nlink, at + 64)
  buffer.writeUInt32LE(attr.uid, at + 68)
  buffer.writeUInt32LE(attr.gid, at + 72)
  buffer.writeUInt32LE(attr.rdev, at + 76)
  buffer.writeUInt32LE(BLOCK_BYTES, at + 80)
  buffer.writeUInt32LE(0, at + 84)
}

function wholeValidMs(validMs: number): number {
  assert(validMs >= 0, 'validity below zero')
  return Math.min(Math.floor(validMs), VALID_MS_MAX)
}

/** struct fuse_entry_out. */
function writeEntry(
  buffer: Buffer,
  attr: Attr,
  entryValidMs: number,
  attrValidMs: number,
  at: number
): void {
  writeEntryHead(buffer, attr.ino, entryValidMs, attrValidMs, at)
  writeAttr(buffer, attr, at + ENTRY_HEAD_BYTES)
}

/** What stands before the attributes. Inode numbers are never reused: the generation stays 0. */
export function writeEntryHead(
  buffer: Buffer,
  nodeid: Ino,
  entryValidMs: number,
  attrValidMs: number,
  at: number
): void {
  const entryMs = wholeValidMs(entryValidMs)
  const attrMs = wholeValidMs(attrValidMs)
  writeU64(buffer, nodeid, at)
  writeU64(buffer, 0, at + 8)
  writeU64(buffer, Math.floor(entryMs / 1000), at + 16)
  writeU64(buffer, Math.floor(attrMs / 1000), at + 24)
  buffer.writeUInt32LE((entryMs % 1000) * 1_000_000, at + 32)
  buffer.writeUInt32LE((attrMs % 1000) * 1_000_000, at + 36)
}

/** struct fuse_entry_out without an inode: a name that is not there. */
function writeAbsent(buffer: Buffer, entryValidMs: number, at: number): number {
  const entryMs = wholeValidMs(entryValidMs)
  buffer.fill(0, at, at + Size.ENTRY_OUT)
  writeU64(buffer, Math.floor(entryMs / 1000), at + 16)
  buffer.writeUInt32LE((entryMs % 1000) * 1_000_000, at + 32)
  return Size.ENTRY_OUT
}

function writeAttrOut(buffer: Buffer, attr: Attr, attrValidMs: number, at: number): void {
  const attrMs = wholeValidMs(attrValidMs)
  writeU64(buffer, Math.floor(attrMs / 1000), at)
  buffer.writeUInt32LE((attrMs % 1000) * 1_000_000, at + 8)
  buffer.writeUInt32LE(0, at + 12)
  writeAttr(buffer, attr, at + 16)
}

/** struct fuse_statx_out. */
function writeStatx(buffer: Buffer, attr: Attr, attrValidMs: number, at: number): void {
  const attrMs = wholeValidMs(attrValidMs)
  buffer.fill(0, at, at + Size.STATX_OUT)
  writeU64(buffer, Math.floor(attrMs / 1000), at)
  buffer.writeUInt32LE((attrMs % 1000) * 1_000_000, at + 8)
  const stat = at + 32
  buffer.writeUInt32LE(STATX_MASK, stat)
  buffer.writeUInt32LE(BLOCK_BYTES, stat + 4)
  buffer.writeUInt32LE(attr.nlink, stat + 16)
  buffer.writeUInt32LE(attr.uid, stat + 20)
  buffer.writeUInt32LE(attr.gid, stat + 24)
  buffer.writeUInt16LE(attr.mode, stat + 28)
  writeU64(buffer, attr.ino, stat + 32)
  writeU64(buffer, attr.size, stat + 40)
  writeU64(buffer, attr.blocks, stat + 48)
  const times = [attr.atime, attr.btime, attr.ctime, attr.mtime]
  for (const [index, { sec, nsec }] of times.entries()) {
    writeI64(buffer, sec, stat + 64 + index * 16)
    buffer.writeUInt32LE(nsec, stat + 72 + index * 16)
  }
  // As new_decode_dev() splits what fuse_attr has in one number.
  buffer.writeUInt32LE((attr.rdev & 0xfff00) >>> 8, stat + 128)
  buffer.writeUInt32LE((attr.rdev & 0xff) | ((attr.rdev >>> 12) & 0xfff00), stat + 132)
}

function writeOpen(buffer: Buffer, handle: number, openFlags: number, at: number): void {
  writeU64(buffer, handle, at)
  buffer.writeUInt32LE(openFlags, at + 8)
  buffer.writeUInt32LE(0, at + 12)
}

function writeStatfs(buffer: Buffer, statfs: StatFs, at: number): void {
  buffer.fill(0, at, at + Size.STATFS_OUT)
  writeU64(buffer, statfs.blocks, at)
  writeU64(buffer, statfs.blocksFree, at + 8)
  writeU64(buffer, statfs.blocksAvailable, at + 16)
  writeU64(buffer, statfs.files, at + 24)
  writeU64(buffer, statfs.filesFree, at + 32)
  buffer.writeUInt32LE(statfs.blockSize, at + 40)
  buffer.writeUInt32LE(statfs.nameMax, at + 44)
  buffer.writeUInt32LE(statfs.blockSize, at + 48)
}

function writeInit(buffer: Buffer, init: InitReply, at: number): void {
  buffer.fill(0, at, at + Size.INIT_OUT)
  buffer.writeUInt32LE(init.major, at)
  buffer.writeUInt32LE(init.minor, at + 4)
  buffer.writeUInt32LE(init.maxReadahead, at + 8)
  buffer.writeUInt32LE(init.flags, at + 12)
  buffer.writeUInt16LE(init.maxBackground, at + 16)
  buffer.writeUInt16LE(init.congestionThreshold, at + 18)
  buffer.writeUInt32LE(init.maxWrite, at + 20)
  buffer.writeUInt32LE(1, at + 24)
  buffer.writeUInt16LE(init.maxPages, at + 28)
  buffer.writeUInt32LE(init.flags2, at + 32)
}

/** struct fuse_lk_out. The kernel keeps the process's own range when the type is UNLOCK. */
function writeLock(buffer: Buffer, conflict: LockInTheWay | undefined, at: number): void {
  buffer.fill(0, at, at + Size.LK_OUT)
  if (conflict === undefined) {
    buffer.writeUInt32LE(LockTypeCode.UNLOCK, at + 16)
    return
  }
  buffer.writeBigUInt64LE(conflict.start, at)
  buffer.writeBigUInt64LE(conflict.end, at + 8)
  const type = conflict.type === 'read' ? LockTypeCode.READ : LockTypeCode.WRITE
  buffer.writeUInt32LE(type, at + 16)
  buffer.writeUInt32LE(conflict.pid, at + 20)
}

export class ReplyEncoder {
  readonly #scratch = Buffer.alloc(SCRATCH_BYTES)
  /** One-element part lists over the scratch buffer, by length. */
  readonly #views: (readonly Uint8Array[] | undefined)[] = []

  /** The parts of one reply, its header first; valid until the next call. */
  encode(uniqueLow: number, uniqueHigh: number, reply: Reply): readonly Uint8Array[] {
    if (reply.kind === 'error') return this.#error(uniqueLow, uniqueHigh, reply.errno)
    if (reply.kind === 'absent' && reply.entryValidMs === 0) {
      return this.#error(uniqueLow, uniqueHigh, Errno.ENOENT)
    }
    if (reply.kind === 'data') return this.#data(uniqueLow, uniqueHigh, reply.data)
    if (reply.kind === 'listing') return this.#data(uniqueLow, uniqueHigh, reply.listing.bytes())
    const sizeBytes = BODY + this.#writeBody(reply)
    writeOutHeader(this.#scratch, sizeBytes, 0, uniqueLow, uniqueHigh)
    return this.#view(sizeBytes)
  }

  #error(uniqueLow: number, uniqueHigh: number, errno: number): readonly Uint8Array[] {
    assert(errno > 0 && errno < 512, 'errno the kernel does not take')
    writeOutHeader(this.#scratch, BODY, -errno, uniqueLow, uniqueHigh)
    return this.#view(BODY)
  }

  #data(uniqueLow: number, uniqueHigh: number, data: Uint8Array): readonly Uint8Array[] {
    writeOutHeader(this.#scratch, BODY + data.length, 0, uniqueLow, uniqueHigh)
    const header = this.#view(BODY)[0]
    assert(header !== undefined, 'a view has one part')
    return data.length === 0 ? [header] : [header, data]
  }

  #view(sizeBytes: number): readonly Uint8Array[] {
    let view = this.#views[sizeBytes]
    if (view === undefined) {
      view = [this.#scratch.subarray(0, sizeBytes)]
      this.#views[sizeBytes] = view
    }
    return view
  }

  /** Writes the body behind the header and returns its size. */
  #writeBody(reply: Exclude<Reply, { readonly kind: 'error' | 'data' | 'listing' }>): number {
    const out = this.#scratch
    switch (reply.kind) {
      case 'ok':
        return 0
      case 'entry':
        writeEntry(out, reply.attr, reply.entryValidMs, reply.attrValidMs, BODY)
        return Size.ENTRY_OUT
      case 'absent':
        return writeAbsent(out, reply.entryValidMs, BODY)
      case 'attr':
        writeAttrOut(out, reply.attr, reply.attrValidMs, BODY)
        return Size.ATTR_OUT
      case 'statx':
        writeStatx(out, reply.attr, reply.attrValidMs, BODY)
        return Size.STATX_OUT
      case 'open':
        writeOpen(out, reply.handle, reply.openFlags, BODY)
        return Size.OPEN_OUT
      case 'create':
        writeEntry(out, reply.attr, reply.entryValidMs, reply.attrValidMs, BODY)
        writeOpen(out, reply.handle, reply.openFlags, BODY + Size.ENTRY_OUT)
        return Size.ENTRY_OUT + Size.OPEN_OUT
      case 'written':
      case 'xattrSize':
        writeU64(out, reply.sizeBytes, BODY)
        return Size.WRITE_OUT
      case 'position':
        writeU64(out, reply.offset, BODY)
        return Size.LSEEK_OUT
      case 'lock':
        writeLock(out, reply.conflict, BODY)
        return Size.LK_OUT
      case 'statfs':
        writeStatfs(out, reply.statfs, BODY)
        return Size.STATFS_OUT
      case 'init':
        writeInit(out, reply, BODY)
        return Size.INIT_OUT
      default:
        return unreachable(reply)
    }
  }
}
