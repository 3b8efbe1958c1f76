/**
 * Makes what is applied here durable here, in groups: one fdatasync of the journal, and of the
 * segments whose bytes no journal holds, at a time (RULES 3: `durable` covers the slices).
 * A failure is final: the journal and segment stores refuse every later call.
 *
 * An entry with dead slices is whole in the state alone: from the journal it would not count as held
 * again, and an in-sync member that holds less than the cuts cannot lead. So it is durable by a
 * checkpoint (RULES 3, 11).
 */
import type { SegmentId } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'

export interface LocalSyncComponents {
  /** Own ops gathered so far get their entry. Throws when they cannot: nothing is to be committed then. */
  readonly flushOwn: () => void
  readonly applied: () => Vector
  readonly syncJournal: () => Promise<void>
  readonly takeUnjournaled: () => SegmentId[]
  readonly syncSegments: (segments: readonly SegmentId[]) => Promise<void>
  readonly syncJournalNow: () => void
  readonly syncSegmentsNow: (segments: readonly SegmentId[]) => void
  /** Entries with dead slices were applied after the newest checkpoint. */
  readonly needsCheckpoint: () => boolean
  /** Resolves when all that is applied stands in a durable checkpoint. It calls `syncFiles`. */
  readonly checkpoint: () => Promise<void>
  readonly onDurable: (vector: Vector) => void
}

export class LocalSync {
  readonly #components: LocalSyncComponents
  /** The last run, running or waiting; runs follow each other and never overlap. */
  #tail: Promise<unknown> = Promise.resolve()
  #waiting: Promise<Vector> | undefined
  /** Segments of the run in progress: not durable before it ends. */
  #running: readonly SegmentId[] = []

  constructor(components: LocalSyncComponents) {
    this.#components = components
  }

  /** Resolves with a vector that covers what was applied at the call; all of it is durable here. */
  async sync(): Promise<Vector> {
    const { needsCheckpoint, checkpoint, onDurable } = this.#components
    const vector = await this.syncFiles()
    if (needsCheckpoint()) {
      await checkpoint()
      onDurable(vector)
    }
    return vector
  }

  /** The same without a checkpoint: all of it is in journal and segments, as far as it is anywhere. */
  syncFiles(): Promise<Vector> {
    if (this.#waiting) return this.#waiting
    const start = () => {
      this.#waiting = undefined
      return this.#run()
    }
    const waiting = this.#tail.then(start, start)
    this.#waiting = waiting
    this.#tail = waiting.catch(() => undefined)
    return waiting
  }

  /**
   * Makes everything applied durable before it returns, blocking the event loop: for the commit of
   * the state, which must not be ahead of the journal or of the slices it names (RULES 3, 13).
   */
  syncNow(): void {
    const { flushOwn, syncJournalNow, takeUnjournaled, syncSegmentsNow } = this.#components
    flushOwn()
    syncJournalNow()
    syncSegmentsNow([...this.#running, ...takeUnjournaled()])
  }

  async #run(): Promise<Vector> {
    const { flushOwn, applied, syncJournal, takeUnjournaled, syncSegments } = this.#components
    const { needsCheckpoint, onDurable } = this.#components
    flushOwn()
    const vector = new Map(applied())
    const segments = takeUnjournaled()
    this.#running = segments
    await Promise.all([syncJournal(), syncSegments(segments)])
    this.#running = []
    if (!needsCheckpoint()) onDurable(vector)
    return vector
  }
}
