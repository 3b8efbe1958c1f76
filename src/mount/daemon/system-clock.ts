/** The real clock: CLOCK_BOOTTIME for leases (RULES 22), the wall clock for timestamps. */
import type { TimeSpec } from '../../fs/attr.ts'
import type { Clock } from '../../fs/ports/clock.ts'

const NS_PER_MS = 1_000_000

/** `boottimeMs`: milliseconds of CLOCK_BOOTTIME. */
export function systemClock(boottimeMs: () => number): Clock {
  let lastMs = 0
  let lastNsec = 0
  return {
    wall: (): TimeSpec => {
      // Node tells whole milliseconds; below that, time since start keeps later calls later.
      const ms = Date.now()
      let below = Math.floor((performance.now() % 1) * NS_PER_MS)
      if (ms === lastMs && below <= lastNsec) below = Math.min(lastNsec + 1, 999_999)
      lastMs = ms
      lastNsec = below
      return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 + below }
    },
    monotonicMs: boottimeMs,
    setTimer: (delayMs, fn) => {
      const timer = setTimeout(fn, delayMs)
      timer.unref()
      return { cancel: () => clearTimeout(timer) }
    }
  }
}
