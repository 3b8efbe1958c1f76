/** Work done again and again, each time so long after the last time, until `stop`. */
import type { Clock, Timer } from '../../fs/ports/clock.ts'

export class Repeating {
  readonly #clock: Clock
  readonly #timers: Timer[] = []
  #stopped = false

  constructor(components: { readonly clock: Clock }) {
    this.#clock = components.clock
  }

  /** The first time is `delayMs` from now. */
  every(delayMs: number, work: () => void): void {
    this.everyOrSooner(delayMs, delayMs, () => {
      work()
      return false
    })
  }

  /** As `every`, but after `soonMs` when the work says that there is more of it. */
  everyOrSooner(delayMs: number, soonMs: number, work: () => boolean): void {
    if (this.#stopped) return
    const slot = this.#timers.length
    const again = (): void => {
      if (this.#stopped) return
      const isMore = work()
      this.#timers[slot] = this.#clock.setTimer(isMore ? soonMs : delayMs, again)
    }
    this.#timers.push(this.#clock.setTimer(delayMs, again))
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) timer.cancel()
  }
}
