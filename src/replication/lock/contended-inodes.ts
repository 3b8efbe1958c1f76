/** Inodes for whose locks others waited lately: they may soon do so again. */
import type { Ino } from '../../fs/primitives.ts'

/** Others may wait again soon when they did for one of the last so many unlocks. */
const CONTENDED_UNLOCKS = 16
/** Beyond so many all are forgotten. */
const CONTENDED_MAX = 4096

export class ContendedInodes {
  /** Unlocks still to be made as if others waited. */
  readonly #unlocks = new Map<Ino, number>()

  has(ino: Ino): boolean {
    return this.#unlocks.has(ino)
  }

  /** Others waited there. */
  note(ino: Ino): void {
    if (this.#unlocks.size >= CONTENDED_MAX) this.#unlocks.clear()
    this.#unlocks.set(ino, CONTENDED_UNLOCKS)
  }

  countUnlock(ino: Ino): void {
    const left = this.#unlocks.get(ino)
    if (left === undefined) return
    if (left > 1) this.#unlocks.set(ino, left - 1)
    else this.#unlocks.delete(ino)
  }
}
