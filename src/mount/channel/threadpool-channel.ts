/**
 * The channel without native code: a few blocking reads wait on libuv's thread pool, a reply is a
 * synchronous writev. Each waiting read holds a thread for as long as the mount is idle.
 *
 * A blocked read ends only with a request or with the end of the connection, and a process with a
 * blocked read cannot exit; so `close` aborts the connection before it closes the descriptor.
 */
import { closeSync, read, write, writevSync } from 'node:fs'
import { Errno } from '../../fs/errno.ts'
import type { FuseChannel, FuseChannelEvents } from './channel.ts'
import { ChannelError, codeOf, toChannelError } from './channel-error.ts'
import {
  type ChannelLimits,
  defaultChannelLimits,
  isWholeRequest,
  REQUEST_MAX_BYTES,
  threadShare
} from './channel-limits.ts'
import { NotifyQueue } from './notify-queue.ts'
import { RequestPool } from './request-pool.ts'

/** Reads end at once when the connection has; a busy machine notices late. */
const READS_END_MS = 5000

export interface ThreadpoolChannelComponents {
  /** /dev/fuse, mounted and blocking; the channel closes it. */
  readonly fd: number
  /** Makes the kernel give up every request of this mount, so that blocked calls return. */
  readonly abort: () => Promise<void>
}

export interface ThreadpoolChannelOptions extends Partial<ChannelLimits> {
  /** Reads that wait at the same time, each on its thread. */
  readonly reads?: number
}

export class ThreadpoolChannel implements FuseChannel {
  readonly kind = 'threadpool'
  readonly #components: ThreadpoolChannelComponents
  readonly #limits: ChannelLimits
  readonly #readsMax: number
  readonly #notifications: NotifyQueue
  readonly #pool: RequestPool
  #events: FuseChannelEvents | undefined
  #reads = 0
  #ended = false
  #closing: Promise<void> | undefined
  #onReadsOver: (() => void) | undefined

  constructor(components: ThreadpoolChannelComponents, options: ThreadpoolChannelOptions = {}) {
    this.#components = components
    this.#limits = { ...defaultChannelLimits(), ...options }
    this.#readsMax = options.reads ?? threadShare()
    this.#notifications = new NotifyQueue(
      { write: (message) => writeOnce(components.fd, message) },
      {
        concurrency: this.#limits.notifyConcurrency,
        waitingMax: this.#limits.notifyWaitingMax
      }
    )
    this.#pool = new RequestPool({
      requestMaxBytes: REQUEST_MAX_BYTES,
      budgetBytes: this.#limits.budgetBytes,
      onRoom: () => this.#fill()
    })
  }

  start(events: FuseChannelEvents): void {
    if (this.#events !== undefined) throw new Error('the channel was started twice')
    this.#events = events
    this.#fill()
  }

  /** Throws ChannelError when the kernel refuses the reply (EINVAL: it is malformed). */
  reply(parts: readonly Uint8Array[]): void {
    if (this.#closing !== undefined) return
    try {
      writevSync(this.#components.fd, parts)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw toChannelError('reply', error)
    }
  }

  notify(message: Uint8Array): Promise<boolean> {
    return this.#notifications.push(message)
  }

  notifyNow(message: Uint8Array): boolean {
    if (this.#closing !== undefined) return false
    try {
      writevSync(this.#components.fd, [message])
      return true
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false
      throw toChannelError('notify', error)
    }
  }

  /** Bytes of requests that are read and not yet released, with the read buffers. */
  get heldBytes(): number {
    return this.#pool.heldBytes
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#ended = true
    const idle = await this.#notifications.close(this.#reads > 0 ? 0 : this.#limits.closeWaitMs)
    if (this.#reads > 0 || !idle) {
      await this.#components.abort()
      const quiet = await this.#notifications.close(this.#limits.closeWaitMs)
      if (!quiet || !(await this.#readsOver(READS_END_MS))) {
        throw new ChannelError('close /dev/fuse: a blocked call does not return', Errno.ETIMEDOUT)
      }
    }
    closeSync(this.#components.fd)
  }

  #readsOver(waitMs: number): Promise<boolean> {
    if (this.#reads === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), waitMs)
      this.#onReadsOver = () => {
        clearTimeout(timer)
        resolve(true)
      }
    })
  }

  #fill(): void {
    while (!this.#ended && this.#reads < this.#readsMax) {
      const buffer = this.#pool.takeReadBuffer()
      if (buffer === undefined) return
      this.#reads++
      this.#read(buffer)
    }
  }

  #read(buffer: Buffer): void {
    read(this.#components.fd, buffer, 0, buffer.length, null, (error, sizeBytes) => {
      if (error !== null) this.#failed(buffer, error)
      else if (sizeBytes === 0) this.#stopRead(buffer, undefined)
      else this.#received(buffer, sizeBytes)
    })
  }

  #failed(buffer: Buffer, error: Error): void {
    const code = codeOf(error)
    // ENOENT: that request was aborted while it was being read.
    if (!this.#ended && (code === 'EINTR' || code === 'EAGAIN' || code === 'ENOENT')) {
      this.#read(buffer)
      return
    }
    const cause = code === 'ENODEV' ? undefined : toChannelError('read /dev/fuse', error)
    this.#stopRead(buffer, cause)
  }

  #received(buffer: Buffer, sizeBytes: number): void {
    const events = this.#events
    if (this.#ended || events === undefined) {
      this.#stopRead(buffer, undefined)
      return
    }
    if (!isWholeRequest(buffer, sizeBytes)) {
      const what = `a request of ${sizeBytes} bytes is not whole`
      this.#stopRead(buffer, new ChannelError(what, Errno.EPROTO))
      return
    }
    const { request, release, consumed } = this.#pool.accept(buffer, sizeBytes)
    if (consumed) this.#reads--
    else this.#read(buffer)
    events.onRequest(request, release)
    if (consumed) this.#fill()
  }

  #stopRead(buffer: Buffer, error: Error | undefined): void {
    this.#pool.putReadBuffer(buffer)
    this.#reads--
    if (this.#reads === 0) this.#onReadsOver?.()
    if (this.#ended) return
    this.#ended = true
    this.#events?.onClose(error)
  }
}

function writeOnce(fd: number, message: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    write(fd, message, 0, message.length, null, (error) => {
      if (error === null) resolve()
      else if (codeOf(error) === 'EINTR') resolve(writeOnce(fd, message))
      else reject(error)
    })
  })
}
