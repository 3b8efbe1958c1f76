/**
 * The right to serve and to answer. While this member is not live, or cannot prove its lease,
 * operations wait; after the isolation limit they end with EIO. An answer that is ready when the
 * lease cannot be proven waits as well: it is given only under a valid lease (DESIGN §5).
 */
import { Errno, FsError } from '../../fs/errno.ts'
import type {
  DirEntry,
  FilesystemApi,
  HandleId,
  RenameFlags,
  RequestContext,
  SetAttrRequest
} from '../../fs/filesystem-api.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { LockRequest } from '../../fs/ports/lock-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { RequestGate } from '../fuse/gate.ts'

export interface ServingComponents {
  readonly clock: Clock
  /** The filesystem of the live incarnation; undefined while there is none. */
  readonly current: () => FilesystemApi | undefined
  /** The lease can be proven now. */
  readonly mayAnswer: () => boolean
}

export interface ServingOptions {
  readonly isolationMs: number
}

const RECHECK_MS = 20

export class Serving implements RequestGate {
  readonly #components: ServingComponents
  readonly #options: ServingOptions
  readonly #waiters = new Set<() => void>()
  #timer: Timer | undefined
  #stopped = false

  constructor(components: ServingComponents, options: ServingOptions) {
    this.#components = components
    this.#options = options
  }

  beforeServe(ctx: RequestContext): void | Promise<void> {
    if (this.#isOpen()) return
    return this.#untilOpen(ctx.signal)
  }

  beforeReply(): number {
    return this.#components.mayAnswer() ? 0 : Errno.EIO
  }

  /** Something changed: who waits looks again. */
  wake(): void {
    for (const look of [...this.#waiters]) look()
  }

  /** Whoever waits gets EIO, now and from now on. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.wake()
  }

  /** The filesystem of the live incarnation, if there is one. */
  current(): FilesystemApi | undefined {
    return this.#components.current()
  }

  /** Runs an operation on the live incarnation; its result is given under a valid lease only. */
  async run<T>(
    signal: AbortSignal | undefined,
    operation: (fs: FilesystemApi) => Promise<T>
  ): Promise<T> {
    const { current, mayAnswer } = this.#components
    const fs = current()
    if (!fs) throw new FsError('EIO', 'this member does not serve now')
    const result = await operation(fs)
    if (!mayAnswer()) {
      await this.#untilOpen(signal)
      if (current() !== fs) throw new FsError('EIO', 'the lease was lost before the answer')
    }
    return result
  }

  #isOpen(): boolean {
    return this.#components.current() !== undefined && this.#components.mayAnswer()
  }

  #untilOpen(signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#components
    const endMs = clock.monotonicMs() + this.#options.isolationMs
    return new Promise((resolve, reject) => {
      const settle = (error: unknown): void => {
        this.#waiters.delete(look)
        signal?.removeEventListener('abort', look)
        if (error === undefined) resolve()
        else reject(error)
      }
      const look = (): void => {
        if (signal?.aborted) settle(signal.reason)
        else if (this.#stopped) settle(new FsError('EIO', 'the mount is being taken down'))
        else if (this.#isOpen()) settle(undefined)
        else if (clock.monotonicMs() >= endMs) settle(new FsError('EIO', 'isolated for too long'))
      }
      this.#waiters.add(look)
      signal?.addEventListener('abort', look)
      look()
      this.#recheck()
    })
  }

  #recheck(): void {
    if (this.#timer || this.#stopped) return
    this.#timer = this.#components.clock.setTimer(RECHECK_MS, () => {
      this.#timer = undefined
      this.wake()
      if (this.#waiters.size > 0) this.#recheck()
    })
  }
}

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
    return this.#serving.run(ctx.signal, (fs) => fs.lookup(ctx, parent, name))
  }

  getattr(ctx: RequestContext, ino: Ino) {
    return this.#serving.run(ctx.signal, (fs) => fs.getattr(ctx, ino))
  }

  setattr(ctx: RequestContext, ino: Ino, request: SetAttrRequest) {
    return this.#serving.run(ctx.signal, (fs) => fs.setattr(ctx, ino, request))
  }

  readlink(ctx: RequestContext, ino: Ino) {
    return this.#serving.run(ctx.signal, (fs) => fs.readlink(ctx, ino))
  }

  mknod(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number, rdev: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.mknod(ctx, parent, name, mode, rdev))
  }

  mkdir(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.mkdir(ctx, parent, name, mode))
  }

  symlink(ctx: RequestContext, parent: Ino, name: Uint8Array, target: Uint8Array) {
    return this.#serving.run(ctx.signal, (fs) => fs.symlink(ctx, parent, name, target))
  }

  unlink(ctx: RequestContext, parent: Ino, name: Uint8Array) {
    return this.#serving.run(ctx.signal, (fs) => fs.unlink(ctx, parent, name))
  }

  rmdir(ctx: RequestContext, parent: Ino, name: Uint8Array) {
    return this.#serving.run(ctx.signal, (fs) => fs.rmdir(ctx, parent, name))
  }

  rename(
    ctx: RequestContext,
    parent: Ino,
    name: Uint8Array,
    newParent: Ino,
    newName: Uint8Array,
    flags: RenameFlags
  ) {
    return this.#serving.run(ctx.signal, (fs) =>
      fs.rename(ctx, parent, name, newParent, newName, flags)
    )
  }

  link(ctx: RequestContext, ino: Ino, newParent: Ino, newName: Uint8Array) {
    return this.#serving.run(ctx.signal, (fs) => fs.link(ctx, ino, newParent, newName))
  }

  open(ctx: RequestContext, ino: Ino, flags: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.open(ctx, ino, flags))
  }

  create(ctx: RequestContext, parent: Ino, name: Uint8Array, mode: number, flags: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.create(ctx, parent, name, mode, flags))
  }

  read(ctx: RequestContext, ino: Ino, handle: HandleId, offset: number, length: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.read(ctx, ino, handle, offset, length))
  }

  write(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    offset: number,
    data: Uint8Array,
    options: { readonly append: boolean; readonly killSuidGid: boolean }
  ) {
    return this.#serving.run(ctx.signal, (fs) => fs.write(ctx, ino, handle, offset, data, options))
  }

  getlk(ctx: RequestContext, ino: Ino, handle: HandleId, request: LockRequest) {
    return this.#serving.run(ctx.signal, (fs) => fs.getlk(ctx, ino, handle, request))
  }

  setlk(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    request: LockRequest,
    options: { readonly wait: boolean }
  ) {
    return this.#serving.run(ctx.signal, (fs) => fs.setlk(ctx, ino, handle, request, options))
  }

  /** Without a live incarnation there are no locks: they ended with it. */
  dropLocks(ino: Ino, lockOwner: bigint): void {
    this.#serving.current()?.dropLocks(ino, lockOwner)
  }

  flush(ctx: RequestContext, ino: Ino, handle: HandleId, lockOwner: bigint) {
    return this.#serving.run(ctx.signal, (fs) => fs.flush(ctx, ino, handle, lockOwner))
  }

  fsync(ctx: RequestContext, ino: Ino, handle: HandleId, dataOnly: boolean) {
    return this.#serving.run(ctx.signal, (fs) => fs.fsync(ctx, ino, handle, dataOnly))
  }

  release(ino: Ino, handle: HandleId) {
    return this.#release(ino, handle)
  }

  opendir(ctx: RequestContext, ino: Ino) {
    return this.#serving.run(ctx.signal, (fs) => fs.opendir(ctx, ino))
  }

  readdir(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    cookie: number,
    options: { readonly plus: boolean },
    accept: (entry: DirEntry) => boolean
  ) {
    return this.#serving.run(ctx.signal, (fs) =>
      fs.readdir(ctx, ino, handle, cookie, options, accept)
    )
  }

  fsyncdir(ctx: RequestContext, ino: Ino, handle: HandleId) {
    return this.#serving.run(ctx.signal, (fs) => fs.fsyncdir(ctx, ino, handle))
  }

  releasedir(ino: Ino, handle: HandleId) {
    return this.#release(ino, handle)
  }

  statfs(ctx: RequestContext) {
    return this.#serving.run(ctx.signal, (fs) => fs.statfs(ctx))
  }

  setxattr(ctx: RequestContext, ino: Ino, name: Uint8Array, value: Uint8Array, flags: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.setxattr(ctx, ino, name, value, flags))
  }

  getxattr(ctx: RequestContext, ino: Ino, name: Uint8Array) {
    return this.#serving.run(ctx.signal, (fs) => fs.getxattr(ctx, ino, name))
  }

  listxattr(ctx: RequestContext, ino: Ino) {
    return this.#serving.run(ctx.signal, (fs) => fs.listxattr(ctx, ino))
  }

  removexattr(ctx: RequestContext, ino: Ino, name: Uint8Array) {
    return this.#serving.run(ctx.signal, (fs) => fs.removexattr(ctx, ino, name))
  }

  fallocate(
    ctx: RequestContext,
    ino: Ino,
    handle: HandleId,
    mode: number,
    offset: number,
    length: number
  ) {
    return this.#serving.run(ctx.signal, (fs) =>
      fs.fallocate(ctx, ino, handle, mode, offset, length)
    )
  }

  lseek(ctx: RequestContext, ino: Ino, handle: HandleId, offset: number, whence: number) {
    return this.#serving.run(ctx.signal, (fs) => fs.lseek(ctx, ino, handle, offset, whence))
  }
}
