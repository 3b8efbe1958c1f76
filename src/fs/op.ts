/**
 * The vocabulary of the log: every mutation of the filesystem is one of these ops. An op carries
 * its results (inode number, times, cookie, slices), so applying it needs no clock and no choice:
 * the same ops in any order that the tokens allow give the same state on every member.
 */
import type { TimeSpec } from './attr.ts'
import type { Ino, SegmentId } from './primitives.ts'

/** A file never holds a slice longer than this; longer writes become several slices of one op. */
export const SLICE_MAX_BYTES = 128 * 1024
/** Payloads up to this ride in the journal record and the control stream. */
export const INLINE_MAX_BYTES = 64 * 1024
export const NAME_MAX_BYTES = 255
export const SYMLINK_MAX_BYTES = 4095
export const XATTR_NAME_MAX_BYTES = 255
export const XATTR_VALUE_MAX_BYTES = 65536
/** Largest file size: 2^53 - 4096, so that every offset stays a safe integer. */
export const FILE_SIZE_MAX = 2 ** 53 - 4096

/**
 * A run of bytes in a writer's segment file, whole and immutable. `crc32` (zlib's) is checked on
 * every read from disk, `sha256` (32 bytes) when the slice arrives from another member.
 */
export interface Slice {
  readonly segment: SegmentId
  readonly offset: number
  readonly length: number
  readonly crc32: number
  readonly sha256: Uint8Array
}

/** Makes a file, directory, symlink, FIFO, socket or device and its first dentry. */
export interface CreateOp {
  readonly type: 'create'
  readonly parent: Ino
  readonly name: Uint8Array
  readonly ino: Ino
  /** Type and permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  /** Symlink target; empty otherwise. */
  readonly target: Uint8Array
  /** readdir cookie of the new dentry, larger than every earlier one of the directory. */
  readonly cookie: number
  readonly time: TimeSpec
}

/** Makes a regular file without a name: an orphan until a link gives it one. */
export interface TmpfileOp {
  readonly type: 'tmpfile'
  readonly ino: Ino
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly time: TimeSpec
}

export interface LinkOp {
  readonly type: 'link'
  readonly ino: Ino
  readonly parent: Ino
  readonly name: Uint8Array
  readonly cookie: number
  readonly time: TimeSpec
}

/** Removes a dentry that is not a directory; an inode without links becomes an orphan. */
export interface UnlinkOp {
  readonly type: 'unlink'
  readonly parent: Ino
  readonly name: Uint8Array
  readonly ino: Ino
  readonly time: TimeSpec
}

/** Removes an empty directory; its inode becomes an orphan. */
export interface RmdirOp {
  readonly type: 'rmdir'
  readonly parent: Ino
  readonly name: Uint8Array
  readonly ino: Ino
  readonly time: TimeSpec
}

/** Moves a dentry; `replaced` (0 = none) loses a link; with `exchange` the two swap places. */
export interface RenameOp {
  readonly type: 'rename'
  readonly parent: Ino
  readonly name: Uint8Array
  readonly newParent: Ino
  readonly newName: Uint8Array
  readonly ino: Ino
  readonly replaced: Ino | 0
  readonly exchange: boolean
  /** Cookie of the dentry at the new place (and, with exchange, at the old one). */
  readonly cookie: number
  readonly exchangeCookie: number
  readonly time: TimeSpec
}

/** Sets the named attributes; absent ones stay. Size changes are `truncate`. */
export interface SetAttrOp {
  readonly type: 'setattr'
  readonly ino: Ino
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly atime?: TimeSpec
  readonly mtime?: TimeSpec
  readonly ctime: TimeSpec
}

/** Sets the size: cuts extents beyond it, or leaves a hole. Clears set-id bits via `mode` if given. */
export interface TruncateOp {
  readonly type: 'truncate'
  readonly ino: Ino
  readonly size: number
  readonly time: TimeSpec
  readonly mode?: number
}

/** Bytes [offset, offset + sum of slice lengths) of a file are now these slices, in order. */
export interface WriteOp {
  readonly type: 'write'
  readonly ino: Ino
  readonly offset: number
  readonly slices: readonly Slice[]
  readonly time: TimeSpec
  /** New permission bits when the write clears set-id bits. */
  readonly mode?: number
}

/** Bytes [offset, offset + length) become a hole; the size grows to cover them only with `extend`. */
export interface PunchOp {
  readonly type: 'punch'
  readonly ino: Ino
  readonly offset: number
  readonly length: number
  readonly extend: boolean
  readonly time: TimeSpec
}

/**
 * Bytes [offset, offset + length) of a file become what `source` (maybe the same file, another
 * range) holds from `sourceOffset` on, holes included, by referring to the same slices. All of it
 * lies within the source's size. Both ranges are exclusively the writer's at that moment, so every
 * member finds the same extents there.
 */
export interface CloneOp {
  readonly type: 'clone'
  readonly ino: Ino
  readonly offset: number
  readonly source: Ino
  readonly sourceOffset: number
  readonly length: number
  readonly time: TimeSpec
  /** New permission bits when the write clears set-id bits. */
  readonly mode?: number
}

export interface SetXattrOp {
  readonly type: 'setxattr'
  readonly ino: Ino
  readonly name: Uint8Array
  readonly value: Uint8Array
  readonly time: TimeSpec
}

export interface RemoveXattrOp {
  readonly type: 'removexattr'
  readonly ino: Ino
  readonly name: Uint8Array
  readonly time: TimeSpec
}

/** Removes an orphan for good: logged once, when no member has it open. */
export interface ReapOp {
  readonly type: 'reap'
  readonly ino: Ino
}

export type Op =
  | CreateOp
  | TmpfileOp
  | LinkOp
  | UnlinkOp
  | RmdirOp
  | RenameOp
  | SetAttrOp
  | TruncateOp
  | WriteOp
  | PunchOp
  | CloneOp
  | SetXattrOp
  | RemoveXattrOp
  | ReapOp
