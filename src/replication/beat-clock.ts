/**
 * A clock for what is done regularly, and may be done a little late: its timers run with the beats of
 * this member (beat.ts), so that none of them wakes the processor by itself. They end with the beats.
 *
 * Invariant: a timer runs at the first beat at which it is due, never before. One shorter than the
 * period runs on time.
 */
import type { TimeSpec } from '../fs/attr.ts'
import type { Clock, Timer } from '../fs/ports/clock.ts'

interface Waiting {
  readonly dueMs: number
  readonly run: () => void
}

export class BeatClock implements Clock {
  readonly #clock: Clock
  readonly #periodMs: number
  readonly #waiting = new Set<Waiting>()

  constructor(components: { readonly clock: Clock }, options: { readonly periodMs: number }) {
    this.#clock = components.clock
    this.#periodMs = options.periodMs
  }

  wall(): TimeSpec {
    return this.#clock.wall()
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    if (delayMs < this.#periodMs) return this.#clock.setTimer(delayMs, fn)
    const waiting = { dueMs: this.monotonicMs() + delayMs, run: fn }
    this.#waiting.add(waiting)
    return { cancel: () => this.#waiting.delete(waiting) }
  }

  /** To be called at each beat. */
  beat(): void {
    const nowMs = this.monotonicMs()
    for (const waiting of [...this.#waiting]) {
      if (waiting.dueMs > nowMs || !this.#waiting.delete(waiting)) continue
      waiting.run()
    }
  }
}
