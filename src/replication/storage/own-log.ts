/**
 * (I/O) The log of one incarnation of this member. Appends run behind the operations, one batch
 * at a time, from a bounded queue.
 *
 * Invariants: block k is entry k + 1, appended once, in order; nothing is ever appended behind
 * blocks that this member did not hold itself (a writer that signs two histories makes hypercore
 * close the log everywhere). RULES 6 and 15: only an older incarnation's missing blocks are
 * appended again, byte by byte the same.
 */
import type Hypercore from 'hypercore'
import type { CorePointer } from 'hypercore-storage'
import { assert } from '../../fs/assert.ts'
import type { Seq, WriterId } from '../../fs/primitives.ts'
import { ENTRY_HEAD_MAX_BYTES } from '../entry.ts'
import type { OnLogFailure } from './log-failure.ts'
import { DamagedLogError, toError } from './log-failure.ts'
import { quiet } from './log-quiet.ts'

const BATCH_MAX_BLOCKS = 128
const BATCH_MAX_BYTES = 1024 * 1024
/** An append of few blocks costs a millisecond of processor time here, and one at each downloader. */
const GATHER_MS = 250
/** Another history would differ in its newest blocks; reading all of them delays each start. */
const COMPARED_BLOCKS = 256

/** The writer has signed all entries up to that one. */
export type OnSigned = (length: Seq, signature: Buffer) => void

interface Queued {
  readonly block: Buffer
  readonly done: (error: Error | undefined) => void
}

export interface OwnLogOptions {
  readonly queueMaxBlocks: number
  readonly queueMaxBytes: number
}

export class OwnLog {
  readonly writer: WriterId
  readonly #core: Hypercore
  readonly #onFailure: OnLogFailure
  readonly #options: OwnLogOptions
  readonly #queue: Queued[] = []
  #queuedBytes = 0
  #nextSeq: number
  #running: Promise<void> | undefined
  #roomWaiters: (() => void)[] = []
  #failure: Error | undefined
  #closing = false
  #endGathering: (() => void) | undefined
  #onSigned: OnSigned = () => {}

  constructor(writer: WriterId, core: Hypercore, onFailure: OnLogFailure, options: OwnLogOptions) {
    this.writer = writer
    this.#core = core
    this.#onFailure = onFailure
    this.#options = options
    this.#nextSeq = core.length + 1
  }

  /** `onSigned` is told whenever the log has grown. */
  watch(onSigned: OnSigned): void {
    this.#onSigned = onSigned
  }

  /** Known before the first append. */
  get key(): Buffer {
    return this.#core.key
  }

  /** Entries that stand in the log (page cache; durable after `WriterLogs.flush`). */
  get length(): Seq {
    return this.#core.length as Seq
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /** False when the queue is full: wait for `room` before the next append. */
  get hasRoom(): boolean {
    const { queueMaxBlocks, queueMaxBytes } = this.#options
    return this.#queue.length < queueMaxBlocks && this.#queuedBytes < queueMaxBytes
  }

  /** Resolves when the queue has room, or the log has failed. */
  async room(): Promise<void> {
    while (!this.hasRoom && !this.#failure) {
      await new Promise<void>((resolve) => this.#roomWaiters.push(resolve))
    }
  }

  /**
   * Queues the blocks of entries `firstSeq`, `firstSeq` + 1, ... Resolves when they stand in the
   * log; rejects when the log failed. The blocks must not change until then.
   */
  append(firstSeq: Seq, blocks: readonly Buffer[]): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    assert(firstSeq === this.#nextSeq, 'appending to the log out of order')
    if (blocks.length === 0) return Promise.resolve()
    this.#nextSeq += blocks.length
    const promise = new Promise<void>((resolve, reject) => {
      const last = blocks.length - 1
      blocks.forEach((block, index) => {
        assert(block.length > 0 && block.length <= ENTRY_HEAD_MAX_BYTES, 'block size out of range')
        const done = (error: Error | undefined): void => (error ? reject(error) : resolve())
        this.#queue.push({ block, done: index === last ? done : ignore })
        this.#queuedBytes += block.length
      })
    })
    this.#running ??= this.#run()
    if (this.#queue.length >= BATCH_MAX_BLOCKS || !this.hasRoom) this.#endGathering?.()
    return promise
  }

  /**
   * Appends what an older incarnation's log misses. `blocks` yields the blocks of the entries
   * `firstSeq`..`lastSeq`, all that this member holds of it. Blocks the log has already must be
   * the same, which is checked for the newest. What the log has beyond `lastSeq` is left alone: it
   * is void, or a journal that was made anew (RULES 19) or lost its tail does not have it. Returns
   * how many were appended. Throws DamagedLogError, with nothing appended, when blocks between are
   * missing, or one differs or cannot be read.
   */
  async appendMissing(firstSeq: Seq, lastSeq: Seq, blocks: Iterable<Buffer>): Promise<number> {
    const { writer } = this
    const length = this.#core.length
    const known = Math.min(length, lastSeq)
    if (length < firstSeq - 1) {
      throw new DamagedLogError(writer, `blocks ${length + 1} to ${firstSeq - 1} are missing`)
    }
    if (this.#core.recovering > 0) {
      throw new DamagedLogError(writer, 'the store dropped its newest blocks when it was opened')
    }
    let seq: number = firstSeq
    let appended = 0
    let done = Promise.resolve()
    for (const block of blocks) {
      assert(seq <= lastSeq, 'more blocks than were announced')
      if (seq > length) {
        if (!this.hasRoom) await this.room()
        done = this.append(seq as Seq, [block])
        // An earlier failure fails the last one as well, which is awaited below.
        done.catch(ignore)
        appended++
      } else if (seq > known - COMPARED_BLOCKS) {
        if (!(await this.#stored(seq))?.equals(block)) {
          throw new DamagedLogError(writer, `block ${seq} differs`)
        }
      }
      seq++
    }
    this.#endGathering?.()
    await done
    return appended
  }

  /** The block of entry `seq` if it stands in the log. Rejects when it cannot be read. */
  async read(seq: Seq): Promise<Buffer | undefined> {
    return (await this.#core.get(seq - 1, { wait: false })) ?? undefined
  }

  /** Resolves when the queue is empty or the log has failed. */
  async drained(): Promise<void> {
    while (this.#running) await this.#running
  }

  /** Where it stands in the store. */
  get place(): CorePointer {
    return this.#core.core.storage.core
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#endGathering?.()
    await this.drained()
    await quiet(this.#core)
    await this.#core.close()
  }

  /** The signed history contradicts itself or the log was closed from outside. */
  fail(error: Error): void {
    if (this.#failure) return
    this.#failure = error
    for (const queued of this.#queue.splice(0)) queued.done(error)
    this.#queuedBytes = 0
    this.#wake()
  }

  async #stored(seq: number): Promise<Buffer | null> {
    try {
      return await this.#core.get(seq - 1, { wait: false })
    } catch (cause) {
      const reason = `block ${seq} cannot be read: ${toError(cause).message}`
      throw new DamagedLogError(this.writer, reason, { cause })
    }
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#gather()
      const batch = this.#takeBatch()
      try {
        await this.#core.append(batch.map((queued) => queued.block))
      } catch (reason) {
        const error = toError(reason)
        const known = this.#failure !== undefined
        for (const queued of batch) queued.done(error)
        this.fail(error)
        if (!known) this.#onFailure({ kind: 'write', writer: this.writer, error })
        break
      }
      for (const queued of batch) queued.done(undefined)
      const { length, signature } = this.#core.state
      if (signature !== null) this.#onSigned(length as Seq, signature)
      this.#wake()
    }
    this.#running = undefined
  }

  /**
   * Blocks come one by one, but a hypercore append, here and when it is downloaded, costs the same
   * for one as for many: they are gathered for a moment, or until they fill a batch or the queue.
   */
  async #gather(): Promise<void> {
    if (this.#closing || !this.hasRoom || this.#queue.length >= BATCH_MAX_BLOCKS) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GATHER_MS)
      this.#endGathering = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#endGathering = undefined
  }

  #takeBatch(): Queued[] {
    let count = 0
    let bytes = 0
    for (const { block } of this.#queue) {
      if (count > 0 && (count >= BATCH_MAX_BLOCKS || bytes + block.length > BATCH_MAX_BYTES)) break
      count++
      bytes += block.length
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  #wake(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve()
  }
}

function ignore(): void {}
