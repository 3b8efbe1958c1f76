/**
 * Long work in pieces: after a few milliseconds or many steps the event loop gets its turn, so that
 * heartbeats are sent and answered, connections are read and the kernel's requests are served. A
 * member that does not come to that for longer than a lease is cut off by the others.
 */
import type { Clock } from '../fs/ports/clock.ts'

/** A step takes less than a few milliseconds by itself. */
const TURN_MS = 10
/** Also where the clock stands still. */
const STEPS_PER_TURN = 64

export class Turns {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'setTimer'>
  #sinceMs: number
  #steps = 0

  constructor(clock: Pick<Clock, 'monotonicMs' | 'setTimer'>) {
    this.#clock = clock
    this.#sinceMs = clock.monotonicMs()
  }

  /** To be called after each step. True: `pause` before the next one. */
  isOver(): boolean {
    this.#steps++
    return this.#steps >= STEPS_PER_TURN || this.#clock.monotonicMs() - this.#sinceMs >= TURN_MS
  }

  /** Resolves in another turn, which then begins. */
  pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.setTimer(0, () => {
        this.#steps = 0
        this.#sinceMs = this.#clock.monotonicMs()
        resolve()
      })
    })
  }
}
