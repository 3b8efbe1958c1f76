/**
 * Ops as bytes: what stands in journals, logs and on the wire. A list is a version byte, a count
 * and the ops; an op is a type byte and its fields in the order of op.ts. Every value has exactly
 * one encoding, so equal ops are equal bytes and a block of the log can be compared with what came
 * by stream; the version is the lowest that knows all ops of the list. The decoder is given bytes by other members and by disks: it bounds every length and
 * refuses whatever no encoder writes.
 */
import { assert, unreachable } from './assert.ts'
import type { TimeSpec } from './attr.ts'
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from './attr.ts'
import { ByteReader, ByteWriter } from './byte-codec.ts'
import { isDentryName } from './names.ts'
import type { Op, SetAttrOp, Slice } from './op.ts'
import {
  FILE_SIZE_MAX,
  NAME_MAX_BYTES,
  SLICE_MAX_BYTES,
  SYMLINK_MAX_BYTES,
  XATTR_NAME_MAX_BYTES,
  XATTR_VALUE_MAX_BYTES
} from './op.ts'
import type { Ino, SegmentId } from './primitives.ts'

export const OP_CODEC_VERSION = 2
/** Types above this one came with version 2. */
const TYPE_MAX_OF_VERSION_1 = 12
/** Most ops one list holds. */
export const OPS_MAX = 4096
/** Most slices one write op holds. */
export const WRITE_SLICES_MAX = 256
/** Times are kept within +-2^47 seconds. */
export const TIME_SEC_MAX = 2 ** 47
const COOKIE_MAX = 2 ** 53 - 1
const SHA256_BYTES = 32

const TYPE = {
  create: 1,
  link: 2,
  unlink: 3,
  rmdir: 4,
  rename: 5,
  setattr: 6,
  truncate: 7,
  write: 8,
  punch: 9,
  setxattr: 10,
  removexattr: 11,
  reap: 12,
  tmpfile: 13,
  clone: 14
} as const satisfies Record<Op['type'], number>

const FILE_TYPES = new Set([S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK])
const PERMISSIONS_MAX = 0o7777

const scratch = new ByteWriter()

/** The encoding of `ops` (at most OPS_MAX). Throws AssertionError for an op no decoder accepts. */
export function encodeOps(ops: readonly Op[]): Buffer {
  assert(ops.length <= OPS_MAX, 'too many ops in one list')
  scratch.reset()
  scratch.u8(versionOf(ops))
  scratch.uint(ops.length)
  for (const op of ops) writeOp(scratch, op)
  return scratch.finish()
}

/**
 * The ops of an encoded list, which must be the whole of `bytes`. Names, values and hashes are
 * views on `bytes`: it must not change while the ops are in use. Throws DecodeError.
 */
export function decodeOps(bytes: Uint8Array): Op[] {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  if (version < 1 || version > OP_CODEC_VERSION) {
    reader.fail(`ops of version ${version}, known are 1 to ${OP_CODEC_VERSION}`)
  }
  const count = reader.uint(OPS_MAX)
  if (count > reader.left) reader.fail('more ops than bytes')
  const ops: Op[] = []
  for (let i = 0; i < count; i++) ops.push(readOp(reader))
  if (reader.left > 0) reader.fail(`${reader.left} bytes after the last op`)
  if (version !== versionOf(ops)) reader.fail(`not the version of these ops: ${version}`)
  return ops
}

function versionOf(ops: readonly Op[]): number {
  return ops.some(({ type }) => versionOfType(type) > 1) ? 2 : 1
}

/** The lowest version that knows ops of the type. */
export function versionOfType(type: Op['type']): number {
  return TYPE[type] > TYPE_MAX_OF_VERSION_1 ? 2 : 1
}

function writeName(w: ByteWriter, name: Uint8Array): void {
  assert(isDentryName(name), 'not a dentry name')
  w.bytes(name)
}

function readName(r: ByteReader): Buffer {
  const name = r.bytes(NAME_MAX_BYTES)
  if (!isDentryName(name)) r.fail('not a dentry name')
  return name
}

function readIno(r: ByteReader): Ino {
  const ino = r.u56()
  if (ino === 0) r.fail('inode number 0')
  return ino as Ino
}

function writeTime(w: ByteWriter, time: TimeSpec): void {
  assert(Math.abs(time.sec) <= TIME_SEC_MAX, 'time out of range')
  assert(time.nsec >= 0 && time.nsec < 1e9, 'nanoseconds out of range')
  w.int(time.sec)
  w.u32(time.nsec)
}

function readTime(r: ByteReader): TimeSpec {
  const sec = r.int(TIME_SEC_MAX)
  if (sec < -TIME_SEC_MAX) r.fail('time out of range')
  const nsec = r.u32()
  if (nsec >= 1e9) r.fail('nanoseconds out of range')
  return { sec, nsec }
}

function readMode(r: ByteReader): number {
  const mode = r.uint(S_IFMT | PERMISSIONS_MAX)
  if (!FILE_TYPES.has(mode & S_IFMT)) r.fail('unknown file type')
  return mode
}

function writeMode(w: ByteWriter, mode: number): void {
  assert(FILE_TYPES.has(mode & S_IFMT), 'unknown file type')
  w.uint(mode)
}

function writePermissions(w: ByteWriter, mode: number): void {
  assert(mode <= PERMISSIONS_MAX, 'permission bits out of range')
  w.uint(mode)
}

/** Presence byte, then permission bits. */
function writeOptionalMode(w: ByteWriter, mode: number | undefined): void {
  w.u8(mode === undefined ? 0 : 1)
  if (mode !== undefined) writePermissions(w, mode)
}

function readOptionalMode(r: ByteReader): { mode?: number } {
  return readFlag(r) ? { mode: r.uint(PERMISSIONS_MAX) } : {}
}

function readFlag(r: ByteReader): boolean {
  const flag = r.u8()
  if (flag > 1) r.fail('flag is neither 0 nor 1')
  return flag === 1
}

function writeSlice(w: ByteWriter, slice: Slice): void {
  assert(slice.length >= 1 && slice.length <= SLICE_MAX_BYTES, 'slice length out of range')
  assert(slice.sha256.length === SHA256_BYTES, 'sha256 is not 32 bytes')
  w.u56(slice.segment)
  w.uint(slice.offset)
  w.uint(slice.length)
  w.u32(slice.crc32)
  w.raw(slice.sha256)
}

function readSlice(r: ByteReader): Slice {
  const segment = r.u56() as SegmentId
  const offset = r.uint(FILE_SIZE_MAX)
  const length = r.uint(SLICE_MAX_BYTES)
  if (length === 0) r.fail('empty slice')
  return { segment, offset, length, crc32: r.u32(), sha256: r.raw(SHA256_BYTES) }
}

const HAS = { mode: 1, uid: 2, gid: 4, atime: 8, mtime: 16 } as const

function writeSetAttr(w: ByteWriter, op: SetAttrOp): void {
  w.u56(op.ino)
  w.u8(
    (op.mode === undefined ? 0 : HAS.mode) |
      (op.uid === undefined ? 0 : HAS.uid) |
      (op.gid === undefined ? 0 : HAS.gid) |
      (op.atime === undefined ? 0 : HAS.atime) |
      (op.mtime === undefined ? 0 : HAS.mtime)
  )
  if (op.mode !== undefined) writePermissions(w, op.mode)
  if (op.uid !== undefined) w.u32(op.uid)
  if (op.gid !== undefined) w.u32(op.gid)
  if (op.atime !== undefined) writeTime(w, op.atime)
  if (op.mtime !== undefined) writeTime(w, op.mtime)
  writeTime(w, op.ctime)
}

function readSetAttr(r: ByteReader): SetAttrOp {
  const ino = readIno(r)
  const has = r.u8()
  if (has > 31) r.fail('unknown attributes')
  return {
    type: 'setattr',
    ino,
    ...(has & HAS.mode ? { mode: r.uint(PERMISSIONS_MAX) } : {}),
    ...(has & HAS.uid ? { uid: r.u32() } : {}),
    ...(has & HAS.gid ? { gid: r.u32() } : {}),
    ...(has & HAS.atime ? { atime: readTime(r) } : {}),
    ...(has & HAS.mtime ? { mtime: readTime(r) } : {}),
    ctime: readTime(r)
  }
}

/** One op of a list. Throws AssertionError for one no decoder accepts. */
export function writeOp(w: ByteWriter, op: Op): void {
  w.u8(TYPE[op.type])
  switch (op.type) {
    case 'create':
    case 'link':
    case 'unlink':
    case 'rmdir':
    case 'rename':
      writeNamespaceOp(w, op)
      break
    case 'setattr':
      writeSetAttr(w, op)
      break
    case 'truncate':
      w.u56(op.ino)
      assert(op.size <= FILE_SIZE_MAX, 'size out of range')
      w.uint(op.size)
      writeTime(w, op.time)
      writeOptionalMode(w, op.mode)
      break
    case 'write':
      w.u56(op.ino)
      w.uint(op.offset)
      assert(op.slices.length >= 1 && op.slices.length <= WRITE_SLICES_MAX, 'slice count')
      w.uint(op.slices.length)
      for (const slice of op.slices) writeSlice(w, slice)
      writeTime(w, op.time)
      writeOptionalMode(w, op.mode)
      break
    case 'punch':
      w.u56(op.ino)
      w.uint(op.offset)
      w.uint(op.length)
      w.u8(op.extend ? 1 : 0)
      writeTime(w, op.time)
      break
    case 'clone':
      w.u56(op.ino)
      w.uint(op.offset)
      w.u56(op.source)
      w.uint(op.sourceOffset)
      w.uint(op.length)
      writeTime(w, op.time)
      writeOptionalMode(w, op.mode)
      break
    case 'tmpfile':
      w.u56(op.ino)
      writePermissions(w, op.mode)
      w.u32(op.uid)
      w.u32(op.gid)
      writeTime(w, op.time)
      break
    case 'setxattr':
      w.u56(op.ino)
      w.bytes(op.name)
      w.bytes(op.value)
      writeTime(w, op.time)
      break
    case 'removexattr':
      w.u56(op.ino)
      w.bytes(op.name)
      writeTime(w, op.time)
      break
    case 'reap':
      w.u56(op.ino)
      break
    default:
      unreachable(op)
  }
}

type NamespaceOp = Extract<Op, { type: 'create' | 'link' | 'unlink' | 'rmdir' | 'rename' }>

function writeNamespaceOp(w: ByteWriter, op: NamespaceOp): void {
  switch (op.type) {
    case 'create':
      w.u56(op.parent)
      writeName(w, op.name)
      w.u56(op.ino)
      writeMode(w, op.mode)
      w.u32(op.uid)
      w.u32(op.gid)
      w.u32(op.rdev)
      w.bytes(op.target)
      w.uint(op.cookie)
      writeTime(w, op.time)
      break
    case 'link':
      w.u56(op.ino)
      w.u56(op.parent)
      writeName(w, op.name)
      w.uint(op.cookie)
      writeTime(w, op.time)
      break
    case 'unlink':
    case 'rmdir':
      w.u56(op.parent)
      writeName(w, op.name)
      w.u56(op.ino)
      writeTime(w, op.time)
      break
    case 'rename':
      w.u56(op.parent)
      writeName(w, op.name)
      w.u56(op.newParent)
      writeName(w, op.newName)
      w.u56(op.ino)
      w.u56(op.replaced)
      w.u8(op.exchange ? 1 : 0)
      w.uint(op.cookie)
      w.uint(op.exchangeCookie)
      writeTime(w, op.time)
      break
    default:
      unreachable(op)
  }
}

function readOp(r: ByteReader): Op {
  const type = r.u8()
  switch (type) {
    case TYPE.create:
      return readCreate(r)
    case TYPE.link:
      return {
        type: 'link',
        ino: readIno(r),
        parent: readIno(r),
        name: readName(r),
        cookie: r.uint(COOKIE_MAX),
        time: readTime(r)
      }
    case TYPE.unlink:
      return { type: 'unlink', ...readRemoval(r) }
    case TYPE.rmdir:
      return { type: 'rmdir', ...readRemoval(r) }
    case TYPE.rename:
      return readRename(r)
    case TYPE.setattr:
      return readSetAttr(r)
    case TYPE.truncate:
      return {
        type: 'truncate',
        ino: readIno(r),
        size: r.uint(FILE_SIZE_MAX),
        time: readTime(r),
        ...readOptionalMode(r)
      }
    case TYPE.write:
      return readWrite(r)
    case TYPE.punch:
      return readPunch(r)
    case TYPE.clone:
      return readClone(r)
    case TYPE.tmpfile:
      return {
        type: 'tmpfile',
        ino: readIno(r),
        mode: r.uint(PERMISSIONS_MAX),
        uid: r.u32(),
        gid: r.u32(),
        time: readTime(r)
      }
    case TYPE.setxattr:
      return {
        type: 'setxattr',
        ino: readIno(r),
        name: readXattrName(r),
        value: r.bytes(XATTR_VALUE_MAX_BYTES),
        time: readTime(r)
      }
    case TYPE.removexattr:
      return { type: 'removexattr', ino: readIno(r), name: readXattrName(r), time: readTime(r) }
    case TYPE.reap:
      return { type: 'reap', ino: readIno(r) }
    default:
      return r.fail(`unknown op type ${type}`)
  }
}

function readXattrName(r: ByteReader): Buffer {
  const name = r.bytes(XATTR_NAME_MAX_BYTES)
  if (name.length === 0 || name.includes(0)) r.fail('not an attribute name')
  return name
}

function readRemoval(r: ByteReader): { parent: Ino; name: Buffer; ino: Ino; time: TimeSpec } {
  return { parent: readIno(r), name: readName(r), ino: readIno(r), time: readTime(r) }
}

function readCreate(r: ByteReader): Op {
  const op: Op = {
    type: 'create',
    parent: readIno(r),
    name: readName(r),
    ino: readIno(r),
    mode: readMode(r),
    uid: r.u32(),
    gid: r.u32(),
    rdev: r.u32(),
    target: r.bytes(SYMLINK_MAX_BYTES),
    cookie: r.uint(COOKIE_MAX),
    time: readTime(r)
  }
  if (((op.mode & S_IFMT) === S_IFLNK) !== op.target.length > 0) r.fail('target and type differ')
  return op
}

function readRename(r: ByteReader): Op {
  return {
    type: 'rename',
    parent: readIno(r),
    name: readName(r),
    newParent: readIno(r),
    newName: readName(r),
    ino: readIno(r),
    replaced: r.u56() as Ino,
    exchange: readFlag(r),
    cookie: r.uint(COOKIE_MAX),
    exchangeCookie: r.uint(COOKIE_MAX),
    time: readTime(r)
  }
}

function readWrite(r: ByteReader): Op {
  const ino = readIno(r)
  const offset = r.uint(FILE_SIZE_MAX)
  const count = r.uint(WRITE_SLICES_MAX)
  if (count === 0) r.fail('write without slices')
  const slices: Slice[] = []
  let end = offset
  for (let i = 0; i < count; i++) {
    const slice = readSlice(r)
    slices.push(slice)
    end += slice.length
  }
  if (end > FILE_SIZE_MAX) r.fail('write beyond the largest file size')
  const time = readTime(r)
  const { mode } = readOptionalMode(r)
  if (mode === undefined) return { type: 'write', ino, offset, slices, time }
  return { type: 'write', ino, offset, slices, time, mode }
}

function readPunch(r: ByteReader): Op {
  const ino = readIno(r)
  const offset = r.uint(FILE_SIZE_MAX)
  const length = r.uint(FILE_SIZE_MAX)
  if (length === 0 || offset + length > FILE_SIZE_MAX) r.fail('punch out of range')
  return { type: 'punch', ino, offset, length, extend: readFlag(r), time: readTime(r) }
}

function readClone(r: ByteReader): Op {
  const ino = readIno(r)
  const offset = r.uint(FILE_SIZE_MAX)
  const source = readIno(r)
  const sourceOffset = r.uint(FILE_SIZE_MAX)
  const length = r.uint(FILE_SIZE_MAX)
  if (length === 0 || Math.max(offset, sourceOffset) + length > FILE_SIZE_MAX) {
    r.fail('clone out of range')
  }
  if (ino === source && Math.abs(offset - sourceOffset) < length) r.fail('clone onto itself')
  const time = readTime(r)
  return {
    type: 'clone',
    ino,
    offset,
    source,
    sourceOffset,
    length,
    time,
    ...readOptionalMode(r)
  }
}
