/**
 * Lets everything go on that waits for promises alone. The event loop itself costs more than an
 * event of the simulation: many turns are taken in one round of it.
 */
const TURNS_PER_ROUND = 64

export class Settling {
  #turnsLeft = 0
  #waiting: (() => void) | undefined

  /** Resolves when no promise that is resolved has anybody left to tell. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve
      if (this.#turnsLeft > 0) return
      this.#turnsLeft = TURNS_PER_ROUND
      // Between two of them Node runs all that promises wait for.
      for (let i = 0; i < TURNS_PER_ROUND; i++) setImmediate(() => this.#next())
    })
  }

  #next(): void {
    this.#turnsLeft--
    const resolve = this.#waiting
    this.#waiting = undefined
    resolve?.()
  }
}
