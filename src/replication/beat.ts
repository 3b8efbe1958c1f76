/**
 * The regular waking of a member at rest. To wake a processor that has halted, with caches gone cold,
 * costs more than what is done then; so what is done regularly is done together, and together with the
 * leader: members beat when its heartbeat comes, and their answers find it awake.
 *
 * Invariant: between two beats lies no more than the period; after one that followed the leader, no more
 * than the period and GRACE_MS.
 */
import type { Clock, Timer } from '../fs/ports/clock.ts'

/** Who has beaten so shortly before the leader need not beat again. */
const NEAR_MS = 30
/** How late the leader's next heartbeat may be, for its timers and the network. */
const GRACE_MS = 5

export interface BeatComponents {
  readonly clock: Clock
  /** What is done at each beat. */
  readonly work: () => void
}

export class Beat {
  readonly #components: BeatComponents
  readonly #periodMs: number
  #timer: Timer | undefined
  #lastMs = Number.NEGATIVE_INFINITY
  #isOver = false

  constructor(components: BeatComponents, options: { readonly periodMs: number }) {
    this.#components = components
    this.#periodMs = options.periodMs
  }

  /** The first beat is now. */
  start(): void {
    this.#beat(this.#periodMs)
  }

  stop(): void {
    this.#isOver = true
    this.#timer?.cancel()
  }

  /** The leader's heartbeat has come. */
  follow(): void {
    const sinceMs = this.#components.clock.monotonicMs() - this.#lastMs
    if (this.#timer && sinceMs >= NEAR_MS) this.#beat(this.#periodMs + GRACE_MS)
  }

  #beat(nextMs: number): void {
    if (this.#isOver) return
    const { clock, work } = this.#components
    this.#lastMs = clock.monotonicMs()
    this.#timer?.cancel()
    this.#timer = clock.setTimer(nextMs, () => this.#beat(this.#periodMs))
    work()
  }
}
