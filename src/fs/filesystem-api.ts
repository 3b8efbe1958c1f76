/**
 * The filesystem as the FUSE layer sees it: one method for each kernel operation, in terms of
 * inode numbers (the kernel's nodeid is our ino) and handles. Every method may wait for tokens; one
 * that has to wait for nobody is done when it returns. It throws, or rejects with, FsError (errno for
 * the process) only; anything else is an internal error.
 * Names, values and data passed in stay unchanged until it is done.
 */

import type { Attr, TimeSpec } from './attr.ts'
import type { Awaitable } from './awaitable.ts'
import type { LockRequest, LockType } from './ports/lock-service.ts'
import type { Ino } from './primitives.ts'

export type { Awaitable } from './awaitable.ts'

export interface RequestContext {
  readonly uid: number
  readonly gid: number
  readonly pid: number
  /** Of the process, for what it makes; 0 when absent. */
  readonly umask?: number
  /** Aborted when the kernel interrupts the request and the wait may end. */
  readonly signal?: AbortSignal
  /** The owner of the record locks of whoever reads or writes, where that is known. */
  readonly lockOwner?: bigint | undefined
  /**
   * Room for the bytes of the answer, used again when that was given; where it is absent, and for
   * whatever else is read meanwhile, fresh buffers do.
   */
  readonly answerRoom?: (sizeBytes: number) => Buffer
  /** Something may still write to that room when the answer was given: it is not used again. */
  readonly keepAnswerRoom?: () => void
  /** What is read is kept by who asked, in the kernel's page cache: nothing below needs to keep it too. */
  readonly keepsBytes?: boolean
  /** Set by an operation whose answer is true now and must not be cached, not even for a moment. */
  passing?: boolean
  /** The filesystem that the operation was given to last, where there are several behind one face. */
  servedBy?: FilesystemApi | undefined
}

/** An open file or directory; numbers are never reused while the daemon lives. */
export type HandleId = number & { readonly __handle: true }

export interface DirEntry {
  readonly ino: Ino
  readonly name: Uint8Array
  /** Type bits of mode. */
  readonly type: number
  /** Position after this entry: pass it to continue. */
  readonly cookie: number
}

/**
 * Takes one entry of a listing, or returns false: that entry is then not consumed, and the last. The
 * attributes of an inode can be had from `attributes`, during the call, where nobody has to be asked
 * or waited for.
 */
export type AcceptEntry = (entry: DirEntry, attributes: (ino: Ino) => Attr | undefined) => boolean

export interface SetAttrRequest {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  /** 'now' = the daemon's clock. */
  readonly atime?: TimeSpec | 'now'
  readonly mtime?: TimeSpec | 'now'
  readonly ctime?: TimeSpec
  /** The open handle the request came through, if any (ftruncate). */
  readonly handle?: HandleId
  /** Kernel asks to clear set-id bits (FATTR_KILL_SUIDGID). */
  readonly killSuidGid?: boolean
}

export interface StatFs {
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly blocksAvailable: number
  readonly files: number
  readonly filesFree: number
  readonly nameMax: number
}

export interface RenameFlags {
  readonly noReplace: boolean
  readonly exchange: boolean
  /** Leaves a character device 0:0 at the old name, as overlay filesystems ask for. */
  readonly whiteout?: boolean
}

/** Bytes of one open file to another, or to another place of the same. */
export interface CopyRequest {
  readonly source: Ino
  readonly sourceHandle: HandleId
  readonly sourceOffset: number
  readonly ino: Ino
  readonly handle: HandleId
  readonly offset: number
  readonly length: number
}

/** A lock that keeps another from being granted, as F_GETLK tells it. */
export interface LockInTheWay {
  readonly type: LockType
  /** First and last byte. */
  readonly start: bigint
  readonly end: bigint
  /** 0 when its process is on another member: its number means somebody else here. */
  readonly pid: number
}

export interface FilesystemApi {
  /**
   * Undefined where there is no such name: each file that is made is looked for before, and an error
   * costs more than the rest of the answer.
   */
  lookup(ctx: RequestContext, parent: Ino, name: Uint8Array): Awaitable<Attr | undefined>
  getattr(ctx: RequestContext, ino: Ino): Awaitable<Attr>
  setattr(ctx: RequestContext, ino: Ino, request: SetAttrRequest): Awaitable<Attr>
  readlink(ctx: RequestContext, ino: Ino): Awaitable<Uint8Array>
  /**
   * Regular files, FIFOs, sockets and devices. Of the `mode` of whatever is made, the directory's
   * default access control list or else the caller's umask takes bits away.
   */
  mknod(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    rdev: number
  ): Awaitable<Attr>
  mkdir(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number): Awaitable<Attr>
  symlink(ctx: RequestContext, parent: Ino, name: Uint8Array, target: Uint8Array): Awaitable<Attr>
  unlink(ctx: RequestContext, parent: Ino, name: Uint8Array): Awaitable<void>
  rmdir(ctx: RequestContext, parent: Ino, name: Uint8Array): Awaitable<void>
  rename(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: RenameFlags
  ): Awaitable<void>
  link(ctx: RequestContext, ino: Ino, newParent: Ino, newName: Uint8Array): Awaitable<Attr>

  /** `flags` are open(2) flags as the kernel passes them. ESTALE for an inode that is gone. */
  open(ctx: RequestContext, ino: Ino, flags: number): Awaitable<HandleId>
  /**
   * A name that exists answers EEXIST (with O_EXCL) or ESTALE: the kernel skips the permission
   * check of a file it takes for new, so it has to look the name up again.
   */
  create(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    flags: number
  ): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }>
  /**
   * A regular file without a name, opened (O_TMPFILE): gone at its last close unless `link` gives
   * it a name, which O_EXCL in `flags` forbids (ENOENT).
   */
  tmpfile(
    ctx: RequestContext,
    directory: Ino,
    mode: number,
    flags: number
  ): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }>
  /** Up to `length` bytes at `offset`, fewer only at end of file. */
  read(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    length: number
  ): Awaitable<Uint8Array>
  /**
   * Writes all of `data` or throws. `append`: the file was opened or is now O_APPEND, so the offset
   * is the end of file at the moment the token is held. `data` may be reused when it settles.
   * `killSuidGid`: FUSE_WRITE_KILL_SUIDGID.
   */
  write(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    data: Uint8Array,
    options: { readonly append: boolean; readonly killSuidGid: boolean }
  ): Awaitable<number>
  /**
   * The first lock of another owner, on any member, that keeps `request` (no unlock) from being
   * granted. EIO on a poisoned handle.
   */
  getlk(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    request: LockRequest
  ): Awaitable<LockInTheWay | undefined>
  /**
   * Sets or clears a lock; when it resolves every member respects that. With `wait` it waits until
   * the lock is granted or `ctx.signal` aborts (EINTR). EAGAIN: another owner's lock conflicts and
   * `wait` is false; EDEADLK: the wait would never end; EINVAL: no such range; ENOLCK: too many
   * locks or waits; EIO: the handle lost locks or writes at an epoch change, or this member may
   * not serve.
   */
  setlk(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    request: LockRequest,
    options: { readonly wait: boolean }
  ): Awaitable<void>
  /**
   * Releases the record locks of one owner on an inode. `flush` does it too; this is for a close
   * that could not be served, and needs no right to serve. Never throws FsError.
   */
  dropLocks(ino: Ino, lockOwner: bigint): void
  /** Called at each close(2): releases the record locks `lockOwner` has on the inode. */
  flush(ctx: RequestContext, ino: Ino, handle: HandleId, lockOwner: bigint): Awaitable<void>
  /** Resolves when all this member has applied is durable on the in-sync set. */
  fsync(ctx: RequestContext, ino: Ino, handle: HandleId, dataOnly: boolean): Awaitable<void>
  /** The last close of an open file: releases the locks taken through it and never unlocked. */
  release(ino: Ino, handle: HandleId): Awaitable<void>

  opendir(ctx: RequestContext, ino: Ino): Awaitable<HandleId>
  /**
   * Entries after `cookie` (0 = from the start, "." and ".." included) until `accept` returns
   * false. Entries that exist throughout appear exactly once.
   */
  readdir(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    cookie: number,
    accept: AcceptEntry
  ): Awaitable<void>
  fsyncdir(ctx: RequestContext, ino: Ino, handle: HandleId): Awaitable<void>
  releasedir(ino: Ino, handle: HandleId): Awaitable<void>

  statfs(ctx: RequestContext): Awaitable<StatFs>
  /**
   * `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. `killSetGid`: an access control list that is set
   * clears set-gid (FUSE_SETXATTR_ACL_KILL_SGID).
   */
  setxattr(
    ctx: RequestContext,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    flags: number,
    killSetGid?: boolean
  ): Awaitable<void>
  /**
   * Undefined where there is none: `ls -l` asks each file for its access control list.
   */
  getxattr(ctx: RequestContext, ino: Ino, name: Uint8Array): Awaitable<Uint8Array | undefined>
  listxattr(ctx: RequestContext, ino: Ino): Awaitable<readonly Uint8Array[]>
  removexattr(ctx: RequestContext, ino: Ino, name: Uint8Array): Awaitable<void>
  /** `mode` bits of fallocate(2): KEEP_SIZE 1, PUNCH_HOLE 2, ZERO_RANGE 16; others EOPNOTSUPP. */
  fallocate(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    mode: number,
    offset: number,
    length: number
  ): Awaitable<void>
  /**
   * Makes the target range refer to the bytes of the source range. Answers how many bytes that
   * were: fewer than asked for at the source's end of file, and when there are too many extents
   * for one op. EINVAL when the ranges are of one file and overlap.
   */
  copyRange(ctx: RequestContext, request: CopyRequest): Awaitable<number>
  /** SEEK_DATA (3) or SEEK_HOLE (4). */
  lseek(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    whence: number
  ): Awaitable<number>
}
