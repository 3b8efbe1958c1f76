import type { TimeSpec } from '../attr.ts'

export interface Timer {
  cancel(): void
}

/** Time as the cores see it; the real one reads CLOCK_BOOTTIME, the simulator's is virtual. */
export interface Clock {
  /** Wall time, for timestamps only: never for leases or order. */
  wall(): TimeSpec
  /** Milliseconds that never go back and go on during suspend. */
  monotonicMs(): number
  /** Runs `fn` once after `delayMs`; the timer does not keep the process alive. */
  setTimer(delayMs: number, fn: () => void): Timer
}
