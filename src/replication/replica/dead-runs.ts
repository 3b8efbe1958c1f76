/**
 * Batches of freed slices as the runs of neighbours in them, in the order of their places: a hole frees
 * only the whole blocks in it. Each batch is in that order, so they are merged step by step, and
 * nothing takes long at once.
 */
import type { FreedBatch, FreedSlice } from '../../fs/ports/state-machine.ts'
import type { FreedBatchId, SegmentId } from '../../fs/primitives.ts'

/** Nothing but freed slices. */
export interface DeadRun {
  readonly segment: SegmentId
  readonly offset: number
  readonly length: number
}

/** A batch, and how far it was taken into runs. */
interface Cursor {
  readonly batch: FreedBatch
  at: number
  /** The one at `at`. */
  slice: FreedSlice
}

export class DeadRuns {
  /** How many there are in all. */
  readonly slices: number
  /** A binary heap: none comes before its parent, the one at (index - 1) / 2. */
  readonly #cursors: Cursor[] = []
  #run: DeadRun | undefined
  /** Batches that end in the run. */
  #ended: FreedBatchId[] = []

  constructor(batches: readonly FreedBatch[]) {
    let count = 0
    for (const batch of batches) {
      const [slice] = batch.slices
      if (slice) this.#cursors.push({ batch, at: 0, slice })
      count += batch.slices.length
    }
    this.slices = count
    // What is sorted is a heap.
    this.#cursors.sort((a, b) => compare(a.slice, b.slice))
  }

  /** The first run that is not punched; undefined when all are. */
  next(): DeadRun | undefined {
    this.#run ??= this.#take()
    return this.#run
  }

  /** The run that `next` told is punched. Returns the batches of which it was the last. */
  punched(): FreedBatchId[] {
    const ended = this.#ended
    this.#ended = []
    this.#run = undefined
    return ended
  }

  #take(): DeadRun | undefined {
    const first = this.#cursors[0]?.slice
    if (!first) return undefined
    const { segment, offset } = first
    let end = offset
    for (let slice: FreedSlice | undefined = first; slice; slice = this.#cursors[0]?.slice) {
      if (slice.segment !== segment || slice.offset !== end) break
      end += slice.length
      this.#advance()
    }
    return { segment, offset, length: end - offset }
  }

  /** The cursor that is first goes on to its next slice. */
  #advance(): void {
    const [cursor] = this.#cursors
    if (!cursor) return
    const slice = cursor.batch.slices[++cursor.at]
    if (slice) {
      cursor.slice = slice
      this.#sink(cursor)
      return
    }
    this.#ended.push(cursor.batch.id)
    const last = this.#cursors.pop()
    if (last && last !== cursor) this.#sink(last)
  }

  /** Puts the cursor where it belongs, from the top down. */
  #sink(cursor: Cursor): void {
    const heap = this.#cursors
    let at = 0
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      if (!left) break
      const isRight = right !== undefined && compare(right.slice, left.slice) < 0
      const child = isRight ? right : left
      if (compare(cursor.slice, child.slice) <= 0) break
      heap[at] = child
      at = 2 * at + (isRight ? 2 : 1)
    }
    heap[at] = cursor
  }
}

function compare(a: FreedSlice, b: FreedSlice): number {
  return a.segment - b.segment || a.offset - b.offset
}
