/** What the simulated processes of a member run on: frozen while it is paused, gone with it. */
import type { Clock, Timer } from '../../src/fs/ports/clock.ts'
import type { Scheduler } from './scheduler.ts'

export class SafetyError extends Error {
  override name = 'SafetyError'
}

/** Ends what a process does in the moment in which it is killed. */
export class KilledError extends Error {
  override name = 'KilledError'
}

export class LivenessError extends Error {
  override name = 'LivenessError'
}

/** One process: nothing it scheduled runs while it is frozen, or after it was killed. */
export class SimProcess {
  readonly #scheduler: Scheduler
  readonly #rate: number
  #frozenUntilUs = 0
  #dead = false

  constructor(scheduler: Scheduler, rate: number) {
    this.#scheduler = scheduler
    this.#rate = rate
  }

  get isDead(): boolean {
    return this.#dead
  }

  get frozenUntilUs(): number {
    return this.#frozenUntilUs
  }

  get isFrozen(): boolean {
    return this.#frozenUntilUs > this.#scheduler.nowUs
  }

  get nowUs(): number {
    return this.#scheduler.nowUs
  }

  freeze(untilUs: number): void {
    this.#frozenUntilUs = Math.max(this.#frozenUntilUs, untilUs)
  }

  kill(): void {
    this.#dead = true
  }

  /** Milliseconds of this machine's own clock, which runs a little fast or slow. */
  nowMs(): number {
    return (this.#scheduler.nowUs / 1000) * this.#rate
  }

  after(delayUs: number, work: () => void): Timer {
    let cancelled = false
    const run = (): void => {
      if (cancelled || this.#dead) return
      const frozenUs = this.#frozenUntilUs - this.#scheduler.nowUs
      if (frozenUs > 0) this.#scheduler.after(frozenUs, run)
      else this.run(work)
    }
    this.#scheduler.after(delayUs, run)
    return {
      cancel: () => {
        cancelled = true
      }
    }
  }

  /** Nobody sees how a process that is killed in the middle of its work ends it. */
  run(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!this.#dead) throw error
    }
  }

  /** Resolves at once, or never: nobody goes on in a process that is dead. */
  alive(): Promise<void> {
    return this.#dead ? new Promise(() => {}) : Promise.resolve()
  }

  sleep(delayUs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayUs, resolve))
  }

  /** Somebody sets it now and then: nothing may depend on it. */
  #wallSec(): number {
    const nowMs = this.nowMs()
    return Math.floor(nowMs / 3000) % 2 === 0 ? 1e9 + nowMs / 1000 : nowMs / 1000
  }

  clock(): Clock {
    return {
      wall: () => ({ sec: Math.floor(this.#wallSec()), nsec: 0 }),
      monotonicMs: () => this.nowMs(),
      setTimer: (delayMs, fn) => this.after((delayMs * 1000) / this.#rate, fn)
    }
  }
}
