/**
 * The inodes the kernel knows, because an answer named them and it has not let go of them, and of
 * which it may hold attributes it need not ask for again. Exact: every answer that names an inode
 * counts one lookup, FORGET takes them back. As large as the kernel's own inode cache.
 */
import type { Ino } from '../../fs/primitives.ts'
import { ROOT_INO } from '../../fs/primitives.ts'
import { InodeValues } from './inode-values.ts'

/** A lookup counts this much; the bit below says that attributes were given with a validity. */
const LOOKUP = 2

export class KnownInodes {
  /** The kernel knows the root without asking. */
  readonly #inodes = new InodeValues()

  constructor() {
    this.#inodes.set(ROOT_INO, LOOKUP)
  }

  get size(): number {
    return this.#inodes.size
  }

  knows(ino: Ino): boolean {
    return this.#inodes.get(ino) !== undefined
  }

  lookedUp(ino: Ino): void {
    this.#inodes.set(ino, (this.#inodes.get(ino) ?? 0) + LOOKUP)
  }

  /** True when the kernel does not know the inode any more. */
  forgotten(ino: Ino, lookups: number): boolean {
    const value = this.#inodes.get(ino)
    if (value === undefined) return true
    if (ino === ROOT_INO) return false
    const left = value - lookups * LOOKUP
    if (left < LOOKUP) {
      this.#inodes.delete(ino)
      return true
    }
    this.#inodes.set(ino, left)
    return false
  }

  /** False for an inode that is not known: then nothing may be given. */
  giveAttributes(ino: Ino): boolean {
    const value = this.#inodes.get(ino)
    if (value === undefined) return false
    if (value % LOOKUP === 0) this.#inodes.set(ino, value + 1)
    return true
  }

  hasAttributes(ino: Ino): boolean {
    return (this.#inodes.get(ino) ?? 0) % LOOKUP === 1
  }

  /** True when attributes were given since the last time. */
  takeAttributes(ino: Ino): boolean {
    const value = this.#inodes.get(ino)
    if (value === undefined || value % LOOKUP === 0) return false
    this.#inodes.set(ino, value - 1)
    return true
  }

  /** All whose attributes were given and not taken. */
  withAttributes(): Ino[] {
    const found: Ino[] = []
    for (const [ino, value] of this.#inodes.entries()) if (value % LOOKUP === 1) found.push(ino)
    return found
  }
}
