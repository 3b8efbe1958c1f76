/** What one member knows about its own rights to one inode. No state at all means: shared. */
import type { ByteRange, TokenMode, TokenWant } from '../../fs/ports/token-service.ts'
import { RANGE_END } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Left } from './token-message.ts'
import { endOf, overlapsAny, startOf, subtractRange } from './token-range.ts'

export interface Recall {
  readonly left: Left
  /** The minimum hold time is over: no new guard that is in the way. */
  elapsed: boolean
  /** Nothing is in the way any more; waits for its release to be sent. */
  ready: boolean
  /** `uses` of the state when the holding was last looked at; -1 before. */
  usesSeen: number
  /** How many times in a row nothing was done in between. */
  idleLooks: number
  /** Guards were given after the recall came. */
  gained: boolean
}

/** A range held under one exclusive grant; a grant may be held in several pieces. */
export class Holding {
  start: number
  end: number
  readonly grant: number
  installedAtMs = 0
  /** `uses` of the state when it was installed. */
  usesBefore = 0
  recall: Recall | undefined

  constructor(start: number, end: number, grant: number) {
    this.start = start
    this.end = end
    this.grant = grant
  }

  /** Cuts the holding in two; returns the part from `at` on, whose recall is not ready yet. */
  split(at: number): Holding {
    const rest = new Holding(at, this.end, this.grant)
    this.end = at
    rest.installedAtMs = this.installedAtMs
    rest.usesBefore = this.usesBefore
    if (this.recall !== undefined) rest.recall = { ...this.recall, ready: false }
    return rest
  }
}

/** A note not acknowledged yet, because some of what it names is still looked at. */
export interface PendingNote {
  readonly number: number
  readonly inos: readonly Ino[]
  /** Items still in use. */
  left: number
}

export interface PendingNoteItem extends ByteRange {
  readonly note: PendingNote
}

/** How many places of use are remembered: about as many as processes work on one file. */
const RECENT_MAX = 16

export class TokenState {
  readonly ino: Ino
  /** Created here, and nobody else can know it yet (RULES 21). */
  owned = false
  /** Its ownership ended while exclusive guards run: no directory is released before they end. */
  ending = false
  /** Exclusive grants, from their arrival until their release is sent; disjoint. */
  readonly holdings: Holding[] = []
  /** Exclusive elsewhere, or it was: disjoint, in order. */
  noted: readonly ByteRange[] = []
  /** Ranges of grants and clears that arrived and whose vector is not applied yet. */
  readonly installing: ByteRange[] = []
  notes: PendingNoteItem[] = []
  sharedGuards = 0
  exclusiveGuards = 0
  /** How many guards were given, or waited here for other inodes. */
  uses = 0
  /** An exclusive guard was given, or waited for, since all of it was last given up. */
  changed = false
  /** `uses` when another member asked last; -1 before. */
  usesProbed = -1
  /** Those guards that are on a range. */
  readonly #ranged: TokenWant[] = []
  /** Where exclusive guards on ranges were taken last: starts and ends, the oldest at `#oldest`. */
  readonly #recent: number[] = []
  #oldest = 0

  constructor(ino: Ino) {
    this.ino = ino
  }

  /** True when a new guard is fine right now. */
  allows(want: TokenWant): boolean {
    const start = startOf(want)
    const end = endOf(want)
    if (this.isInstalling(start, end)) return false
    if (this.owned) return true
    return want.mode === 'shared' ? this.#mayLook(start, end) : this.#mayChange(start, end)
  }

  #mayLook(start: number, end: number): boolean {
    if (overlapsAny(this.noted, start, end)) return false
    for (const { recall, start: from, end: to } of this.holdings) {
      if (recall?.elapsed && recall.left === 'none' && from < end && to > start) return false
    }
    return true
  }

  #mayChange(start: number, end: number): boolean {
    let at = start
    // Pieces lie in no order: each round adds one.
    for (let round = 0; round < this.holdings.length && at < end; round++) {
      for (const { recall, start: from, end: to } of this.holdings) {
        if (from <= at && to > at && !recall?.elapsed) at = to
      }
    }
    return at >= end
  }

  isInstalling(start: number, end: number): boolean {
    return this.installing.length > 0 && overlapsAny(this.installing, start, end)
  }

  installed(start: number, end: number): void {
    const index = this.installing.findIndex((each) => each.start === start && each.end === end)
    if (index >= 0) this.installing.splice(index, 1)
  }

  guardTaken(want: TokenWant): void {
    this.uses++
    if (want.mode === 'shared') this.sharedGuards++
    else {
      this.exclusiveGuards++
      this.changed = true
    }
    if (want.range === undefined) return
    this.#ranged.push(want)
    if (want.mode === 'exclusive') this.#used(startOf(want), endOf(want))
  }

  /** False when there is no such guard. */
  guardEnded(want: TokenWant): boolean {
    if (want.range !== undefined) {
      const index = this.#ranged.indexOf(want)
      if (index < 0) return false
      this.#ranged.splice(index, 1)
    }
    if (want.mode === 'shared') return --this.sharedGuards >= 0
    return --this.exclusiveGuards >= 0
  }

  /** True when a guard of that mode or a stronger one touches the range. */
  isGuarded(mode: TokenMode, start: number, end: number): boolean {
    let whole = this.exclusiveGuards + (mode === 'shared' ? this.sharedGuards : 0)
    for (const want of this.#ranged) {
      if (mode === 'exclusive' && want.mode === 'shared') continue
      if (startOf(want) < end && endOf(want) > start) return true
      whole--
    }
    return whole > 0
  }

  /** One entry follows a process that goes through the file in order. */
  #used(start: number, end: number): void {
    const recent = this.#recent
    for (let i = 0; i < recent.length; i += 2) {
      const from = recent[i] as number
      const to = recent[i + 1] as number
      if (from > end || to < start) continue
      recent[i] = start
      recent[i + 1] = end
      return
    }
    recent[this.#oldest] = start
    recent[this.#oldest + 1] = end
    this.#oldest = (this.#oldest + 2) % (RECENT_MAX * 2)
  }

  /** The first place of recent use from `at` on. */
  nextUse(at: number): number {
    let next = RANGE_END
    for (let i = 0; i < this.#recent.length; i += 2) {
      const start = this.#recent[i] as number
      if (start >= at && start < next) next = start
    }
    return next
  }

  /** Takes the range out of all holdings. Returns pieces cut off whose recall goes on. */
  cutHoldings(start: number, end: number): Holding[] {
    const cutOff: Holding[] = []
    for (const holding of [...this.holdings]) {
      if (holding.start >= end || holding.end <= start) continue
      if (holding.end > end) {
        const rest = holding.split(end)
        this.holdings.push(rest)
        if (rest.recall !== undefined) cutOff.push(rest)
      }
      if (holding.start < start) holding.end = start
      else this.dropHolding(holding)
    }
    return cutOff
  }

  dropHolding(holding: Holding): void {
    const index = this.holdings.indexOf(holding)
    if (index >= 0) this.holdings.splice(index, 1)
  }

  /** Pieces of that grant without a recall that make up exactly its part of the range. */
  carveHoldings(grant: number, start: number, end: number): Holding[] {
    const pieces: Holding[] = []
    for (const holding of [...this.holdings]) {
      if (holding.grant !== grant || holding.recall !== undefined) continue
      if (holding.start >= end || holding.end <= start) continue
      let piece = holding
      if (piece.start < start) {
        piece = holding.split(start)
        this.holdings.push(piece)
      }
      if (piece.end > end) this.holdings.push(piece.split(end))
      pieces.push(piece)
    }
    return pieces
  }

  /** Makes the holding longer by what follows it under the same grant and is not recalled. */
  widen(holding: Holding, limit: number): void {
    for (;;) {
      const next = this.holdings.find((each) => each.start === holding.end)
      if (next === undefined || next.grant !== holding.grant || next.recall !== undefined) return
      if (next.end > limit) {
        if (limit > next.start) {
          next.start = limit
          holding.end = limit
        }
        return
      }
      this.dropHolding(next)
      holding.end = next.end
    }
  }

  /** The range is not noted any more. */
  unnote(start: number, end: number): void {
    if (this.noted.length > 0) this.noted = subtractRange(this.noted, start, end)
  }

  /** True when it says no more than its absence. */
  get isBlank(): boolean {
    return (
      !this.owned &&
      this.holdings.length === 0 &&
      this.noted.length === 0 &&
      this.installing.length === 0 &&
      this.notes.length === 0 &&
      this.guards === 0
    )
  }

  /** True when the end of a guard may be waited for. */
  get isAwaited(): boolean {
    if (this.ending || this.notes.length > 0) return true
    for (const { recall } of this.holdings) if (recall !== undefined) return true
    return false
  }

  get guards(): number {
    return this.sharedGuards + this.exclusiveGuards
  }

  /** The same guards in a new epoch, where everything is shared. */
  inNewEpoch(): TokenState {
    const fresh = new TokenState(this.ino)
    fresh.sharedGuards = this.sharedGuards
    fresh.#ranged.push(...this.#ranged)
    return fresh
  }
}
