/**
 * (I/O) The log of another writer: as it grows here, and handed on in order.
 *
 * It grows in two ways. *Downloaded*: hypercore asks the peers for each block and checks it. *Extended*:
 * this member has the entries already, so all it needs is the writer's signature of the log with
 * them; a block then costs no request, no proof and no comparison. While extensions come nothing is
 * downloaded; what they leave out is, when it has been missing for a moment.
 *
 * Invariant: `onBlock` gets blocks `fromSeq`, `fromSeq` + 1, ... once each, without those that came by
 * an extension, the next one only when the promise of the one before has settled; each was checked
 * by hypercore against the writer's signature. An error of `onBlock` ends the delivery and is reported.
 */
import type Hypercore from 'hypercore'
import type { DownloadRange } from 'hypercore'
import type { CorePointer } from 'hypercore-storage'
import { assert } from '../../fs/assert.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { OnLogFailure } from './log-failure.ts'
import { toError } from './log-failure.ts'
import { quiet } from './log-quiet.ts'

export type OnBlock = (seq: Seq, block: Buffer) => void | Promise<void>

/** Blocks of one extension; more are downloaded. */
const EXTEND_MAX_BLOCKS = 4096

export class ForeignLog {
  readonly writer: WriterId
  readonly #core: Hypercore
  readonly #onFailure: OnLogFailure
  readonly #download: DownloadRange
  #delivery: Promise<void> | undefined
  /** The next block to hand on. */
  #next = 1
  #wake: () => void = () => {}
  #extending = false
  #resting = false
  /** The length when it was last seen that peers have more. */
  #behindAt = -1
  #closed = false
  #failure: Error | undefined

  constructor(writer: WriterId, core: Hypercore, onFailure: OnLogFailure) {
    this.writer = writer
    this.#core = core
    this.#onFailure = onFailure
    this.#download = core.download({ start: core.contiguousLength, end: -1, linear: true })
    core.on('append', () => this.#wake())
    core.on('download', () => this.#wake())
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
    this.#next = fromSeq
    this.#delivery = this.#deliver(onBlock)
  }

  /**
   * The writer has signed its log up to `length`, and `blockOf` has what this member holds of it.
   * True when the log stands here up to there: then those blocks are what the writer signed.
   */
  async extend(
    length: Seq,
    signature: Buffer,
    blockOf: (seq: Seq) => Buffer | undefined
  ): Promise<boolean> {
    if (this.#closed || this.#failure || this.#extending) return false
    const blocks = this.#blocksUpTo(length, blockOf)
    if (blocks === undefined) return false
    this.#rest(true)
    this.#extending = true
    try {
      await this.#core.append(blocks, { signature })
    } catch {
      // Blocks came by download meanwhile, or differ: the download tells which.
      this.#rest(false)
      return false
    } finally {
      this.#extending = false
    }
    this.#next = Math.max(this.#next, length + 1)
    this.#wake()
    return true
  }

  /** To be called every second or so: what peers have and extensions did not bring is downloaded. */
  check(): void {
    this.#wake()
    const { length } = this
    const isBehind = this.#core.peers.some((peer) => peer.remoteLength > length)
    if (isBehind && this.#behindAt === length) this.#askAgain()
    this.#behindAt = isBehind ? length : -1
  }

  /** The block of entry `seq` if it is here. Rejects when it is stored but cannot be read. */
  async read(seq: Seq): Promise<Buffer | undefined> {
    return (await this.#core.get(seq - 1, { wait: false })) ?? undefined
  }

  /** The store cannot take what arrives. */
  fail(error: Error): void {
    this.#failure ??= error
  }

  /** Resolves when nobody is handed a block any more. */
  async close(): Promise<void> {
    await this.release()
    await this.#delivery
  }

  /** Lets the core go; who was handed a block may still be at it. */
  async release(): Promise<void> {
    this.#closed = true
    this.#wake()
    this.#download.destroy()
    await quiet(this.#core)
    await this.#core.close()
  }

  /** Where it stands in the store. */
  get place(): CorePointer {
    return this.#core.core.storage.core
  }

  /** Undefined when the log as it stands cannot be continued from here. */
  #blocksUpTo(length: Seq, blockOf: (seq: Seq) => Buffer | undefined): Buffer[] | undefined {
    const from = this.length + 1
    if (this.#core.manifest === null || this.#core.length !== from - 1) return undefined
    // What came by download is compared first.
    if (length < from || length - from >= EXTEND_MAX_BLOCKS || this.#next < from) return undefined
    const blocks: Buffer[] = []
    for (let seq = from; seq <= length; seq++) {
      const block = blockOf(seq as Seq)
      if (block === undefined) return undefined
      blocks.push(block)
    }
    return blocks
  }

  /**
   * A peer sends what follows once it has heard how long the log is here; hypercore does not say so
   * when the log was extended while the peer was saying that its own has grown.
   */
  #askAgain(): void {
    this.#rest(false)
    for (const peer of this.#core.peers) peer.sendSync()
  }

  #rest(resting: boolean): void {
    if (this.#resting === resting || this.#closed) return
    this.#resting = resting
    const { replicator } = this.#core.core
    replicator.setPushOnly(resting)
    if (!resting) replicator.updateAll()
  }

  async #deliver(onBlock: OnBlock): Promise<void> {
    while (!this.#closed) {
      const seq = this.#next as Seq
      if (seq > this.length) {
        await this.#grown()
        continue
      }
      const block = await this.#stored(seq)
      if (block === undefined || this.#closed) return
      if (this.#next !== seq) continue
      this.#next++
      try {
        await onBlock(seq, block)
      } catch (reason) {
        this.#report('consumer', reason)
        return
      }
    }
  }

  #grown(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  async #stored(seq: Seq): Promise<Buffer | undefined> {
    try {
      const block = await this.#core.get(seq - 1, { wait: false })
      if (block === null) throw new Error(`block ${seq} is not where it was stored`)
      return block
    } catch (reason) {
      this.#report('damaged', reason)
      return undefined
    }
  }

  /** Silent after a close, ours or hypercore's own, which reports its reason itself. */
  #report(kind: 'damaged' | 'consumer', reason: unknown): void {
    if (this.#closed || this.#core.closing) return
    this.#onFailure({ kind, writer: this.writer, error: toError(reason) })
  }
}
