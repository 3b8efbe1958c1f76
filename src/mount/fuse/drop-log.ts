/**
 * Which inodes were dropped since when. Positions count drops; a request takes the position at its
 * arrival, and what was dropped after it must not be cached from its answer. Bounded: of drops long
 * past only the position is kept, and whoever is older than that counts as dropped.
 */
import type { Ino } from '../../fs/primitives.ts'

const GENERATION_MAX = 4096

export class DropLog {
  #position = 0
  #young = new Map<Ino, number>()
  #old = new Map<Ino, number>()
  /** Drops up to here may be forgotten. */
  #forgotten = 0
  /** Last drop of the old generation. */
  #oldEnd = 0

  get position(): number {
    return this.#position
  }

  note(ino: Ino): void {
    this.#young.set(ino, ++this.#position)
    if (this.#young.size < GENERATION_MAX) return
    this.#forgotten = this.#oldEnd
    this.#oldEnd = this.#position
    this.#old = this.#young
    this.#young = new Map()
  }

  /** Everything counts as dropped for whoever took a position up to now. */
  noteAll(): void {
    this.#forgotten = ++this.#position
    this.#oldEnd = this.#position
    this.#young.clear()
    this.#old.clear()
  }

  droppedSince(ino: Ino, position: number): boolean {
    if (position === this.#position) return false
    if (position < this.#forgotten) return true
    return (this.#young.get(ino) ?? this.#old.get(ino) ?? 0) > position
  }
}
