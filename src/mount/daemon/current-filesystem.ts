/**
 * One face over all incarnations: each operation goes to the one that is live, or, where a mount
 * allows it, to what was left of it (serving.ts).
 */
import type {
  AcceptEntry,
  CopyRequest,
  FilesystemApi,
  HandleId,
  RenameFlags,
  RequestContext,
  SetAttrRequest
} from '../../fs/filesystem-api.ts'
import type { LockRequest } from '../../fs/ports/lock-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Serving } from './serving.ts'

/** The filesystem of whichever incarnation is live. */
export class CurrentFilesystem implements FilesystemApi {
  readonly #serving: Serving
  readonly #release: (ino: Ino, handle: HandleId) => Promise<void>

  constructor(components: {
    readonly serving: Serving
    /** Closing needs no right to serve. */
    readonly release: (ino: Ino, handle: HandleId) => Promise<void>
  }) {
    this.#serving = components.serving
    this.#release = components.release
  }

  lookup(ctx: RequestContext, parent: Ino, name: Uint8Array) {
    return this.#serving.read(ctx, (fs) => fs.lookup(ctx, parent, name))
  }

  getattr(ctx: RequestContext, ino: Ino) {
    return this.#serving.read(ctx, (fs) => fs.getattr(ctx, ino))
  }

  setattr(ctx: RequestContext, ino: Ino, request: SetAttrRequest) {
    return this.#serving.run(ctx, (fs) => fs.setattr(ctx, ino, request))
  }

  readlink(ctx: RequestContext, ino: Ino) {
    return this.#serving.read(ctx, (fs) => fs.readlink(ctx, ino))
  }

  mknod(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number, rdev: number) {
    return this.#serving.run(ctx, (fs) => fs.mknod(ctx, parent, name, mode, rdev))
  }

  mkdir(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number) {
    return this.#serving.run(ctx, (fs) => fs.mkdir(ctx, parent, name, mode))
  }

  symlink(ctx: RequestContext, parent: Ino, name: Uint8Array, target: Uint8Array) {
    return this.#serving.run(ctx, (fs) => fs.symlink(ctx, parent, name, target))
  }

  unlink(ctx: RequestContext, parent: Ino, name: Uint8Array) {
    return this.#serving.run(ctx, (fs) => fs.unlink(ctx, parent, name))
  }

  rmdir(ctx: RequestContext, parent: Ino, name: Uint8Array) {
    return this.#serving.run(ctx, (fs) => fs.rmdir(ctx, parent, name))
  }

  rename(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: RenameFlags
  ) {
    return this.#serving.run(ctx, (fs) => fs.rename(ctx, parent, name, newParent, newName, flags))
  }

  link(ctx: RequestContext, ino: Ino, newParent: Ino, newName: Uint8Array) {
    return this.#serving.run(ctx, (fs) => fs.link(ctx, ino, newParent, newName))
  }

  open(ctx: RequestContext, ino: Ino, flags: number) {
    return this.#serving.read(
      ctx,
      (fs) => fs.open(ctx, ino, flags),
      (handle) => this.#release(ino, handle)
    )
  }

  create(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number, flags: number) {
    return this.#serving.run(
      ctx,
      (fs) => fs.create(ctx, parent, name, mode, flags),
      ({ attr, handle }) => this.#release(attr.ino, handle)
    )
  }

  tmpfile(ctx: RequestContext, directory: Ino, mode: number, flags: number) {
    return this.#serving.run(
      ctx,
      (fs) => fs.tmpfile(ctx, directory, mode, flags),
      ({ attr, handle }) => this.#release(attr.ino, handle)
    )
  }

  read(ctx: RequestContext, ino: Ino, handle: HandleId, offset: number, length: number) {
    return this.#serving.read(ctx, (fs) => fs.read(ctx, ino, handle, offset, length))
  }

  write(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    data: Uint8Array,
    options: { readonly append: boolean; readonly killSuidGid: boolean }
  ) {
    return this.#serving.run(ctx, (fs) => fs.write(ctx, ino, handle, offset, data, options))
  }

  getlk(ctx: RequestContext, ino: Ino, handle: HandleId, request: LockRequest) {
    return this.#serving.run(ctx, (fs) => fs.getlk(ctx, ino, handle, request))
  }

  setlk(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    request: LockRequest,
    options: { readonly wait: boolean }
  ) {
    return this.#serving.run(ctx, (fs) => fs.setlk(ctx, ino, handle, request, options))
  }

  /** Without a live incarnation there are no locks: they ended with it. */
  dropLocks(ino: Ino, lockOwner: bigint): void {
    this.#serving.current()?.dropLocks(ino, lockOwner)
  }

  flush(ctx: RequestContext, ino: Ino, handle: HandleId, lockOwner: bigint) {
    return this.#serving.read(ctx, (fs) => fs.flush(ctx, ino, handle, lockOwner))
  }

  fsync(ctx: RequestContext, ino: Ino, handle: HandleId, dataOnly: boolean) {
    return this.#serving.run(ctx, (fs) =>
      this.#serving.unlessIsolated(fs.fsync(ctx, ino, handle, dataOnly))
    )
  }

  release(ino: Ino, handle: HandleId) {
    return this.#release(ino, handle)
  }

  opendir(ctx: RequestContext, ino: Ino) {
    return this.#serving.read(
      ctx,
      (fs) => fs.opendir(ctx, ino),
      (handle) => this.#release(ino, handle)
    )
  }

  readdir(ctx: RequestContext, ino: Ino, handle: HandleId, cookie: number, accept: AcceptEntry) {
    return this.#serving.read(ctx, (fs) => fs.readdir(ctx, ino, handle, cookie, accept))
  }

  fsyncdir(ctx: RequestContext, ino: Ino, handle: HandleId) {
    return this.#serving.run(ctx, (fs) =>
      this.#serving.unlessIsolated(fs.fsyncdir(ctx, ino, handle))
    )
  }

  releasedir(ino: Ino, handle: HandleId) {
    return this.#release(ino, handle)
  }

  statfs(ctx: RequestContext) {
    return this.#serving.read(ctx, (fs) => fs.statfs(ctx))
  }

  setxattr(
    ctx: RequestContext,
    ino: Ino,
    name: Uint8Array,
    value: Uint8Array,
    flags: number,
    killSetGid = false
  ) {
    return this.#serving.run(ctx, (fs) => fs.setxattr(ctx, ino, name, value, flags, killSetGid))
  }

  getxattr(ctx: RequestContext, ino: Ino, name: Uint8Array) {
    return this.#serving.read(ctx, (fs) => fs.getxattr(ctx, ino, name))
  }

  listxattr(ctx: RequestContext, ino: Ino) {
    return this.#serving.read(ctx, (fs) => fs.listxattr(ctx, ino))
  }

  removexattr(ctx: RequestContext, ino: Ino, name: Uint8Array) {
    return this.#serving.run(ctx, (fs) => fs.removexattr(ctx, ino, name))
  }

  fallocate(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    mode: number,
    offset: number,
    length: number
  ) {
    return this.#serving.run(ctx, (fs) => fs.fallocate(ctx, ino, handle, mode, offset, length))
  }

  copyRange(ctx: RequestContext, request: CopyRequest) {
    return this.#serving.run(ctx, (fs) => fs.copyRange(ctx, request))
  }

  lseek(ctx: RequestContext, ino: Ino, handle: HandleId, offset: number, whence: number) {
    return this.#serving.read(ctx, (fs) => fs.lseek(ctx, ino, handle, offset, whence))
  }
}
