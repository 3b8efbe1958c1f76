/** How long operations had to wait, from the slow calls that a load noted. */
import type { SlowCall } from './history/operations.ts'

/** Locks wait for each other also without a fault. */
const LOCK_CALLS: readonly string[] = ['lock', 'unlock']

export interface Stalls {
  /** The longest system call except for locks, in ms; 0 = none above 20 ms. */
  readonly operationMs: number
  /** The longest wait for a lock. */
  readonly lockMs: number
}

export function longestStalls(calls: readonly SlowCall[]): Stalls {
  const longest = (ofLocks: boolean): number =>
    calls
      .filter(({ call }) => LOCK_CALLS.includes(call) === ofLocks)
      .reduce((most, { durationUs }) => Math.max(most, durationUs / 1000), 0)
  return { operationMs: longest(false), lockMs: longest(true) }
}

/** `p50 120, worst 900` of milliseconds. */
export function summary(valuesMs: readonly number[]): string {
  const sorted = [...valuesMs].sort((a, b) => a - b)
  const p50 = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  return `p50 ${p50.toFixed(0)} ms, worst ${(sorted.at(-1) ?? 0).toFixed(0)} ms`
}
