/**
 * Log lines about strangers, bounded: whoever knocks in a loop cannot fill the disk. At most
 * `burst` lines at once and one per second after that; what was left out is counted.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { LogFields, Logger } from '../../fs/ports/logger.ts'

const BURST = 20
const REFILL_MS = 1000

export class RefusalLog {
  readonly #clock: Clock
  readonly #logger: Logger
  #budget = BURST
  #refilledMs: number
  #suppressed = 0

  constructor(components: { clock: Clock; logger: Logger }) {
    this.#clock = components.clock
    this.#logger = components.logger
    this.#refilledMs = components.clock.monotonicMs()
  }

  warn(fields: LogFields, message: string): void {
    const now = this.#clock.monotonicMs()
    const earned = Math.floor((now - this.#refilledMs) / REFILL_MS)
    if (earned > 0) {
      this.#budget = Math.min(BURST, this.#budget + earned)
      this.#refilledMs += earned * REFILL_MS
    }
    if (this.#budget === 0) {
      this.#suppressed += 1
      return
    }
    this.#budget -= 1
    const suppressed = this.#suppressed > 0 ? { suppressedLines: this.#suppressed } : {}
    this.#suppressed = 0
    this.#logger.warn({ ...fields, ...suppressed }, message)
  }
}
