/**
 * Where each writer's entries end, by epoch and for good, as an epoch record says it.
 *
 * Invariant: what lies behind a cut is void for ever (RULES 6, 19): it is told from the entry and
 * the record alone, so every member decides the same.
 */
import type { Epoch, Seq, WriterId } from '../fs/primitives.ts'
import type { Entry } from './entry.ts'
import type { EpochRecord } from './record.ts'
import { isForgotten } from './record-history.ts'

interface WriterEnds {
  readonly finalSeq: number
  /** The last cut: every member of the in-sync set has all up to it. */
  agreed: number
  readonly cuts: { readonly epoch: Epoch; readonly cut: Seq }[]
}

export class Cuts {
  readonly #record: EpochRecord
  readonly #ends = new Map<WriterId, WriterEnds>()

  constructor(record: EpochRecord) {
    const { writers, history } = record
    this.#record = record
    for (const { writer, finalSeq } of writers) {
      const end = finalSeq ?? Number.POSITIVE_INFINITY
      this.#ends.set(writer, { finalSeq: end, agreed: finalSeq ?? 0, cuts: [] })
    }
    for (const { epoch, cuts } of history) {
      for (const [writer, cut] of cuts) {
        const ends = this.#ends.get(writer)
        if (!ends) continue
        ends.cuts.push({ epoch, cut })
        ends.agreed = Math.max(ends.agreed, cut)
      }
    }
  }

  /** Its entries are in the state, or void, since long ago. */
  isForgotten(writer: WriterId): boolean {
    return !this.#ends.has(writer) && isForgotten(this.#record, writer)
  }

  /** True for an entry that every member of the record's in-sync set holds (RULES 10). */
  isAgreed({ writer, seq }: Pick<Entry, 'writer' | 'seq'>): boolean {
    const ends = this.#ends.get(writer)
    return ends ? seq <= ends.agreed : this.isForgotten(writer)
  }

  /** True for an entry behind its writer's cut, or with an epoch its position cannot have. */
  isVoid({ writer, seq, epoch }: Pick<Entry, 'writer' | 'seq' | 'epoch'>): boolean {
    const ends = this.#ends.get(writer)
    if (!ends) return this.isForgotten(writer)
    if (seq > ends.finalSeq) return true
    for (const cut of ends.cuts) {
      // A cut divides the writer's entries: those of earlier epochs end there.
      if (epoch < cut.epoch && seq > cut.cut) return true
      if (epoch >= cut.epoch && seq <= cut.cut) return true
    }
    return false
  }
}
