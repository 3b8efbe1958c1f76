/**
 * How this member used inodes when it had them last. Guesses about the next time: no right depends
 * on them, a wrong one costs messages. Owns what is remembered, which is bounded.
 *
 * - Who changed a directory under its last grant is about to change it again: a name is looked up
 *   first, then made, moved or removed. So it asks for exclusive when it looks, and has what it
 *   needs with one hand-over. Not for files: what is read there is mostly changed by others.
 * - A token that was kept after a recall while nothing was done is given back at once the next time,
 *   the next two times if that happens again, and so on; that of a file the next 16 times.
 */
import type { TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'

/** Beyond it those remembered longest are forgotten. */
const REMEMBERED_MAX = 4096
/** So many recalls of an inode, at most, are obeyed at once before holding on is tried again. */
export const SKIPS_MAX = 16

interface Idling {
  /** Recalls still to be obeyed at once. */
  skips: number
  /** How many they were at first. */
  readonly of: number
}

export class ClientHabits {
  /** Directories changed under the last grant. */
  readonly #changed = new Set<Ino>()
  /** Inodes whose holding was of no use lately. */
  readonly #idling = new Map<Ino, Idling>()

  clear(): void {
    this.#changed.clear()
    this.#idling.clear()
  }

  /** The wants of a request, with exclusive for directories about to be changed. */
  foresee(wants: readonly TokenWant[]): readonly TokenWant[] {
    if (this.#changed.size === 0) return wants
    return wants.map((want) => {
      const { ino, mode, range } = want
      if (mode === 'exclusive' || range !== undefined || !this.#changed.has(ino)) return want
      return { ino, mode: 'exclusive' }
    })
  }

  /** True when a directory is about to be changed here. */
  changes(ino: Ino): boolean {
    return this.#changed.has(ino)
  }

  /** A directory is given up. */
  released(ino: Ino, changed: boolean): void {
    this.#changed.delete(ino)
    if (!changed) return
    this.#changed.add(ino)
    for (const oldest of this.#changed) {
      if (this.#changed.size <= REMEMBERED_MAX) break
      this.#changed.delete(oldest)
    }
  }

  /** True when the recall that has just come is to be obeyed at once. */
  skip(ino: Ino): boolean {
    const idling = this.#idling.get(ino)
    if (idling === undefined || idling.skips === 0) return false
    idling.skips--
    return true
  }

  /**
   * The inode was held on to after a recall, and nothing was done meanwhile: the next `first` recalls
   * are obeyed at once, or twice as many as before.
   */
  idled(ino: Ino, first: number): void {
    const before = this.#idling.get(ino)
    const skips = before === undefined ? first : Math.min(SKIPS_MAX, before.of * 2)
    this.#idling.delete(ino)
    this.#idling.set(ino, { skips, of: skips })
    for (const oldest of this.#idling.keys()) {
      if (this.#idling.size <= REMEMBERED_MAX) break
      this.#idling.delete(oldest)
    }
  }

  /** Holding on was of use. */
  busy(ino: Ino): void {
    this.#idling.delete(ino)
  }
}
