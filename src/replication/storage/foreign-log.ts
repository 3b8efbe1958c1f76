/**
 * (I/O) The log of another writer, downloaded as it grows and handed on in order.
 *
 * Invariant: `onBlock` gets blocks `fromSeq`, `fromSeq` + 1, ... once each, the next one only when
 * the promise of the one before has settled; each was checked by hypercore against the writer's
 * signature when it arrived. An error of `onBlock` ends the delivery and is reported.
 */
import type Hypercore from 'hypercore'
import type { DownloadRange } from 'hypercore'
import { assert } from '../../fs/assert.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { OnLogFailure } from './log-failure.ts'
import { toError } from './log-failure.ts'

export type OnBlock = (seq: Seq, block: Buffer) => void | Promise<void>

export class ForeignLog {
  readonly writer: WriterId
  readonly #core: Hypercore
  readonly #onFailure: OnLogFailure
  readonly #download: DownloadRange
  #delivery: Promise<void> | undefined
  #closed = false
  #failure: Error | undefined

  constructor(writer: WriterId, core: Hypercore, onFailure: OnLogFailure) {
    this.writer = writer
    this.#core = core
    this.#onFailure = onFailure
    this.#download = core.download({ start: core.contiguousLength, end: -1, linear: true })
  }

  get key(): Buffer {
    return this.#core.key
  }

  /** How many blocks the writer is known to have signed. */
  get signedLength(): Seq {
    return this.#core.length as Seq
  }

  /** Blocks 1..length stand in the log here (page cache; durable after `WriterLogs.flush`). */
  get length(): Seq {
    return this.#core.contiguousLength as Seq
  }

  /** Why nothing can be stored any more, until the store is opened again. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /**
   * True when a peer has blocks that are not asked for any more, because one could not be stored
   * (`failure`) or did not fit its signature (a new connection asks again).
   */
  get stalled(): boolean {
    if (this.#failure) return true
    return this.#core.peers.some((peer) => peer.paused && peer.remoteLength > this.length)
  }

  /** Begins to deliver blocks, those that are here and those that come; once per log. */
  deliver(fromSeq: Seq, onBlock: OnBlock): void {
    assert(!this.#delivery, 'the log is being delivered already')
    assert(fromSeq >= 1, 'seq out of range')
    this.#delivery = this.#deliver(fromSeq, onBlock)
  }

  /** The block of entry `seq` if it is here. Rejects when it is stored but cannot be read. */
  async read(seq: Seq): Promise<Buffer | undefined> {
    return (await this.#core.get(seq - 1, { wait: false })) ?? undefined
  }

  /** The store cannot take what arrives. */
  fail(error: Error): void {
    this.#failure ??= error
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#download.destroy()
    await this.#core.close()
    await this.#delivery
  }

  async #deliver(fromSeq: Seq, onBlock: OnBlock): Promise<void> {
    for (let seq: number = fromSeq; !this.#closed; seq++) {
      let block: Buffer | null
      try {
        block = await this.#core.get(seq - 1)
      } catch (reason) {
        this.#report('damaged', reason)
        return
      }
      if (!block || this.#closed) return
      try {
        await onBlock(seq as Seq, block)
      } catch (reason) {
        this.#report('consumer', reason)
        return
      }
    }
  }

  /** Silent after a close, ours or hypercore's own, which reports its reason itself. */
  #report(kind: 'damaged' | 'consumer', reason: unknown): void {
    if (this.#closed || this.#core.closing) return
    this.#onFailure({ kind, writer: this.writer, error: toError(reason) })
  }
}
