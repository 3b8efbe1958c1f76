/**
 * Recalls and releases of one client. Owns what is being given up.
 *
 * Invariants: a holding is released only after the guards in its way have ended and what they did is
 * part of a closed entry (RULES 16: the vector of the release covers it), and when nothing is left,
 * after the caches are dropped; before a directory is released all ownership ends (RULES 21).
 * A recall names the least to give up; what follows it up to the next place in use goes too.
 */
import type { ByteRange } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import type { ClientContext } from './token-client-context.ts'
import { type ClientHabits, SKIPS_MAX } from './token-habits.ts'
import { type Left, type RecallMessage, TOKEN_ITEMS_MAX } from './token-message.ts'
import type { Ownership, Releasing } from './token-ownership.ts'
import { addRange, endOf, rangePart, startOf } from './token-range.ts'
import type { Holding, Recall, TokenState } from './token-state.ts'

/** How often a holding that is recalled is looked at before its minimum hold time is over. */
const LOOK_MS = 1
/**
 * Looks in a row that find nothing done end it early, for directories. One says little: after a pause
 * of the whole process its timers come first, and what was asked meanwhile only behind them. For
 * files one is enough: many are changed in turns under a lock.
 */
const IDLE_LOOKS = 2
/** How many of the oldest are looked at to give one back. */
const TRIM_SCAN = 8

export interface ReleasesOptions {
  readonly minHoldMs: number
  readonly heldMax: number
  readonly isDirectory: (ino: Ino) => boolean
}

export class ClientReleases {
  readonly #context: ClientContext
  readonly #ownership: Ownership
  readonly #habits: ClientHabits
  readonly #options: ReleasesOptions
  /** Inodes with holdings, those granted last at the end. */
  readonly #held = new Set<TokenState>()
  readonly #ready: Releasing[] = []
  #releasing = false

  constructor(
    components: { context: ClientContext; ownership: Ownership; habits: ClientHabits },
    options: ReleasesOptions
  ) {
    this.#context = components.context
    this.#habits = components.habits
    this.#ownership = components.ownership
    this.#options = options
  }

  get heldCount(): number {
    return this.#held.size
  }

  clear(): void {
    this.#held.clear()
    this.#ready.length = 0
    this.#releasing = false
  }

  /** A grant on the inode is installed. */
  granted(state: TokenState): void {
    this.#held.delete(state)
    this.#held.add(state)
  }

  receive(message: RecallMessage, nowMs: number): void {
    for (const item of message.items) {
      const state = this.#context.states.get(item.ino)
      // Released meanwhile, or granted again under another number; or already being given back,
      // with more left than was asked: the note follows.
      const pieces = state?.carveHoldings(item.grant, startOf(item), endOf(item)) ?? []
      for (const piece of pieces) {
        piece.recall = newRecall(item.left)
        if (state !== undefined) this.hold(state, piece, nowMs)
      }
    }
  }

  /** Obeys the recall of a holding, at the end of its minimum hold time. */
  hold(state: TokenState, holding: Holding, nowMs: number): void {
    const { recall } = holding
    if (recall === undefined || recall.ready) return
    if (state.isInstalling(holding.start, holding.end)) return
    const leftMs = holding.installedAtMs + this.#options.minHoldMs - nowMs
    if (recall.elapsed || leftMs <= 0 || this.#isIdle(state, holding, recall)) {
      this.#elapse(state, holding)
      return
    }
    const delayMs = Math.min(leftMs, LOOK_MS)
    const { ino } = state
    this.#context.effects.push({ type: 'hold-timer', ino, grant: holding.grant, delayMs })
  }

  /** True when holding on is of no use: nothing is done with it, or nothing was the last time. */
  #isIdle(state: TokenState, holding: Holding, recall: Recall): boolean {
    if (state.uses === holding.usesBefore) return true
    const { usesSeen } = recall
    recall.usesSeen = state.uses
    if (usesSeen < 0) return this.#habits.skip(state.ino)
    if (state.uses !== usesSeen) {
      recall.idleLooks = 0
      recall.gained = true
      this.#habits.busy(state.ino)
      return false
    }
    const isDirectory = this.#options.isDirectory(state.ino)
    if (isDirectory && ++recall.idleLooks < IDLE_LOOKS) return false
    if (!recall.gained) this.#habits.idled(state.ino, isDirectory ? 1 : SKIPS_MAX)
    return true
  }

  holdElapsed(ino: Ino, grant: number, nowMs: number): void {
    const state = this.#context.states.get(ino)
    if (state === undefined) return
    for (const holding of [...state.holdings]) {
      if (holding.grant === grant && holding.recall !== undefined) this.hold(state, holding, nowMs)
    }
  }

  #elapse(state: TokenState, holding: Holding): void {
    const { recall } = holding
    if (recall === undefined) return
    if (!recall.elapsed) {
      recall.elapsed = true
      state.widen(holding, state.nextUse(holding.end))
    }
    this.#tryRelease(state, holding)
  }

  /** What had to wait for an installation. */
  settle(state: TokenState, nowMs: number): void {
    for (const holding of [...state.holdings]) this.hold(state, holding, nowMs)
  }

  guardEnded(state: TokenState): void {
    this.#ready.push(...this.#ownership.guardEnded(state))
    this.retry(state)
  }

  /** Looks again at the holdings whose recall is to be obeyed. */
  retry(state: TokenState): void {
    for (const holding of [...state.holdings]) this.#tryRelease(state, holding)
  }

  #tryRelease(state: TokenState, holding: Holding): void {
    const { recall, start, end } = holding
    if (recall === undefined || recall.ready || !recall.elapsed) return
    if (state.isInstalling(start, end)) return
    const inTheWay = recall.left === 'shared' ? 'exclusive' : 'shared'
    if (state.isGuarded(inTheWay, start, end)) return
    recall.ready = true
    if (this.#options.isDirectory(state.ino)) {
      for (const ended of this.#ownership.end()) this.#context.clean(ended)
      if (this.#ownership.isEnding) {
        this.#ownership.putBehind({ state, holding })
        return
      }
    }
    this.#ready.push({ state, holding })
  }

  /**
   * Gives up what is held of the range before anybody asks, as for a recall that leaves nothing: the
   * next to use it then has it with one message less each way.
   */
  giveUpRange(ino: Ino, range: ByteRange): void {
    const state = this.#context.states.get(ino)
    if (state === undefined) return
    const start = startOf({ range })
    const end = endOf({ range })
    for (const grant of new Set(state.holdings.map((holding) => holding.grant))) {
      for (const piece of state.carveHoldings(grant, start, end)) {
        piece.recall = newRecall('none')
        this.#elapse(state, piece)
      }
    }
  }

  /** RULES 32: nobody waited for that grant any more, and nobody uses it. */
  giveBack(ino: Ino, grant: number): void {
    const state = this.#context.states.get(ino)
    if (state === undefined || state.guards > 0) return
    for (const holding of [...state.holdings]) {
      if (holding.grant === grant) this.#giveUp(state, holding)
    }
  }

  #giveUp(state: TokenState, holding: Holding): void {
    holding.recall ??= newRecall('shared')
    holding.recall.elapsed = true
    this.#tryRelease(state, holding)
  }

  /** Gives back unused inodes, those granted first, when there are too many. */
  trim(): void {
    if (this.#held.size <= this.#options.heldMax) return
    let scanned = 0
    for (const state of this.#held) {
      if (scanned++ >= TRIM_SCAN) return
      this.#held.delete(state)
      this.#held.add(state)
      if (state.guards > 0 || state.isAwaited || state.installing.length > 0) continue
      for (const holding of [...state.holdings]) this.#giveUp(state, holding)
    }
  }

  /** Starts the release of what is ready; one batch is under way at a time. */
  start(): void {
    if (this.#releasing || this.#ready.length === 0) return
    this.#releasing = true
    const batch = this.#ready.splice(0, TOKEN_ITEMS_MAX)
    const gone = batch.filter(({ holding }) => holding.recall?.left === 'none')
    const inos = [...new Set(gone.map(({ state }) => state.ino))]
    const task = this.#context.task({ type: 'release', batch })
    if (inos.length > 0) this.#context.effects.push({ type: 'drop-caches', task, inos })
    else this.#context.effects.push({ type: 'flush', task })
  }

  flushed(batch: readonly Releasing[], vector: Vector): void {
    this.#releasing = false
    const items = []
    for (const { state, holding } of batch) {
      const { grant, start, end, recall } = holding
      // Granted again meanwhile: the new grant stands, nothing is given up.
      if (recall === undefined || !state.holdings.includes(holding)) continue
      items.push({ ino: state.ino, grant, left: recall.left, ...rangePart(start, end) })
      state.dropHolding(holding)
      if (recall.left === 'none') state.noted = addRange(state.noted, start, end)
      if (state.holdings.length === 0) this.#forget(state)
      this.#context.clean(state)
    }
    if (items.length === 0) return
    this.#context.effects.push({ type: 'send', message: { type: 'release', items, vector } })
  }

  /** Nothing of the inode is held any more. */
  #forget(state: TokenState): void {
    this.#held.delete(state)
    if (this.#options.isDirectory(state.ino)) this.#habits.released(state.ino, state.changed)
    state.changed = false
  }
}

function newRecall(left: Left): Recall {
  return { left, elapsed: false, ready: false, usesSeen: -1, idleLooks: 0, gained: false }
}
