/**
 * Follows the hypercores of the other writers and compares what they have signed with the entries
 * that were applied from the stream. Equal: the entries may leave the shelf
 * (`PublishedEntries`). Different: the writer signed something else than it sent, and this member
 * stops rather than guess which is true.
 *
 * A signature that comes while the entries are on the shelf is compared by trying it on them: it fits
 * exactly those blocks that the writer signed. Only where it does not fit, or none came, blocks are
 * downloaded and compared one by one.
 */
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import { isForgotten } from '../record-history.ts'
import type { Vector } from '../vector.ts'
import type { PublishedEntries } from './published-entries.ts'
import type { ReplicaLogs, ReplicaShelf } from './replica-ports.ts'

export interface LogFollowerComponents {
  readonly logs: ReplicaLogs
  readonly shelf: Pick<ReplicaShelf, 'get' | 'oldest'>
  readonly published: Pick<PublishedEntries, 'add' | 'forget'>
  readonly self: MemberId
  readonly appliedOf: (writer: WriterId) => Seq
  readonly waitApplied: (vector: Vector) => Promise<void>
  readonly logger: Logger
  readonly onDivergence: (error: Error) => void
}

interface Signature {
  readonly seq: Seq
  readonly signature: Buffer
}

export class LogFollower {
  readonly #components: LogFollowerComponents
  readonly #followed = new Set<WriterId>()
  /** The newest of each writer that is being tried. */
  readonly #signatures = new Map<WriterId, Signature>()
  #opening: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(components: LogFollowerComponents) {
    this.#components = components
  }

  /**
   * Opens the log of every writer of the record that is not open yet, and removes those of writers
   * that are forgotten: every data member has all of it in a durable checkpoint.
   */
  follow(record: EpochRecord): Promise<void> {
    const { self, logger } = this.#components
    for (const info of record.writers) {
      if (this.#followed.has(info.writer)) continue
      this.#followed.add(info.writer)
      const key = Buffer.from(info.coreKey, 'hex')
      const own = memberOf(info.writer) === self
      this.#opening = this.#opening
        .then(() => (own ? this.#reopen(info.writer) : this.#open(info.writer, key, record)))
        .catch((error: unknown) => {
          if (!this.#stopped) logger.error({ writer: info.writer, error }, 'log cannot be followed')
        })
    }
    for (const writer of this.#followed) {
      if (!isForgotten(record, writer)) continue
      this.#followed.delete(writer)
      this.#opening = this.#opening
        .then(() => this.#remove(writer))
        .catch((error: unknown) => {
          if (!this.#stopped) logger.error({ writer, error }, 'log cannot be removed')
        })
    }
    return this.#opening
  }

  /** The writer has signed its log up to `seq`. */
  async signed(writer: WriterId, seq: Seq, signature: Buffer): Promise<void> {
    const isBusy = this.#signatures.has(writer)
    // The newest covers all before it.
    this.#signatures.set(writer, { seq, signature })
    if (isBusy) return
    for (;;) {
      const newest = this.#signatures.get(writer)
      if (newest === undefined) return
      await this.#extend(writer, newest)
      if (this.#signatures.get(writer) === newest) this.#signatures.delete(writer)
    }
  }

  async #extend(writer: WriterId, { seq, signature }: Signature): Promise<void> {
    const { logs, shelf, published } = this.#components
    const log = logs.foreign(writer)
    if (this.#stopped || log === undefined) return
    const extended = await log.extend(seq, signature, (each) => shelf.get(writer, each))
    if (extended && !this.#stopped) published.add(writer, seq)
  }

  /** Every second or so. */
  check(): void {
    if (this.#stopped) return
    for (const writer of this.#followed) this.#components.logs.foreign(writer)?.check()
  }

  /** The block of an entry, when it stands in a log here. */
  async read(writer: WriterId, seq: Seq): Promise<Buffer | undefined> {
    const { logs } = this.#components
    const own = logs.own(writer)
    if (own) return seq <= own.length ? await own.read(seq) : undefined
    return await logs.foreign(writer)?.read(seq)
  }

  stop(): void {
    this.#stopped = true
  }

  async #remove(writer: WriterId): Promise<void> {
    const { logs, published } = this.#components
    if (this.#stopped) return
    await logs.remove(writer)
    if (!this.#stopped) published.forget(writer)
  }

  async #reopen(writer: WriterId): Promise<void> {
    const { logs } = this.#components
    if (!this.#stopped && !logs.own(writer)) await logs.reopen(writer)
  }

  async #open(writer: WriterId, key: Buffer, record: EpochRecord): Promise<void> {
    const { logs, shelf, appliedOf } = this.#components
    if (this.#stopped) return
    const log = await logs.follow(writer, key)
    const oldest = shelf.oldest(writer, 1)[0]
    const from = oldest?.seq ?? ((appliedOf(writer) + 1) as Seq)
    const end = record.writers.find((w) => w.writer === writer)?.finalSeq
    log.deliver(from, (seq, block) => this.#compare(writer, seq, block, end))
  }

  async #compare(writer: WriterId, seq: Seq, block: Buffer, end: Seq | undefined): Promise<void> {
    const { shelf, published, waitApplied, logger, onDivergence } = this.#components
    if (this.#stopped || (end !== undefined && seq > end)) return
    try {
      await waitApplied(new Map([[writer, seq]]))
    } catch (error) {
      // The replica closes, or the entry is void by now: nothing to compare with.
      logger.debug({ writer, seq, error }, 'block without an applied entry')
      return
    }
    if (this.#stopped) return
    const head = shelf.get(writer, seq)
    if (head === undefined) return
    if (head.equals(block)) {
      published.add(writer, seq)
      return
    }
    const error = new Error(`log of writer ${writer}: block ${seq} differs from the applied entry`)
    this.#stopped = true
    onDivergence(error)
  }
}
