/**
 * The default channel: requests are read on the event loop by the native addon as soon as the
 * descriptor is readable, and a reply is one writev. No thread hop on either way.
 */
import { closeSync } from 'node:fs'
import { assert } from '../../fs/assert.ts'
import { Errno } from '../../fs/errno.ts'
import { BareInodes } from './bare-inodes.ts'
import type { FuseChannel, FuseChannelEvents } from './channel.ts'
import { ChannelError } from './channel-error.ts'
import {
  type ChannelLimits,
  defaultChannelLimits,
  isKept,
  isWholeRequest,
  LENT_MAX_BYTES,
  REQUEST_MAX_BYTES
} from './channel-limits.ts'
import type { NativeAddon, NativeReader, NextBuffer, ReaderStatistics } from './load-addon.ts'
import { NotifyQueue } from './notify-queue.ts'
import { PlainHandleTable } from './plain-handles.ts'
import { ReadyAttributes } from './ready-attributes.ts'
import { RequestPool } from './request-pool.ts'
import { TurnEnd } from './turn-end.ts'

export interface NativeChannelComponents {
  readonly addon: NativeAddon
  /** /dev/fuse, mounted and non-blocking; the channel closes it. */
  readonly fd: number
  /** Makes the kernel give up every request of this mount, so that blocked calls return. */
  readonly abort: () => Promise<void>
}

export interface NativeChannelOptions extends Partial<ChannelLimits> {
  /** How long the loop stays awake after a request, in microseconds; 0 = never. */
  readonly spinUs?: number
  /**
   * How long the next request is looked out for before the loop gets its turn, in microseconds; 0 = not
   * at all. Twice what a process takes to ask again, on the machines this was measured on.
   */
  readonly lookUs?: number
  /** Requests handed over in one turn of the loop. */
  readonly batch?: number
  /** What runs behind each batch of requests. */
  readonly turnEnd?: TurnEnd
  /** Handles whose FLUSH it may answer. */
  readonly plainHandles?: PlainHandleTable
}

export class NativeChannel implements FuseChannel {
  readonly kind = 'native'
  readonly bareInodes = new BareInodes()
  readonly readyAttributes = new ReadyAttributes()
  readonly plainHandles: PlainHandleTable
  readonly #components: NativeChannelComponents
  readonly #limits: ChannelLimits
  readonly #notifications: NotifyQueue
  readonly #pool: RequestPool
  readonly #reader: NativeReader
  #events: FuseChannelEvents | undefined
  #readBuffer: Buffer | undefined
  #ended = false
  #closing: Promise<void> | undefined

  constructor(components: NativeChannelComponents, options: NativeChannelOptions = {}) {
    const { addon, fd } = components
    this.#components = components
    this.#limits = { ...defaultChannelLimits(), ...options }
    this.#notifications = new NotifyQueue(
      { write: (message) => addon.writeNotification(fd, message) },
      {
        concurrency: this.#limits.notifyConcurrency,
        waitingMax: this.#limits.notifyWaitingMax
      }
    )
    this.#pool = new RequestPool({
      requestMaxBytes: REQUEST_MAX_BYTES,
      budgetBytes: this.#limits.budgetBytes,
      onRoom: () => this.#resume()
    })
    this.plainHandles = options.plainHandles ?? new PlainHandleTable()
    const turnEnd = options.turnEnd ?? new TurnEnd()
    this.#reader = addon.readerCreate(
      fd,
      options.batch ?? 16,
      options.spinUs ?? 50,
      options.lookUs ?? 20,
      turnEnd.bytes,
      this.bareInodes.bytes,
      this.readyAttributes.bytes,
      this.plainHandles.bytes,
      (sizeBytes) => this.#received(sizeBytes),
      (errno) => this.#end(errno === 0 ? undefined : new ChannelError('read /dev/fuse', errno)),
      () => turnEnd.end()
    )
  }

  start(events: FuseChannelEvents): void {
    if (this.#events !== undefined) throw new Error('the channel was started twice')
    this.#events = events
    this.#resume()
  }

  /** Throws ChannelError when the kernel refuses the reply (EINVAL: it is malformed). */
  reply(parts: readonly Uint8Array[]): void {
    if (this.#closing !== undefined) return
    const errno = this.#components.addon.writeReply(this.#components.fd, parts)
    if (errno !== 0 && errno !== Errno.ENOENT) throw new ChannelError('reply', errno)
  }

  pageOffset(bytes: Uint8Array): number {
    return this.#components.addon.pageOffset(bytes)
  }

  notify(message: Uint8Array): Promise<boolean> {
    return this.#notifications.push(message)
  }

  notifyNow(message: Uint8Array): boolean {
    if (this.#closing !== undefined) return false
    const errno = this.#components.addon.writeReply(this.#components.fd, [message])
    if (errno !== 0 && errno !== Errno.ENOENT) throw new ChannelError('notify', errno)
    return errno === 0
  }

  /** Bytes of requests that are read and not yet released, with the read buffer. */
  get heldBytes(): number {
    return this.#pool.heldBytes
  }

  statistics(): ReaderStatistics {
    return this.#components.addon.readerStatistics(this.#reader)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { addon, fd, abort } = this.#components
    this.#ended = true
    addon.readerStop(this.#reader)
    // A notification in the kernel still uses the descriptor: its number must not be reused yet.
    if (!(await this.#notifications.close(this.#limits.closeWaitMs))) {
      await abort()
      if (!(await this.#notifications.close(this.#limits.closeWaitMs))) {
        throw new ChannelError('close /dev/fuse: a notification does not return', Errno.ETIMEDOUT)
      }
    }
    closeSync(fd)
  }

  #received(sizeBytes: number): NextBuffer {
    const current = this.#readBuffer
    const events = this.#events
    if (current === undefined || events === undefined) return null
    if (!isWholeRequest(current, sizeBytes)) {
      this.#components.addon.readerStop(this.#reader)
      this.#end(new ChannelError(`a request of ${sizeBytes} bytes is not whole`, Errno.EPROTO))
      return null
    }
    if (sizeBytes <= LENT_MAX_BYTES && !isKept(current)) return this.#lend(current, sizeBytes)
    const { request, release, consumed } = this.#pool.accept(current, sizeBytes)
    if (!consumed) {
      events.onRequest(request, release)
      return undefined
    }
    this.#readBuffer = undefined
    events.onRequest(request, release)
    this.#readBuffer = this.#pool.takeReadBuffer()
    return this.#readBuffer ?? null
  }

  /** Most requests are let go before they are served: no copy of them, and no buffer of their own. */
  #lend(buffer: Buffer, sizeBytes: number): NextBuffer {
    let state: 'lent' | 'kept' | 'back' = 'lent'
    this.#events?.onRequest(buffer.subarray(0, sizeBytes), () => {
      assert(state !== 'back', 'a request buffer was released twice')
      const wasKept = state === 'kept'
      state = 'back'
      if (wasKept) this.#pool.putReadBuffer(buffer)
    })
    if ((state as string) === 'back') return undefined
    state = 'kept'
    this.#readBuffer = this.#pool.takeReadBuffer()
    return this.#readBuffer ?? null
  }

  #resume(): void {
    if (this.#ended) return
    this.#readBuffer ??= this.#pool.takeReadBuffer()
    if (this.#readBuffer === undefined) return
    this.#components.addon.readerResume(this.#reader, this.#readBuffer)
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#events?.onClose(error)
  }
}
