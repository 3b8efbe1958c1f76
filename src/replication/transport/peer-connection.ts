/**
 * A connection to another member that carries typed messages: each is one encrypted message of a
 * type byte and its payload. Owns the send queue. Invariants: messages leave in the order of
 * `send`; the queue is bounded (above the high-water mark `send` says so, above the hard limit the
 * connection is closed); after `onClose` nothing is delivered.
 */

import { assert } from '../../fs/assert.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { LargeMessages } from './large-messages.ts'
import type { Link } from './link.ts'
import { ProtocolError } from './transport-error.ts'

const LINGER_MS = 500

export type FramedKind = 'control' | 'bulk'

/** Largest payload of one message, by kind. */
export const MESSAGE_MAX_BYTES: Readonly<Record<FramedKind, number>> = {
  control: 8 * 1024 * 1024,
  bulk: 2 * 1024 * 1024
}

/**
 * Bytes sent or received on one connection before the event loop gets its turn. A socket that
 * takes everything at once would otherwise be fed without end, and the control connection and the
 * kernel's requests wait.
 */
const TURN_BYTES = 256 * 1024

export interface PeerConnection {
  readonly member: MemberId
  readonly kind: FramedKind
  /** True when this member opened it. */
  readonly dialed: boolean
  readonly closed: boolean
  /** Bytes accepted by `send` that the operating system has not taken yet. */
  readonly queuedBytes: number
  /**
   * Queues one message; the parts are the caller's again when it returns. False when more than the high-water
   * mark is queued: wait for `drained()` before sending more. Dropped silently when closed:
   * `onClose` has told.
   */
  send(type: number, parts: readonly Uint8Array[]): boolean
  /** Resolves when the queue is below half the high-water mark, or the connection is closed. */
  drained(): Promise<void>
  /**
   * Undefined when the next message leaves at once: a large one is then encrypted out of its parts, while one
   * that waits in the queue is copied twice before. Else resolves when that may have changed.
   */
  ready(): Promise<void> | undefined
  /** Stops reading (the other end feels it as backpressure) until `resume`. */
  pause(): void
  resume(): void
  /** Drops what is queued. `onClose` is called with `reason` before this returns. */
  close(reason: string): void
}

export interface FramedEvents {
  /**
   * The payload is the receiver's, but may be part of a bigger buffer: copy a small one that is
   * kept. Throw ProtocolError to close the connection.
   */
  onMessage(connection: PeerConnection, type: number, payload: Uint8Array): void
  onClose(connection: PeerConnection, reason: string): void
}

export interface FramedOptions {
  readonly member: MemberId
  readonly kind: FramedKind
  readonly dialed: boolean
  readonly highWaterBytes: number
  /** A queue above this closes the connection: the other end is too slow to be kept. */
  readonly hardLimitBytes: number
}

export class FramedConnection implements PeerConnection {
  readonly member: MemberId
  readonly kind: FramedKind
  readonly dialed: boolean
  readonly #link: Link
  readonly #large: LargeMessages | undefined
  readonly #events: FramedEvents
  readonly #options: FramedOptions
  readonly #queue: Buffer[] = []
  #head = 0
  #waitingBytes = 0
  #streamBytes = 0
  #turnBytes = 0
  #yielding = false
  #receivedBytes = 0
  #paused = false
  #drainWaiters: (() => void)[] = []
  #readyWaiters: (() => void)[] = []
  #lastError: Error | undefined
  #closed = false

  constructor(
    components: { link: Link; events: FramedEvents; large?: LargeMessages },
    options: FramedOptions
  ) {
    this.#link = components.link
    this.#large = components.large
    this.#events = components.events
    this.#options = options
    this.member = options.member
    this.kind = options.kind
    this.dialed = options.dialed
  }

  /** Begins to deliver; called once, after `onConnection`. */
  start(): void {
    const { stream } = this.#link
    this.#link.setMessageLimit(MESSAGE_MAX_BYTES[this.kind] + 1)
    stream.on('drain', () => this.#onDrain())
    stream.on('error', (error: Error) => {
      this.#lastError = error
    })
    stream.on('end', () => this.close('closed by the other end'))
    stream.on('close', () => this.close(this.#lastError?.message ?? 'connection lost'))
    if (stream.destroyed) this.close('connection lost')
    else stream.on('data', (message: Uint8Array) => this.#onData(message))
  }

  get closed(): boolean {
    return this.#closed
  }

  get queuedBytes(): number {
    return this.#waitingBytes + Math.max(this.#streamBytes, this.#link.socketBytes())
  }

  send(type: number, parts: readonly Uint8Array[]): boolean {
    if (this.#closed) return false
    assert(type >= 0 && type <= 255, 'message type is one byte')
    let sizeBytes = 1
    for (const part of parts) sizeBytes += part.length
    assert(
      sizeBytes <= MESSAGE_MAX_BYTES[this.kind] + 1,
      () => `${this.kind} message too large to send`
    )
    if (this.#isReady()) {
      const sealed = this.#large?.seal(type, parts, sizeBytes)
      this.#write(sealed ?? this.#copied(type, parts, sizeBytes))
    } else {
      this.#queue.push(this.#copied(type, parts, sizeBytes))
      this.#waitingBytes += sizeBytes
    }
    const queued = this.queuedBytes
    if (queued > this.#options.hardLimitBytes) {
      this.close(`${queued} bytes wait to be sent: the other end is too slow`)
      return false
    }
    return queued <= this.#options.highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#closed || this.#belowLowWater()) return Promise.resolve()
    return new Promise((resolve) => this.#drainWaiters.push(resolve))
  }

  ready(): Promise<void> | undefined {
    if (this.#closed || this.#isReady()) return undefined
    return new Promise((resolve) => this.#readyWaiters.push(resolve))
  }

  pause(): void {
    this.#paused = true
    this.#link.stream.pause()
  }

  resume(): void {
    this.#paused = false
    if (!this.#receivedEnough()) this.#link.stream.resume()
  }

  close(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue.length = 0
    this.#waitingBytes = 0
    this.#link.stream.destroy()
    this.#releaseDrainWaiters()
    this.#releaseReadyWaiters()
    this.#events.onClose(this, reason)
  }

  /**
   * Like `close`, but what the encrypted stream has taken still goes out, within LINGER_MS: for the
   * last word to a member that is told to go, or that this one leaves.
   */
  finish(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue.length = 0
    this.#waitingBytes = 0
    const { stream } = this.#link
    const timer = setTimeout(() => stream.destroy(), LINGER_MS)
    stream.once('close', () => clearTimeout(timer))
    stream.end()
    this.#releaseDrainWaiters()
    this.#releaseReadyWaiters()
    this.#events.onClose(this, reason)
  }

  #copied(type: number, parts: readonly Uint8Array[], sizeBytes: number): Buffer {
    const message = this.#link.stream.alloc(sizeBytes)
    message[0] = type
    let offset = 1
    for (const part of parts) {
      message.set(part, offset)
      offset += part.length
    }
    return message
  }

  #isReady(): boolean {
    return this.#waitingBytes === 0 && this.#mayWrite()
  }

  #mayWrite(): boolean {
    return this.#streamBytes === 0 && !this.#yielding && !this.#closed
  }

  #write(message: Buffer): void {
    if (!this.#link.stream.write(message)) this.#streamBytes = message.length
    this.#turnBytes += message.length
    if (this.#turnBytes < TURN_BYTES) return
    this.#yielding = true
    setImmediate(() => {
      this.#turnBytes = 0
      this.#yielding = false
      this.#pump()
    })
  }

  #onDrain(): void {
    this.#streamBytes = 0
    this.#pump()
  }

  #pump(): void {
    while (this.#head < this.#queue.length && this.#mayWrite()) {
      const message = this.#queue[this.#head]
      assert(message !== undefined, 'queue hole')
      this.#head += 1
      this.#waitingBytes -= message.length
      this.#write(message)
    }
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue.splice(0, this.#head)
      this.#head = 0
    }
    if (this.#belowLowWater()) this.#releaseDrainWaiters()
    if (this.#isReady()) this.#releaseReadyWaiters()
  }

  #belowLowWater(): boolean {
    return this.#waitingBytes + this.#streamBytes <= this.#options.highWaterBytes / 2
  }

  #releaseReadyWaiters(): void {
    const waiters = this.#readyWaiters
    this.#readyWaiters = []
    for (const resolve of waiters) resolve()
  }

  #releaseDrainWaiters(): void {
    const waiters = this.#drainWaiters
    this.#drainWaiters = []
    for (const resolve of waiters) resolve()
  }

  #onData(message: Uint8Array): void {
    if (this.#closed) return
    const type = message[0]
    if (type === undefined) return
    if (message.length > MESSAGE_MAX_BYTES[this.kind] + 1) {
      this.close(`message of ${message.length} bytes is over the limit`)
      return
    }
    this.#receivedBytes += message.length
    if (this.#receivedEnough()) this.#restReading()
    try {
      this.#events.onMessage(this, type, message.subarray(1))
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.close(error.message)
    }
  }

  #receivedEnough(): boolean {
    return this.#receivedBytes >= TURN_BYTES
  }

  #restReading(): void {
    this.#link.stream.pause()
    setImmediate(() => {
      this.#receivedBytes = 0
      if (!this.#paused && !this.#closed) this.#link.stream.resume()
    })
  }
}
