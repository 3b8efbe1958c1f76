/**
 * Slices that are missing here, fetched from the members that have them: one after the other is
 * asked, a bounded number of slices at a time. What nobody in reach has is asked for again later.
 *
 * Invariant (RULES 3, 11): a slice is dead only when a member that had it, as was known when it was asked,
 * does not have it.
 */
import type { Slice } from '../../fs/op.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf, writerOfSegment } from '../../fs/primitives.ts'
import type { SliceReply } from '../messages.ts'
import { sliceMatches } from '../storage/segment-store.ts'
import type { PeerLinks } from './peer-links.ts'

export interface SliceFetchesComponents {
  readonly links: Pick<PeerLinks, 'bulkConnected' | 'sendBulk'>
  readonly clock: Clock
  /** Puts the bytes of the slice, which are right, into its segment; false when that failed. */
  readonly store: (slice: Slice, data: Uint8Array) => boolean
  /** A wanted slice is dead. */
  readonly onDead: (key: string) => void
}

export interface SliceFetchesOptions {
  readonly fetchTimeoutMs: number
  readonly fetchesMax: number
  /** Pause before a slice that nobody in reach had is asked for again. */
  readonly retryMs: number
}

/** Of the filesystems below: a hole is made of these. */
const BLOCK_BYTES = 4096

/** What became of a fetch: here now, dead (nothing refers to it), or not to be had at present. */
export type FetchOutcome = 'here' | 'dead' | 'unavailable'

/** True for members that had the slice before: where it is missing now, it is dead. */
export type HadIt = (member: MemberId) => boolean

interface Wanted {
  readonly slice: Slice
  readonly hadIt: HadIt
}

interface Fetch extends Wanted {
  readonly asked: Set<MemberId>
  readonly refused: Set<MemberId>
  /** Asked when they were known to have had it. */
  readonly sure: Set<MemberId>
  /** Somebody who had it has it no more. */
  isDead: boolean
  timer: Timer | undefined
  readonly waiting: ((outcome: FetchOutcome) => void)[]
}

export class SliceFetches {
  readonly #components: SliceFetchesComponents
  readonly #options: SliceFetchesOptions
  readonly #fetches = new Map<string, Fetch>()
  readonly #queue: Wanted[] = []
  /** Keys of all slices that are queued, being fetched, or to be tried again. */
  readonly #queued = new Set<string>()
  readonly #unavailable: Wanted[] = []
  #retry: Timer | undefined
  #closed = false

  constructor(components: SliceFetchesComponents, options: SliceFetchesOptions) {
    this.#components = components
    this.#options = options
  }

  /** It is being fetched, or will be. */
  isWanted(slice: Slice): boolean {
    const key = keyOf(slice)
    return this.#fetches.has(key) || this.#queued.has(key)
  }

  /** To be fetched by the next `fill`, and until it is here or dead. */
  want(slice: Slice, hadIt: HadIt): void {
    this.#queue.push({ slice, hadIt })
    this.#queued.add(keyOf(slice))
  }

  onPeerGone(member: MemberId): void {
    for (const fetch of [...this.#fetches.values()]) {
      if (fetch.asked.has(member) && !fetch.refused.has(member)) this.#ask(fetch)
    }
  }

  close(): void {
    this.#closed = true
    this.#retry?.cancel()
    for (const fetch of [...this.#fetches.values()]) this.#finish(fetch, 'unavailable')
  }

  /**
   * Gets the slice into its segment from whoever has it; ends after every member was asked once.
   * `hadIt`: members that had it; where such a one lacks it now, it is dead.
   */
  fetch(slice: Slice, hadIt: HadIt): Promise<FetchOutcome> {
    if (this.#closed) return Promise.resolve('unavailable')
    return new Promise((resolve) => {
      const key = keyOf(slice)
      let fetch = this.#fetches.get(key)
      if (!fetch) {
        fetch = { slice, hadIt, ...emptyFetch() }
        this.#fetches.set(key, fetch)
        fetch.waiting.push(resolve)
        this.#ask(fetch)
      } else {
        fetch.waiting.push(resolve)
      }
    })
  }

  #ask(fetch: Fetch): void {
    fetch.timer?.cancel()
    const { links, clock } = this.#components
    const owner = memberOf(writerOfSegment(fetch.slice.segment))
    const candidates = links.bulkConnected().filter((m) => !fetch.asked.has(m))
    const member = candidates.find((m) => m === owner) ?? candidates[0]
    if (member === undefined) {
      this.#finish(fetch, fetch.isDead ? 'dead' : 'unavailable')
      return
    }
    fetch.asked.add(member)
    if (fetch.hadIt(member)) fetch.sure.add(member)
    const { segment, offset, length } = fetch.slice
    links.sendBulk(member, { type: 'fetch-slice', segment, offset, length })
    fetch.timer = clock.setTimer(this.#options.fetchTimeoutMs, () => this.#ask(fetch))
  }

  onReply(from: MemberId, message: SliceReply): void {
    const fetch = this.#fetches.get(`${message.segment}:${message.offset}`)
    // A late answer to who asked for more in one piece (the backlog) says nothing of this slice.
    if (!fetch?.asked.has(from) || message.length !== fetch.slice.length) return
    if (message.data && sliceMatches(fetch.slice, message.data)) {
      const isStored = this.#components.store(fetch.slice, message.data)
      this.#finish(fetch, isStored ? 'here' : 'unavailable')
      return
    }
    const isGone = !message.data || hasHole(fetch.slice, message.data)
    if (isGone && fetch.sure.has(from)) fetch.isDead = true
    fetch.refused.add(from)
    this.#ask(fetch)
  }

  #finish(fetch: Fetch, outcome: FetchOutcome): void {
    fetch.timer?.cancel()
    this.#fetches.delete(keyOf(fetch.slice))
    for (const resolve of fetch.waiting) resolve(outcome)
  }

  /** Starts queued fetches while there is room. */
  fill(): void {
    while (this.#fetches.size < this.#options.fetchesMax) {
      const wanted = this.#queue.shift()
      if (!wanted) return
      const key = keyOf(wanted.slice)
      void this.fetch(wanted.slice, wanted.hadIt).then((outcome) => {
        if (this.#closed) return
        if (outcome === 'unavailable') this.#retryLater(wanted)
        else this.#queued.delete(key)
        if (outcome === 'dead') this.#components.onDead(key)
        this.fill()
      })
    }
  }

  /** Whoever has it may come back: the entries that wait for it must not wait for each other. */
  #retryLater(wanted: Wanted): void {
    this.#unavailable.push(wanted)
    this.#retry ??= this.#components.clock.setTimer(this.#options.retryMs, () => {
      this.#retry = undefined
      this.#queue.push(...this.#unavailable.splice(0))
      this.fill()
    })
  }
}

function emptyFetch(): Omit<Fetch, keyof Wanted> {
  const [asked, refused, sure] = [new Set<MemberId>(), new Set<MemberId>(), new Set<MemberId>()]
  return { asked, refused, sure, isDead: false, timer: undefined, waiting: [] }
}

/**
 * A slice that was punched reads as zeros, or in part: only the whole blocks of the disk below it
 * and its dead neighbours are freed. What is not what it was and has no such gap is damaged.
 */
function hasHole({ offset }: Slice, data: Uint8Array): boolean {
  let start = 0
  while (start < data.length) {
    const end = Math.min(data.length, start + BLOCK_BYTES - ((offset + start) % BLOCK_BYTES))
    if (data.subarray(start, end).every((byte) => byte === 0)) return true
    start = end
  }
  return false
}

export function keyOf(slice: Slice): string {
  return `${slice.segment}:${slice.offset}`
}
