/**
 * Notifications on their way to the kernel. Each may sleep in the kernel until requests of this
 * mount are answered, and holds a thread meanwhile; so few run at a time and the rest wait here,
 * bounded. Order between notifications is not kept.
 */
import { Errno } from '../../fs/errno.ts'
import { ChannelError, codeOf, toChannelError } from './channel-error.ts'

export interface NotifyQueueOptions {
  readonly concurrency: number
  readonly waitingMax: number
}

interface Waiting {
  readonly message: Uint8Array
  readonly resolve: (knew: boolean) => void
  readonly reject: (error: Error) => void
}

export class NotifyQueue {
  readonly #write: (message: Uint8Array) => Promise<void>
  readonly #options: NotifyQueueOptions
  readonly #waiting: Waiting[] = []
  #running = 0
  #closed: Error | undefined
  #onIdle: (() => void) | undefined

  constructor(
    components: { readonly write: (message: Uint8Array) => Promise<void> },
    options: NotifyQueueOptions
  ) {
    this.#write = components.write
    this.#options = options
  }

  /**
   * Resolves when the kernel took the message: false when it had nothing cached (ENOENT). Rejects
   * with ENOBUFS when too many wait, ENOTCONN after close, else with the kernel's errno.
   */
  push(message: Uint8Array): Promise<boolean> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    if (this.#waiting.length >= this.#options.waitingMax) {
      return Promise.reject(new ChannelError('notify', ENOBUFS))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message: Uint8Array.from(message), resolve, reject })
      this.#next()
    })
  }

  /** Rejects what waits; resolves true when nothing runs any more, false after `waitMs`. */
  close(waitMs: number): Promise<boolean> {
    this.#closed ??= new ChannelError('notify', Errno.ENOTCONN)
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#closed)
    if (this.#running === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), waitMs)
      this.#onIdle = () => {
        clearTimeout(timer)
        resolve(true)
      }
    })
  }

  #next(): void {
    while (this.#running < this.#options.concurrency) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#running++
      this.#write(next.message).then(
        () => this.#done(() => next.resolve(true)),
        (error: unknown) => this.#done(() => settle(next, error))
      )
    }
  }

  #done(settleThis: () => void): void {
    this.#running--
    this.#next()
    settleThis()
    if (this.#running === 0) this.#onIdle?.()
  }
}

function settle(waiting: Waiting, error: unknown): void {
  if (codeOf(error) === 'ENOENT') waiting.resolve(false)
  else waiting.reject(toChannelError('notify', error))
}

const ENOBUFS = 105
