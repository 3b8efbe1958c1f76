/** Time for commands, which run for seconds: no lease is judged by it. */
import type { Clock } from '../../fs/ports/clock.ts'

export const commandClock: Clock = {
  wall: () => {
    const nowMs = Date.now()
    return { sec: Math.floor(nowMs / 1000), nsec: (nowMs % 1000) * 1_000_000 }
  },
  monotonicMs: () => performance.now(),
  setTimer: (delayMs, fn) => {
    const timer = setTimeout(fn, delayMs)
    return { cancel: () => clearTimeout(timer) }
  }
}
