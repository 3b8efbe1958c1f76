/**
 * Fetches the bytes that did not come with a state that was copied from another member: slice after
 * slice in the order they stand in their segments, neighbours together. What stands on the disk
 * already (of an earlier life of this member) is only checked.
 *
 * Invariant (RULES 3): a slice leaves the backlog when its bytes are in its segment and their sha256
 * is right, or when it is dead; the commit that says so is durable only after the segment is. Until
 * the backlog is empty the member does not ask to join.
 */
import type { Slice } from '../../fs/op.ts'
import { SLICE_MAX_BYTES } from '../../fs/op.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { SliceReply } from '../messages.ts'
import type { SegmentStore } from '../storage/segment-store.ts'
import { sliceMatches } from '../storage/segment-store.ts'
import { systemCode } from '../storage/storage-errors.ts'
import type { PeerLinks } from './peer-links.ts'
import type { ReplicaDueSlices } from './replica-ports.ts'
import type { Slices } from './slices.ts'

const SLICES_PER_ROUND = 1024
const RUNS_AT_ONCE = 16
const ANSWER_MS = 5000
const RETRY_MS = 1000
/** Bytes checked before the event loop gets its turn again. */
const CHECKED_PER_TURN_BYTES = 1024 * 1024

export interface SliceBacklogComponents {
  readonly due: ReplicaDueSlices
  readonly segments: Pick<SegmentStore, 'writeAt' | 'verifySha' | 'markUnsynced'>
  readonly slices: Pick<Slices, 'fetch' | 'noteUnjournaled'>
  readonly links: Pick<PeerLinks, 'bulkConnected' | 'sendBulk'>
  /** Members that hold everything. */
  readonly inSync: () => readonly MemberId[]
  /** True for such a member that is known to have applied all that the copied state contains. */
  readonly hadAll: (member: MemberId) => boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly onFatal: (reason: unknown) => void
}

interface Asked {
  readonly from: MemberId
  readonly length: number
  readonly answer: (data: Buffer | undefined) => void
}

export class SliceBacklog {
  readonly #components: SliceBacklogComponents
  readonly #asked = new Map<string, Asked>()
  readonly #pauses = new Set<{ timer: Timer; resolve: () => void }>()
  #turn = 0
  #isFull = false
  #stopped = false

  constructor(components: SliceBacklogComponents) {
    this.#components = components
  }

  get left(): ReplicaDueSlices['left'] {
    return this.#components.due.left
  }

  /** Begins; it ends when nothing is due any more. */
  start(): void {
    if (this.left.slices === 0) return
    this.#components.logger.info({ ...this.left }, 'data of the copied state is fetched')
    this.#run().catch((error: unknown) => {
      if (!this.#stopped) this.#components.onFatal(error)
    })
  }

  stop(): void {
    this.#stopped = true
    for (const { answer } of [...this.#asked.values()]) answer(undefined)
    for (const { timer, resolve } of this.#pauses) {
      timer.cancel()
      resolve()
    }
  }

  /** True when the answer was to a question of the backlog. */
  onReply(from: MemberId, { segment, offset, length, data }: SliceReply): boolean {
    const asked = this.#asked.get(`${segment}:${offset}`)
    if (asked?.from !== from || asked.length !== length) return false
    asked.answer(data)
    return true
  }

  gone(member: MemberId): void {
    for (const { from, answer } of [...this.#asked.values()]) {
      if (from === member) answer(undefined)
    }
  }

  async #run(): Promise<void> {
    const { due, logger } = this.#components
    let last: Slice | undefined
    while (!this.#stopped && this.left.slices > 0) {
      const slices = due.after(last, SLICES_PER_ROUND)
      last = slices.at(-1)
      if (last === undefined) {
        await this.#pause(RETRY_MS)
        continue
      }
      await this.#fetchAll(runsOf(await this.#missing(slices)))
    }
    if (!this.#stopped) logger.info({}, 'data of the copied state is here')
  }

  /** Those of them whose bytes are not on the disk. */
  async #missing(slices: readonly Slice[]): Promise<Slice[]> {
    const missing: Slice[] = []
    let checkedBytes = 0
    for (const slice of slices) {
      if (this.#stopped) return []
      const state = this.#components.segments.verifySha(slice)
      if (state === 'ok') this.#settleFound(slice)
      else missing.push(slice)
      if (state !== 'missing') checkedBytes += slice.length
      if (checkedBytes < CHECKED_PER_TURN_BYTES) continue
      checkedBytes = 0
      await this.#pause(0)
    }
    return missing
  }

  async #fetchAll(runs: Slice[][]): Promise<void> {
    const work = async (): Promise<void> => {
      for (let run = runs.shift(); run && !this.#stopped; run = runs.shift()) await this.#fetch(run)
    }
    await Promise.all(Array.from({ length: RUNS_AT_ONCE }, work))
  }

  async #fetch(run: readonly Slice[]): Promise<void> {
    const data = await this.#ask(run)
    if (this.#stopped) return
    if (data && this.#matches(run, data)) {
      if (!this.#store(run, data)) await this.#pause(RETRY_MS)
      return
    }
    // One of them is dead, or damaged there: each by itself, from whoever has it.
    for (const slice of run) {
      const outcome = await this.#components.slices.fetch(slice, this.#components.hadAll)
      if (this.#stopped) return
      if (outcome !== 'unavailable') this.#settle(slice)
    }
  }

  #ask(run: readonly Slice[]): Promise<Buffer | undefined> {
    const [first] = run
    const from = this.#source()
    if (first === undefined || from === undefined) return Promise.resolve(undefined)
    const { segment, offset } = first
    const key = `${segment}:${offset}`
    return new Promise((resolve) => {
      const answer = (data: Buffer | undefined): void => {
        timer.cancel()
        this.#asked.delete(key)
        resolve(data)
      }
      const timer = this.#components.clock.setTimer(ANSWER_MS, () => answer(undefined))
      const length = lengthOf(run)
      this.#asked.set(key, { from, length, answer })
      this.#components.links.sendBulk(from, { type: 'fetch-slice', segment, offset, length })
    })
  }

  #source(): MemberId | undefined {
    const { links, inSync } = this.#components
    const sources = links.bulkConnected().filter((member) => inSync().includes(member))
    return sources[this.#turn++ % sources.length]
  }

  #matches(run: readonly Slice[], data: Buffer): boolean {
    const [first] = run
    if (first === undefined || data.length !== lengthOf(run)) return false
    return run.every((slice) => {
      const from = slice.offset - first.offset
      return sliceMatches(slice, data.subarray(from, from + slice.length))
    })
  }

  /** False when the disk is full: it stays due. */
  #store(run: readonly Slice[], data: Buffer): boolean {
    const [first] = run
    if (first === undefined) return true
    try {
      this.#components.segments.writeAt(first.segment, first.offset, data)
    } catch (error) {
      const code = systemCode(error)
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error
      if (!this.#isFull) this.#components.logger.error({ error }, 'no room for the copied data')
      this.#isFull = true
      return false
    }
    this.#isFull = false
    for (const slice of run) this.#settle(slice)
    return true
  }

  /** It stood there; nobody knows whether it was ever synced. */
  #settleFound(slice: Slice): void {
    this.#components.segments.markUnsynced(slice.segment)
    this.#settle(slice)
  }

  #settle(slice: Slice): void {
    const { due, slices } = this.#components
    slices.noteUnjournaled(slice.segment)
    due.settle(slice)
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const pause = {
        timer: this.#components.clock.setTimer(delayMs, () => {
          this.#pauses.delete(pause)
          resolve()
        }),
        resolve
      }
      this.#pauses.add(pause)
    })
  }
}

function lengthOf(run: readonly Slice[]): number {
  const [first] = run
  const last = run.at(-1)
  return first && last ? last.offset + last.length - first.offset : 0
}

/** Neighbours in a segment that fit one message. */
function runsOf(slices: readonly Slice[]): Slice[][] {
  const runs: Slice[][] = []
  let run: Slice[] = []
  for (const slice of slices) {
    const last = run.at(-1)
    const follows = last?.segment === slice.segment && last.offset + last.length === slice.offset
    const bytes = slice.offset + slice.length - (run[0]?.offset ?? 0)
    if (!follows || bytes > SLICE_MAX_BYTES) {
      run = []
      runs.push(run)
    }
    run.push(slice)
  }
  return runs
}
