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
  readonly recent: Pick<RecentEntries, 'get' | 'averageBytes'>
  readonly nowMs: () => number
}

/** How much of the last rate stays in the next one. */
const SMOOTHING = 0.7

export class LagWatch {
  readonly #components: LagWatchComponents
  readonly #sinceMs = new Map<MemberId, number>()
  #last: { readonly atMs: number; readonly left: number } | undefined
  #perSecond = 0

  constructor(components: LagWatchComponents) {
    this.#components = components
  }

  /** To be called regularly. */
  beat(): void {
    const { record, nowMs, ownLag } = this.#components
    const now = nowMs()
    for (const { id } of record().members) {
      const missing = this.#missing(id)
      if (!missing || missing.length === 0) this.#sinceMs.delete(id)
      else if (!this.#sinceMs.has(id)) this.#sinceMs.set(id, now)
    }
    const left = ownLag()
    const last = this.#last
    if (last && now > last.atMs) {
      const rate = (Math.max(0, last.left - left) * 1000) / (now - last.atMs)
      this.#perSecond = this.#perSecond * SMOOTHING + rate * (1 - SMOOTHING)
    }
    this.#last = { atMs: now, left }
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
    const { ownLag, recent } = this.#components
    const entriesLeft = ownLag()
    if (entriesLeft === 0) return undefined
    const bytesLeft = Math.round(entriesLeft * recent.averageBytes)
    const secondsLeft = this.#perSecond < 1 ? null : Math.ceil(entriesLeft / this.#perSecond)
    return { entriesLeft, bytesLeft, secondsLeft }
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
