/**
 * The filesystem of one member: POSIX semantics over the replicated state. Each operation is a
 * function in `ops/`; this class gives them their shared parts and the outside one face. Beside
 * the kernel's operations it has what the replication asks for: RULES 27 (orphans), 4 and 5
 * (poison).
 */
import type { Attr } from './attr.ts'
import type {
  AcceptEntry,
  Awaitable,
  CopyRequest,
  FilesystemApi,
  HandleId,
  LockInTheWay,
  RenameFlags,
  RequestContext,
  SetAttrRequest,
  StatFs
} from './filesystem-api.ts'
import { LockedSections } from './locked-sections.ts'
import { OpenFiles } from './open-files.ts'
import { setattr } from './ops/attr-ops.ts'
import { copyRange } from './ops/copy-ops.ts'
import type { Core, FilesystemComponents } from './ops/core.ts'
import { create, link, mkdir, mknod, symlink, tmpfile } from './ops/create-ops.ts'
import { read, write } from './ops/data-ops.ts'
import { readdir } from './ops/dir-ops.ts'
import { flush, fsync, open, opendir, release } from './ops/handle-ops.ts'
import { dropLocks, getlk, setlk } from './ops/lock-ops.ts'
import { getattr, lookup, readlink, statfs } from './ops/read-ops.ts'
import { rmdir, unlink } from './ops/remove-ops.ts'
import { rename } from './ops/rename-ops.ts'
import { fallocate, lseek } from './ops/space-ops.ts'
import { getxattr, listxattr, removexattr, setxattr } from './ops/xattr-ops.ts'
import type { LockRequest, LockRow, LostLock } from './ports/lock-service.ts'
import type { Ino, MemberId } from './primitives.ts'

export type { FilesystemComponents } from './ops/core.ts'

export interface FilesystemOptions {
  /** Most links of an inode, for directories 2 + subdirectories; default 1,000,000. */
  readonly linkMax?: number
  /** This member; without it F_GETLK never names a process. */
  readonly member?: MemberId
  /** Handles of an earlier life of this member, which stay open; default none. */
  readonly openFiles?: OpenFiles
}

const DEFAULT_LINK_MAX = 1_000_000

export class Filesystem implements FilesystemApi {
  readonly #core: Core

  constructor(components: FilesystemComponents, options: FilesystemOptions = {}) {
    this.#core = {
      ...components,
      member: options.member,
      openFiles: options.openFiles ?? new OpenFiles(),
      sections: new LockedSections(),
      linkMax: options.linkMax ?? DEFAULT_LINK_MAX
    }
  }

  lookup(ctx: RequestContext, parent: Ino, name: Uint8Array): Awaitable<Attr | undefined> {
    return lookup(this.#core, ctx, parent, name)
  }

  getattr(ctx: RequestContext, ino: Ino): Awaitable<Attr> {
    return getattr(this.#core, ctx, ino)
  }

  setattr(ctx: RequestContext, ino: Ino, request: SetAttrRequest): Awaitable<Attr> {
    return setattr(this.#core, ctx, ino, request)
  }

  readlink(ctx: RequestContext, ino: Ino): Awaitable<Uint8Array> {
    return readlink(this.#core, ctx, ino)
  }

  mknod(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    rdev: number
  ): Awaitable<Attr> {
    return mknod(this.#core, ctx, parent, name, mode, rdev)
  }

  mkdir(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number): Awaitable<Attr> {
    return mkdir(this.#core, ctx, parent, name, mode)
  }

  symlink(ctx: RequestContext, parent: Ino, name: Uint8Array, target: Uint8Array): Awaitable<Attr> {
    return symlink(this.#core, ctx, parent, name, target)
  }

  unlink(ctx: RequestContext, parent: Ino, name: Uint8Array): Awaitable<void> {
    return unlink(this.#core, ctx, parent, name)
  }

  rmdir(ctx: RequestContext, parent: Ino, name: Uint8Array): Awaitable<void> {
    return rmdir(this.#core, ctx, parent, name)
  }

  rename(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: RenameFlags
  ): Awaitable<void> {
    return rename(this.#core, ctx, { parent, name, newParent, newName, flags })
  }

  link(ctx: RequestContext, ino: Ino, newParent: Ino, newName: Uint8Array): Awaitable<Attr> {
    return link(this.#core, ctx, ino, newParent, newName)
  }

  open(ctx: RequestContext, ino: Ino, flags: number): Awaitable<HandleId> {
    return open(this.#core, ctx, ino, flags)
  }

  create(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    flags: number
  ): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }> {
    return create(this.#core, ctx, parent, name, mode, flags)
  }

  tmpfile(
    ctx: RequestContext,
    directory: Ino,
    mode: number,
    flags: number
  ): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }> {
    return tmpfile(this.#core, ctx, directory, mode, flags)
  }

  read(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    length: number
  ): Awaitable<Uint8Array> {
    return read(this.#core, ctx, ino, handle, { offset, length })
  }

  write(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    data: Uint8Array,
    options: { readonly append: boolean; readonly killSuidGid: boolean }
  ): Awaitable<number> {
    return write(this.#core, ctx, ino, handle, offset, data, options)
  }

  getlk(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    request: LockRequest
  ): Awaitable<LockInTheWay | undefined> {
    return getlk(this.#core, ctx, ino, handle, request)
  }

  setlk(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    request: LockRequest,
    options: { readonly wait: boolean }
  ): Awaitable<void> {
    return setlk(this.#core, ctx, ino, handle, request, options)
  }

  dropLocks(ino: Ino, lockOwner: bigint): void {
    dropLocks(this.#core, ino, lockOwner)
  }

  flush(_ctx: RequestContext, ino: Ino, handle: HandleId, lockOwner: bigint): Awaitable<void> {
    return flush(this.#core, ino, handle, lockOwner)
  }

  fsync(_ctx: RequestContext, ino: Ino, handle: HandleId, _dataOnly: boolean): Awaitable<void> {
    return fsync(this.#core, ino, handle)
  }

  release(ino: Ino, handle: HandleId): Awaitable<void> {
    return release(this.#core, ino, handle)
  }

  opendir(ctx: RequestContext, ino: Ino): Awaitable<HandleId> {
    return opendir(this.#core, ctx, ino)
  }

  readdir(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    cookie: number,
    accept: AcceptEntry
  ): Awaitable<void> {
    return readdir(this.#core, ctx, ino, handle, { cookie, accept })
  }

  fsyncdir(_ctx: RequestContext, ino: Ino, handle: HandleId): Awaitable<void> {
    return fsync(this.#core, ino, handle)
  }

  releasedir(ino: Ino, handle: HandleId): Awaitable<void> {
    return release(this.#core, ino, handle)
  }

  statfs(_ctx: RequestContext): StatFs {
    return statfs(this.#core)
  }

  setxattr(
    ctx: RequestContext,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    flags: number,
    killSetGid = false
  ): Awaitable<void> {
    return setxattr(this.#core, ctx, ino, { name, value, flags, killSetGid })
  }

  getxattr(ctx: RequestContext, ino: Ino, name: Uint8Array): Awaitable<Uint8Array | undefined> {
    return getxattr(this.#core, ctx, ino, name)
  }

  listxattr(ctx: RequestContext, ino: Ino): Awaitable<readonly Uint8Array[]> {
    return listxattr(this.#core, ctx, ino)
  }

  removexattr(ctx: RequestContext, ino: Ino, name: Uint8Array): Awaitable<void> {
    return removexattr(this.#core, ctx, ino, name)
  }

  fallocate(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    mode: number,
    offset: number,
    length: number
  ): Awaitable<void> {
    return fallocate(this.#core, ctx, ino, handle, { mode, offset, length })
  }

  copyRange(ctx: RequestContext, request: CopyRequest): Awaitable<number> {
    return copyRange(this.#core, ctx, request)
  }

  lseek(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    whence: number
  ): Awaitable<number> {
    return lseek(this.#core, ctx, ino, handle, offset, whence)
  }

  /**
   * Those of `inos` that are not open on this member. The answer is a promise: from now on every
   * operation on one of them here answers ESTALE, so none changes it any more.
   */
  closedForGood(inos: readonly Ino[]): Ino[] {
    return this.#core.openFiles.closedForGood(inos)
  }

  /** Inodes with at least one open handle here. */
  openInodes(): Ino[] {
    return this.#core.openFiles.openInodes()
  }

  get openHandleCount(): number {
    return this.#core.openFiles.handleCount
  }

  /** Forgets `closedForGood` of inodes whose reap op was applied, whoever logged it. */
  forgetReaped(inos: readonly Ino[]): void {
    for (const ino of inos) this.#core.openFiles.forget(ino)
  }

  /** Every handle now open on the inode answers EIO until it is closed. */
  poisonInode(ino: Ino): void {
    this.#core.openFiles.poisonInode(ino)
  }

  /** Locks held and waited for, as far as this member knows. */
  lockRows(): readonly LockRow[] {
    return this.#core.locks.list()
  }

  /** Locks that are gone with the incarnation: their handles answer EIO (RULES 5). */
  loseLocks(lost: readonly LostLock[]): void {
    for (const lock of lost) this.#core.openFiles.poisonLock(lock)
  }

  poisonHandle(handle: HandleId): void {
    this.#core.openFiles.poisonHandle(handle)
  }
}
