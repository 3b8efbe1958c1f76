/** Calls a core again and again while it wants to be: time passes for who waits. */
import type { Clock, Timer } from '../../fs/ports/clock.ts'

const TICK_MS = 25

export class Ticker {
  readonly #clock: Clock
  readonly #isWanted: () => boolean
  readonly #tick: (nowMs: number) => void
  #timer: Timer | undefined

  constructor(components: {
    readonly clock: Clock
    readonly isWanted: () => boolean
    readonly tick: (nowMs: number) => void
  }) {
    this.#clock = components.clock
    this.#isWanted = components.isWanted
    this.#tick = components.tick
  }

  /** To be called after anything that may have made ticks wanted. */
  look(): void {
    if (this.#timer !== undefined || !this.#isWanted()) return
    this.#timer = this.#clock.setTimer(TICK_MS, () => {
      this.#timer = undefined
      if (this.#isWanted()) this.#tick(this.#clock.monotonicMs())
      this.look()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
