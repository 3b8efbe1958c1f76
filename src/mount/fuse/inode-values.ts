/**
 * A number for each of very many inodes: a hash table with open addressing in two typed arrays. It
 * takes 21 to 43 bytes an inode, a Map several times that, because inode numbers are no small integers.
 */
import { assert } from '../../fs/assert.ts'
import type { Ino } from '../../fs/primitives.ts'

const SLOTS_MIN = 1024
/** Above this part of the slots it grows, below that it shrinks. */
const FULL = 3 / 4
const SPARSE = 1 / 8
/** No inode has this number. */
const EMPTY = 0

export class InodeValues {
  #inos = new Float64Array(SLOTS_MIN)
  #values = new Float64Array(SLOTS_MIN)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Undefined for what is no inode, as well. */
  get(ino: Ino | typeof EMPTY): number | undefined {
    if (ino === EMPTY) return undefined
    const slot = this.#slotOf(ino)
    return this.#inos[slot] === ino ? this.#values[slot] : undefined
  }

  set(ino: Ino, value: number): void {
    assert(ino > EMPTY, 'no inode number')
    let slot = this.#slotOf(ino)
    if (this.#inos[slot] !== ino) {
      this.#size++
      if (this.#size > this.#inos.length * FULL) {
        this.#resize(this.#inos.length * 2)
        slot = this.#slotOf(ino)
      }
      this.#inos[slot] = ino
    }
    this.#values[slot] = value
  }

  delete(ino: Ino): void {
    if (this.get(ino) === undefined) return
    const slot = this.#slotOf(ino)
    this.#size--
    this.#close(slot)
    const slots = this.#inos.length
    if (slots > SLOTS_MIN && this.#size < slots * SPARSE) this.#resize(slots / 2)
  }

  *entries(): IterableIterator<[Ino, number]> {
    for (let slot = 0; slot < this.#inos.length; slot++) {
      const ino = this.#inos[slot] ?? EMPTY
      if (ino !== EMPTY) yield [ino as Ino, this.#values[slot] ?? 0]
    }
  }

  /** The inode's slot, or the empty one where it belongs. */
  #slotOf(ino: number): number {
    const mask = this.#inos.length - 1
    let slot = hash(ino) & mask
    for (;;) {
      const there = this.#inos[slot]
      if (there === ino || there === EMPTY) return slot
      slot = (slot + 1) & mask
    }
  }

  /** Empties the slot, and moves those behind it that would not be found any more. */
  #close(gap: number): void {
    const mask = this.#inos.length - 1
    let hole = gap
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const ino = this.#inos[slot] ?? EMPTY
      if (ino === EMPTY) break
      const home = hash(ino) & mask
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      this.#inos[hole] = ino
      this.#values[hole] = this.#values[slot] ?? 0
      hole = slot
    }
    this.#inos[hole] = EMPTY
  }

  #resize(slots: number): void {
    const inos = this.#inos
    const values = this.#values
    this.#inos = new Float64Array(slots)
    this.#values = new Float64Array(slots)
    for (let from = 0; from < inos.length; from++) {
      const ino = inos[from] ?? EMPTY
      if (ino === EMPTY) continue
      const slot = this.#slotOf(ino)
      this.#inos[slot] = ino
      this.#values[slot] = values[from] ?? 0
    }
  }
}

/** Numbers given out one after the other lie apart, those of different members as well. */
function hash(ino: number): number {
  const low = ino | 0
  const high = Math.floor(ino / 2 ** 32)
  const mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b)
  return (mixed ^ (mixed >>> 15)) >>> 0
}
