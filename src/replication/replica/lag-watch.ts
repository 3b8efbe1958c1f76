/**
 * How far the others are behind this member and this member behind what it knows to exist: in
 * entries, bytes and seconds. Sampled at every beat; for reports only.
 */
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'
import type { RecentEntries } from './recent-entries.ts'

export interface Lag {
  readonly entries: number
  /** Of what is not in memory any more an average is taken. */
  readonly bytes: number
  /** Since when it has been behind without a break. */
  readonly seconds: number
}

export interface CatchUpProgress {
  readonly entriesLeft: number
  /** Of those entries, and of a state that is fetched from another member with its data. */
  readonly bytesLeft: number
  /** null while the rate is not known. */
  readonly secondsLeft: number | null
}

export interface LagWatchComponents {
  readonly record: () => EpochRecord
  readonly applied: () => Vector
  readonly heldBy: (member: MemberId) => Vector | undefined
  /** Entries known to exist that are not applied here. */
  readonly ownLag: () => number
  /** Bytes to come of a state, or of the data it names. */
  readonly stateLeftBytes: () => number
  readonly recent: Pick<RecentEntries, 'get' | 'averageBytes'>
  readonly nowMs: () => number
}

/** How much of the last rate stays in the next one. */
const SMOOTHING = 0.7

export class LagWatch {
  readonly #components: LagWatchComponents
  readonly #sinceMs = new Map<MemberId, number>()
  readonly #entryRate = new FallRate()
  readonly #stateRate = new FallRate()

  constructor(components: LagWatchComponents) {
    this.#components = components
  }

  /** To be called regularly. */
  beat(): void {
    const { record, nowMs, ownLag, stateLeftBytes } = this.#components
    const now = nowMs()
    for (const { id } of record().members) {
      const missing = this.#missing(id)
      if (!missing || missing.length === 0) this.#sinceMs.delete(id)
      else if (!this.#sinceMs.has(id)) this.#sinceMs.set(id, now)
    }
    this.#entryRate.sample(now, ownLag())
    this.#stateRate.sample(now, stateLeftBytes())
  }

  /** undefined: that member has not said what it holds. */
  lagOf(member: MemberId): Lag | undefined {
    const missing = this.#missing(member)
    if (!missing) return undefined
    const { recent, nowMs } = this.#components
    let entries = 0
    let bytes = 0
    for (const { writer, from, to } of missing) {
      entries += to - from + 1
      bytes += (to - from + 1) * recent.averageBytes
      const newest = recent.get(writer, to)
      if (newest) bytes += newest.head.length + newest.payload.length - recent.averageBytes
    }
    const sinceMs = this.#sinceMs.get(member)
    const seconds = sinceMs === undefined ? 0 : (nowMs() - sinceMs) / 1000
    return {
      entries,
      bytes: Math.max(0, Math.round(bytes)),
      seconds: Math.round(seconds * 10) / 10
    }
  }

  /** undefined when nothing is missing here. */
  progress(): CatchUpProgress | undefined {
    const { ownLag, stateLeftBytes, recent } = this.#components
    const entriesLeft = ownLag()
    const stateBytes = stateLeftBytes()
    if (entriesLeft === 0 && stateBytes === 0) return undefined
    const bytesLeft = stateBytes + Math.round(entriesLeft * recent.averageBytes)
    const entries = this.#entryRate.secondsFor(entriesLeft)
    const state = this.#stateRate.secondsFor(stateBytes)
    const isKnown = entries !== undefined && state !== undefined
    return { entriesLeft, bytesLeft, secondsLeft: isKnown ? entries + state : null }
  }

  #missing(member: MemberId): { writer: WriterId; from: Seq; to: Seq }[] | undefined {
    const { record, applied, heldBy } = this.#components
    const held = heldBy(member)
    if (!held) return undefined
    return record().live.flatMap((writer) => {
      const to = (applied().get(writer) ?? 0) as Seq
      const from = ((held.get(writer) ?? 0) + 1) as Seq
      return from > to ? [] : [{ writer, from, to }]
    })
  }
}

/** How fast a number falls. */
class FallRate {
  #last: { readonly atMs: number; readonly left: number } | undefined
  #perSecond = 0

  sample(atMs: number, left: number): void {
    const last = this.#last
    if (last && atMs > last.atMs) {
      const rate = (Math.max(0, last.left - left) * 1000) / (atMs - last.atMs)
      this.#perSecond = this.#perSecond * SMOOTHING + rate * (1 - SMOOTHING)
    }
    this.#last = { atMs, left }
  }

  /** undefined while it does not fall. */
  secondsFor(left: number): number | undefined {
    if (left === 0) return 0
    return this.#perSecond < 1 ? undefined : Math.ceil(left / this.#perSecond)
  }
}
