/**
 * The right to serve and to answer. While this member is not live, or cannot prove its lease,
 * operations wait; after the isolation limit they end with EIO. An answer that is ready when the
 * lease cannot be proven waits as well: it is given only under a valid lease (DESIGN §5).
 *
 * That is `on_isolation=block`. With `error` they end with EIO as soon as the member counts as
 * isolated: when it could not serve for a moment longer than a change of epoch takes. With
 * `readonly` reads then go to what was left here, and changes end with EROFS (stale-reads.ts). All of
 * it ends by itself as soon as the member may serve again.
 */
import { Errno, FsError } from '../../fs/errno.ts'
import type { Awaitable, FilesystemApi, RequestContext } from '../../fs/filesystem-api.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import { Opcode } from '../fuse/abi.ts'
import type { RequestGate } from '../fuse/gate.ts'
import type { OnIsolation } from './mount-options.ts'

export interface ServingComponents {
  readonly clock: Clock
  /** The filesystem of the live incarnation; undefined while there is none. */
  readonly current: () => FilesystemApi | undefined
  /** What can be read without any right; undefined while there is nothing worth reading. */
  readonly stale: () => FilesystemApi | undefined
  /** The lease can be proven now. */
  readonly mayAnswer: () => boolean
  /** Operations that are under way are not to wait any longer. Never called with `block`. */
  readonly onIsolated: (reason: FsError) => void
  /** A request has come. */
  readonly noteWork: () => void
}

export interface ServingOptions {
  readonly isolationMs: number
  readonly onIsolation: OnIsolation
}

const RECHECK_MS = 20
/** Not being able to serve for so long is isolation; less may be a change of epoch. */
const PATIENCE_MS = 1000
const WATCH_MS = 200

const CHANGES: ReadonlySet<number> = new Set([
  Opcode.SETATTR,
  Opcode.SYMLINK,
  Opcode.MKNOD,
  Opcode.MKDIR,
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.RENAME,
  Opcode.RENAME2,
  Opcode.LINK,
  Opcode.CREATE,
  Opcode.TMPFILE,
  Opcode.WRITE,
  Opcode.SETXATTR,
  Opcode.REMOVEXATTR,
  Opcode.FALLOCATE,
  Opcode.COPY_FILE_RANGE,
  Opcode.COPY_FILE_RANGE_64
])
/** Their answers promise something about the other members. */
const PROMISES: ReadonlySet<number> = new Set([
  Opcode.FSYNC,
  Opcode.FSYNCDIR,
  Opcode.SYNCFS,
  Opcode.GETLK,
  Opcode.SETLK,
  Opcode.SETLKW
])

/** Not that the operation was ended, or could not be done here. */
function tellsOfVolume(error: unknown): boolean {
  return error instanceof FsError && error.code !== 'EIO' && error.code !== 'EINTR'
}

function isolated(): FsError {
  return new FsError('EIO', 'isolated')
}

export class Serving implements RequestGate {
  readonly #components: ServingComponents
  readonly #waiters = new Set<() => void>()
  /** Requests that are answered without a lease: with what was left, or with an error. */
  readonly #excused = new WeakSet<RequestContext>()
  #options: ServingOptions
  #timer: Timer | undefined
  #watch: Timer | undefined
  #closedSinceMs: number | undefined
  #toldIsolated = false
  #stopped = false

  constructor(components: ServingComponents, options: ServingOptions) {
    this.#components = components
    this.#options = options
    this.configure(options)
  }

  /** Other options from now on, for waits that begin then. */
  configure(options: ServingOptions): void {
    this.#options = options
    this.#watch?.cancel()
    this.#watch = undefined
    if (options.onIsolation !== 'block') this.#keepWatch()
  }

  beforeServe(ctx: RequestContext, opcode: number): void | Promise<void> {
    this.#components.noteWork()
    if (this.#isOpen()) return
    if (!this.#isIsolated()) return this.#untilServed(ctx, opcode)
    if (!this.#excuse(ctx, opcode)) return this.#untilServed(ctx, opcode)
  }

  async untilReply(ctx: RequestContext): Promise<void> {
    const fs = ctx.servedBy
    if (fs) await this.#untilAnswerable(ctx, fs)
    else await this.#untilOpen(ctx.signal)
  }

  beforeReply(ctx: RequestContext): number {
    return this.#components.mayAnswer() || this.#excused.has(ctx) ? 0 : Errno.EIO
  }

  /** Something changed: who waits looks again. */
  wake(): void {
    for (const look of [...this.#waiters]) look()
  }

  /** Whoever waits gets EIO, now and from now on. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#watch?.cancel()
    this.wake()
  }

  /** The filesystem of the live incarnation, if there is one. */
  current(): FilesystemApi | undefined {
    return this.#components.current()
  }

  /**
   * Runs an operation on the live incarnation; its result is given under a valid lease only, else
   * `discard` gets it.
   */
  run<T>(
    ctx: RequestContext,
    operation: (fs: FilesystemApi) => Awaitable<T>,
    discard?: (result: T) => Awaitable<void>
  ): Awaitable<T> {
    const fs = this.#components.current()
    if (!fs) throw new FsError('EIO', 'this member does not serve now')
    ctx.servedBy = fs
    let result: Awaitable<T>
    try {
      result = operation(fs)
    } catch (error) {
      if (!tellsOfVolume(error) || this.#components.mayAnswer()) throw error
      result = Promise.reject(error)
    }
    const isHere = !(result instanceof Promise) && this.#components.mayAnswer()
    return isHere ? result : this.#answerable(ctx, fs, result, discard)
  }

  async #answerable<T>(
    ctx: RequestContext,
    fs: FilesystemApi,
    pending: Awaitable<T>,
    discard: ((result: T) => Awaitable<void>) | undefined
  ): Promise<T> {
    const { mayAnswer } = this.#components
    let result: T
    try {
      result = await pending
    } catch (error) {
      // That something is not there is told under the same right as that it is.
      if (tellsOfVolume(error) && !mayAnswer()) await this.#untilAnswerable(ctx, fs)
      throw error
    }
    if (mayAnswer()) return result
    try {
      await this.#untilAnswerable(ctx, fs)
    } catch (error) {
      await discard?.(result)
      throw error
    }
    return result
  }

  async #untilAnswerable(ctx: RequestContext, fs: FilesystemApi): Promise<void> {
    await this.#untilOpen(ctx.signal)
    if (this.#components.current() === fs) return
    throw new FsError('EIO', 'the lease was lost before the answer')
  }

  /** Like `run`, for what may be read of what was left here. */
  read<T>(
    ctx: RequestContext,
    operation: (fs: FilesystemApi) => Awaitable<T>,
    discard?: (result: T) => Awaitable<void>
  ): Awaitable<T> {
    if (this.#options.onIsolation === 'block') return this.run(ctx, operation, discard)
    return this.#readOrStale(ctx, operation, discard)
  }

  async #readOrStale<T>(
    ctx: RequestContext,
    operation: (fs: FilesystemApi) => Awaitable<T>,
    discard: ((result: T) => Awaitable<void>) | undefined
  ): Promise<T> {
    const { stale } = this.#components
    if (!this.#excused.has(ctx)) {
      try {
        return await this.run(ctx, operation, discard)
      } catch (error) {
        const fallsBack = this.#options.onIsolation === 'readonly' && this.#isIsolated()
        if (!fallsBack || stale() === undefined) throw error
        this.#excused.add(ctx)
      }
    }
    const fs = stale()
    if (!fs) throw isolated()
    return await operation(fs)
  }

  /** For waits on other members that no signal ends. */
  async unlessIsolated<T>(waiting: Awaitable<T>): Promise<T> {
    if (this.#options.onIsolation === 'block') return await waiting
    const end = new AbortController()
    const isolation = this.#untilIsolated(end.signal)
    try {
      return await Promise.race([waiting, isolation])
    } finally {
      end.abort()
    }
  }

  #isOpen(): boolean {
    return this.#components.current() !== undefined && this.#components.mayAnswer()
  }

  /** Never true with `block`. */
  #isIsolated(): boolean {
    if (this.#options.onIsolation === 'block') return false
    if (this.#isOpen()) {
      this.#closedSinceMs = undefined
      this.#toldIsolated = false
      return false
    }
    const nowMs = this.#components.clock.monotonicMs()
    this.#closedSinceMs ??= nowMs
    return nowMs - this.#closedSinceMs >= PATIENCE_MS
  }

  /**
   * Isolated: throws what the request is to be answered, or lets it read what was left. False:
   * there is nothing to be read yet.
   */
  #excuse(ctx: RequestContext, opcode: number): boolean {
    const readonly = this.#options.onIsolation === 'readonly'
    const changes = CHANGES.has(opcode)
    if (readonly && !changes && !PROMISES.has(opcode)) {
      if (this.#components.stale() === undefined) return false
      this.#excused.add(ctx)
      return true
    }
    this.#excused.add(ctx)
    throw readonly && changes ? new FsError('EROFS', 'isolated') : isolated()
  }

  async #untilServed(ctx: RequestContext, opcode: number): Promise<void> {
    await this.#waitUntil(ctx.signal, () => {
      return this.#isOpen() || (this.#isIsolated() && this.#excuse(ctx, opcode))
    })
  }

  async #untilOpen(signal: AbortSignal | undefined): Promise<void> {
    await this.#waitUntil(signal, () => {
      if (this.#isIsolated()) throw isolated()
      return this.#isOpen()
    })
  }

  async #untilIsolated(signal: AbortSignal): Promise<never> {
    await this.#waitUntil(
      signal,
      () => {
        if (this.#isIsolated()) throw isolated()
        return false
      },
      Number.POSITIVE_INFINITY
    )
    throw isolated()
  }

  /** Rejects with what `isDone` throws, with the signal's reason, or at the isolation limit. */
  #waitUntil(
    signal: AbortSignal | undefined,
    isDone: () => boolean,
    limitMs = this.#options.isolationMs
  ): Promise<void> {
    const { clock } = this.#components
    const endMs = clock.monotonicMs() + limitMs
    return new Promise((resolve, reject) => {
      const settle = (error: unknown): void => {
        this.#waiters.delete(look)
        signal?.removeEventListener('abort', look)
        if (error === undefined) resolve()
        else reject(error)
      }
      const look = (): void => {
        try {
          if (signal?.aborted) settle(signal.reason)
          else if (this.#stopped) settle(new FsError('EIO', 'the mount is being taken down'))
          else if (isDone()) settle(undefined)
          else if (clock.monotonicMs() >= endMs) settle(new FsError('EIO', 'isolated for too long'))
        } catch (error) {
          settle(error)
        }
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

  #keepWatch(): void {
    if (this.#stopped) return
    this.#watch = this.#components.clock.setTimer(WATCH_MS, () => this.#keepWatch())
    if (!this.#isIsolated() || this.#toldIsolated) return
    this.#toldIsolated = true
    this.#components.onIsolated(isolated())
  }
}
