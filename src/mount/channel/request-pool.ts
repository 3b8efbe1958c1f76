/**
 * The memory requests are read into. A read needs room for the largest request, so a small request
 * is copied into a slot of its size and the large buffer is used again at once.
 *
 * Invariant: all buffers, handed out and free, never sum up to more than the budget; when it is used
 * up reading pauses, and `onRoom` runs once a release made it possible again.
 */
import { assert } from '../../fs/assert.ts'

export interface RequestPoolOptions {
  /** Size of a read buffer: the largest request the kernel may send, with its headers. */
  readonly requestMaxBytes: number
  readonly budgetBytes: number
  /** Runs after a release when `takeReadBuffer` had failed before. */
  readonly onRoom: () => void
}

export interface AcceptedRequest {
  readonly request: Buffer
  readonly release: () => void
  /** Whether the read buffer went with the request, so that the next read needs another. */
  readonly consumed: boolean
}

const SLOT_SIZES = [1024, 8 * 1024, 136 * 1024] as const

class SlotClass {
  readonly sizeBytes: number
  readonly #free: Buffer[] = []

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
  }

  /** A free buffer, if there is one. */
  take(): Buffer | undefined {
    return this.#free.pop()
  }

  put(slot: Buffer): void {
    this.#free.push(slot)
  }
}

export class RequestPool {
  readonly #slots: readonly SlotClass[]
  readonly #reads: SlotClass
  readonly #budgetBytes: number
  readonly #onRoom: () => void
  #heldBytes = 0
  #allocatedBytes = 0
  #starved = false

  constructor(options: RequestPoolOptions) {
    const { requestMaxBytes, budgetBytes } = options
    assert(budgetBytes >= requestMaxBytes, 'the budget is below one request')
    this.#slots = SLOT_SIZES.filter((size) => size < requestMaxBytes).map((s) => new SlotClass(s))
    this.#reads = new SlotClass(requestMaxBytes)
    this.#budgetBytes = budgetBytes
    this.#onRoom = options.onRoom
  }

  /** Bytes of the buffers that are handed out now. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** A buffer for the next read; undefined when the budget is used up. */
  takeReadBuffer(): Buffer | undefined {
    const buffer = this.#take(this.#reads)
    if (buffer === undefined) this.#starved = true
    return buffer
  }

  /** Gives back a read buffer that holds no request. */
  putReadBuffer(buffer: Buffer): void {
    this.#put(this.#reads, buffer)
  }

  /** Makes the first `sizeBytes` of a read buffer a request of its own. */
  accept(readBuffer: Buffer, sizeBytes: number): AcceptedRequest {
    const fitting = this.#slots.find((slots) => sizeBytes <= slots.sizeBytes)
    const slot = fitting === undefined ? undefined : this.#take(fitting)
    if (fitting === undefined || slot === undefined) {
      const request = readBuffer.subarray(0, sizeBytes)
      return { request, release: this.#releaser(this.#reads, readBuffer), consumed: true }
    }
    readBuffer.copy(slot, 0, 0, sizeBytes)
    const release = this.#releaser(fitting, slot)
    return { request: slot.subarray(0, sizeBytes), release, consumed: false }
  }

  #releaser(slots: SlotClass, slot: Buffer): () => void {
    let released = false
    return () => {
      assert(!released, 'a request buffer was released twice')
      released = true
      this.#put(slots, slot)
    }
  }

  #take(slots: SlotClass): Buffer | undefined {
    if (this.#heldBytes + slots.sizeBytes > this.#budgetBytes) return undefined
    this.#heldBytes += slots.sizeBytes
    return slots.take() ?? this.#allocate(slots.sizeBytes)
  }

  /** A new buffer, for which free ones of other sizes are let go when the budget asks for it. */
  #allocate(sizeBytes: number): Buffer {
    for (const other of [this.#reads, ...this.#slots]) {
      while (this.#allocatedBytes + sizeBytes > this.#budgetBytes) {
        if (other.take() === undefined) break
        this.#allocatedBytes -= other.sizeBytes
      }
    }
    this.#allocatedBytes += sizeBytes
    return Buffer.allocUnsafeSlow(sizeBytes)
  }

  #put(slots: SlotClass, slot: Buffer): void {
    this.#heldBytes -= slots.sizeBytes
    slots.put(slot)
    if (!this.#starved) return
    if (this.#heldBytes + this.#reads.sizeBytes > this.#budgetBytes) return
    this.#starved = false
    this.#onRoom()
  }
}
