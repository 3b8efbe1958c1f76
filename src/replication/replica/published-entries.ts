/**
 * Entries of the shelf that their writer has published: their blocks stand in the copy of its log, but
 * only in the page cache. They leave the shelf behind a flush of the logs.
 *
 * Invariant (RULES 1): an entry that is applied stands in the journal, on the shelf or in a durable
 * log. The journal is pruned of what is on the shelf; if an entry left that before its block is
 * durable, a power cut would leave it in the state and in no place it could be sent from.
 */
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { ReplicaLogs, ReplicaShelf } from './replica-ports.ts'

export interface PublishedEntriesComponents {
  readonly logs: Pick<ReplicaLogs, 'flush'>
  readonly shelf: Pick<ReplicaShelf, 'remove'>
}

export class PublishedEntries {
  readonly #components: PublishedEntriesComponents
  /** Up to where, of the writers that have entries waiting. */
  readonly #waiting = new Map<WriterId, Seq>()

  constructor(components: PublishedEntriesComponents) {
    this.#components = components
  }

  /** Everything up to `seq` stands in the writer's log, equal to the shelf's. */
  add(writer: WriterId, seq: Seq): void {
    if (seq > (this.#waiting.get(writer) ?? 0)) this.#waiting.set(writer, seq)
  }

  get areWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /**
   * Resolves when the blocks so far, own ones too, are durable and the published entries among them
   * have left the shelf, which the next commit makes durable.
   */
  async release(): Promise<void> {
    const durable = await this.#components.logs.flush()
    for (const [writer, seq] of this.#waiting) {
      const upTo = Math.min(seq, durable.get(writer) ?? 0) as Seq
      if (upTo > 0) this.#components.shelf.remove(writer, upTo)
      if (upTo === seq) this.#waiting.delete(writer)
    }
  }

  /** Every member has the writer's entries in a durable checkpoint: nobody asks for them any more. */
  forget(writer: WriterId): void {
    this.#waiting.delete(writer)
    this.#components.shelf.remove(writer, Number.MAX_SAFE_INTEGER as Seq)
  }
}
