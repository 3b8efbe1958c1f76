/**
 * When inodes were dropped from the kernel, as far as it was lately: at what another member is at
 * work, caching costs more than it saves. A guess about what pays; no right depends on it.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { Ino } from '../../fs/primitives.ts'

/** So long ago is not lately. */
const LATELY_MS = 1000
/** Beyond it all are forgotten. */
const REMEMBERED_MAX = 4096

interface Times {
  lastMs: number
  beforeMs: number
}

export class DropTimes {
  readonly #clock: Clock
  readonly #times = new Map<Ino, Times>()

  constructor(components: { readonly clock: Clock }) {
    this.#clock = components.clock
  }

  note(ino: Ino): void {
    const lastMs = this.#clock.monotonicMs()
    const times = this.#times.get(ino)
    if (times !== undefined) {
      times.beforeMs = times.lastMs
      times.lastMs = lastMs
      return
    }
    if (this.#times.size >= REMEMBERED_MAX) this.#times.clear()
    this.#times.set(ino, { lastMs, beforeMs: Number.NEGATIVE_INFINITY })
  }

  wasDroppedLately(ino: Ino): boolean {
    const times = this.#times.get(ino)
    return times !== undefined && this.#isLately(times)
  }

  /**
   * It was dropped twice within such a time, and lately: another member is at work in the directory,
   * and this one as well.
   */
  isContended(directory: Ino): boolean {
    const times = this.#times.get(directory)
    if (times === undefined || times.lastMs - times.beforeMs >= LATELY_MS) return false
    return this.#isLately(times)
  }

  #isLately({ lastMs }: Times): boolean {
    return this.#clock.monotonicMs() - lastMs < LATELY_MS
  }
}
