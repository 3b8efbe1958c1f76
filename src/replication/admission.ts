/**
 * Admission: in which order a member takes entries into its journal and state.
 *
 * Invariant: the sequence of admitted entries is causally closed. An entry is admitted only when
 * its writer's previous entry, all its `deps`, everything up to the cuts of every epoch up to its
 * own (RULES 18) and its slices (RULES 3) are there; an entry beyond its writer's cut, or one that
 * carries an epoch its position cannot have, is void and never admitted.
 *
 * Pure: entries come in by `offer`, the caller takes them out with `next` and journals, then
 * applies them. What waits is bounded; what is dropped is fetched again by catch-up.
 */
import { assert } from '../fs/assert.ts'
import type { Epoch, Seq, WriterId } from '../fs/primitives.ts'
import { Cuts } from './cuts.ts'
import type { Entry, SealedEntry } from './entry.ts'
import type { EpochRecord } from './record.ts'
import type { Vector } from './vector.ts'

export interface Admitted {
  readonly sealed: SealedEntry
  readonly entry: Entry
}

export interface AdmissionOptions {
  /** Most entries and bytes waiting for one writer. */
  readonly waitingEntriesMax: number
  readonly waitingBytesMax: number
}

export const ADMISSION_DEFAULTS: AdmissionOptions = {
  waitingEntriesMax: 8192,
  waitingBytesMax: 48 * 1024 * 1024
}

export type OfferResult = 'waiting' | 'duplicate' | 'void' | 'dropped'

interface WriterQueue {
  readonly waiting: Map<Seq, Admitted>
  bytes: number
}

export class Admission {
  readonly #applied: Map<WriterId, Seq>
  readonly #queues = new Map<WriterId, WriterQueue>()
  readonly #options: AdmissionOptions
  #record: EpochRecord
  #limit: Vector | undefined
  #pendingCuts: Vector | undefined
  /** Every cut of the epochs up to this one is applied. */
  #passedEpoch: Epoch | 0 = 0
  #cuts: Cuts

  /** `epoch`: the last one whose cuts are all in `applied`, as far as that is known. */
  constructor(
    components: {
      readonly record: EpochRecord
      readonly applied: Vector
      readonly epoch: Epoch | 0
    },
    options: AdmissionOptions = ADMISSION_DEFAULTS
  ) {
    this.#record = components.record
    this.#applied = new Map(components.applied)
    this.#options = options
    // The record says how the later ones ended.
    this.#passedEpoch = Math.min(components.epoch, components.record.forgotten) as Epoch | 0
    this.#cuts = new Cuts(components.record)
    this.#advanceEpoch()
  }

  /** Live view of what is applied, from every writer. */
  get applied(): Vector {
    return this.#applied
  }

  get record(): EpochRecord {
    return this.#record
  }

  appliedOf(writer: WriterId): Seq {
    return (this.#applied.get(writer) ?? 0) as Seq
  }

  /** True for an entry that every member of the in-sync set holds: it lies within a cut. */
  isAgreed(entry: Pick<Entry, 'writer' | 'seq'>): boolean {
    return this.#cuts.isAgreed(entry)
  }

  /** True when everything up to the cuts of the newest epoch is applied. */
  get atCuts(): boolean {
    return this.#passedEpoch === this.#record.epoch
  }

  /** The last epoch whose cuts, and those of all before it, are applied. */
  get passedEpoch(): Epoch | 0 {
    return this.#passedEpoch
  }

  /** What is applied of the writers the record still knows. */
  get remembered(): Map<WriterId, Seq> {
    const known = [...this.#applied].filter(([writer]) => !this.isForgotten(writer))
    return new Map(known)
  }

  /** Its entries are in the state, or void, since long ago. */
  isForgotten(writer: WriterId): boolean {
    return this.#cuts.isForgotten(writer)
  }

  /** Takes a newer record; entries it makes void are dropped. */
  install(record: EpochRecord): void {
    assert(record.epoch >= this.#record.epoch, 'an older epoch record')
    if (record.epoch > this.#record.epoch) {
      this.#limit = undefined
      this.#pendingCuts = undefined
    }
    this.#record = record
    this.#cuts = new Cuts(record)
    for (const [writer, queue] of this.#queues) {
      for (const [seq, item] of queue.waiting) {
        if (!this.#cuts.isVoid(item.entry)) continue
        queue.waiting.delete(seq)
        queue.bytes -= sizeOf(item)
      }
      if (queue.waiting.size === 0) this.#queues.delete(writer)
    }
    this.#advanceEpoch()
  }

  /**
   * From when a member has said what it holds until the next record, nothing beyond that is
   * admitted of the live writers: the cut may be there. Undefined lifts the limit.
   */
  limitTo(limit: Vector | undefined): void {
    this.#limit = limit
  }

  /**
   * The cuts of a record that may still be chosen, and in which this member is in sync: whatever else it
   * is told to hold, nothing beyond them is admitted until the next record. Undefined: there is none.
   */
  limitToPending(cuts: Vector | undefined): void {
    this.#pendingCuts = cuts
  }

  /** An own entry was journaled and applied. */
  noteOwn(writer: WriterId, seq: Seq): void {
    assert(seq === this.appliedOf(writer) + 1, 'own entries follow each other')
    this.#applied.set(writer, seq)
  }

  offer(item: Admitted): OfferResult {
    const { writer, seq } = item.entry
    if (seq <= this.appliedOf(writer)) return 'duplicate'
    if (this.#cuts.isVoid(item.entry)) return 'void'
    let queue = this.#queues.get(writer)
    if (!queue) {
      queue = { waiting: new Map(), bytes: 0 }
      this.#queues.set(writer, queue)
    }
    if (queue.waiting.has(seq)) return 'duplicate'
    const isNext = seq === this.appliedOf(writer) + 1
    const full =
      queue.waiting.size >= this.#options.waitingEntriesMax ||
      queue.bytes + sizeOf(item) > this.#options.waitingBytesMax
    if (full && !isNext) return 'dropped'
    queue.waiting.set(seq, item)
    queue.bytes += sizeOf(item)
    return 'waiting'
  }

  /**
   * The next entry that may be applied, taken out of the queue and counted as applied: the caller
   * journals and applies it before anything else happens. Undefined when none is ready.
   */
  next(hasSlices: (item: Admitted) => boolean): Admitted | undefined {
    for (const [writer, queue] of this.#queues) {
      const seq = (this.appliedOf(writer) + 1) as Seq
      const item = queue.waiting.get(seq)
      if (!item || this.#isBeyondLimit(item.entry)) continue
      if (!this.#isCausal(item.entry) || !hasSlices(item)) continue
      queue.waiting.delete(seq)
      queue.bytes -= sizeOf(item)
      if (queue.waiting.size === 0) this.#queues.delete(writer)
      this.#applied.set(writer, seq)
      this.#advanceEpoch()
      return item
    }
    return undefined
  }

  /** Entries whose causes are there and that wait for their slices alone. */
  waitingForSlices(hasSlices: (item: Admitted) => boolean): Admitted[] {
    const items: Admitted[] = []
    for (const [writer, queue] of this.#queues) {
      const item = queue.waiting.get((this.appliedOf(writer) + 1) as Seq)
      if (item && !hasSlices(item)) items.push(item)
    }
    return items
  }

  /** Everything that waits, in no order. */
  *waiting(): Generator<Admitted, void, undefined> {
    for (const queue of this.#queues.values()) yield* queue.waiting.values()
  }

  /** The first seq of the writer that neither is applied nor waits. */
  firstMissing(writer: WriterId): Seq {
    let seq = this.appliedOf(writer) + 1
    const queue = this.#queues.get(writer)
    while (queue?.waiting.has(seq as Seq)) seq++
    return seq as Seq
  }

  get waitingEntries(): number {
    let total = 0
    for (const queue of this.#queues.values()) total += queue.waiting.size
    return total
  }

  #isBeyondLimit({ writer, seq }: Entry): boolean {
    if (seq > (this.#pendingCuts?.get(writer) ?? seq)) return true
    if (!this.#limit || !this.#record.live.includes(writer)) return false
    return seq > (this.#limit.get(writer) ?? 0)
  }

  #isCausal(entry: Entry): boolean {
    if (entry.epoch > this.#passedEpoch) return false
    for (const [writer, seq] of entry.deps) {
      if (this.appliedOf(writer) < seq) return false
    }
    return true
  }

  #advanceEpoch(): void {
    // Who has not passed what is forgotten cannot tell what is missing.
    if (this.#passedEpoch < this.#record.forgotten) return
    if (this.#passedEpoch === this.#record.epoch) return
    for (const { epoch, cuts } of this.#record.history) {
      if (epoch <= this.#passedEpoch) continue
      for (const [writer, seq] of cuts) {
        if (this.appliedOf(writer) < seq) return
      }
      this.#passedEpoch = epoch
    }
  }
}

function sizeOf(item: Admitted): number {
  return item.sealed.head.length + item.sealed.payload.length + 128
}
