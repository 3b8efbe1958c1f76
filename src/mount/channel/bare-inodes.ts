/**
 * Inodes that have no extended attributes, for the addon's reader: it answers the kernel's questions for
 * access control lists and lists of attributes of these itself.
 *
 * Invariant: an inode stands here only while the kernel may hold as well that it has no list, so
 * whoever takes attributes back from the kernel takes the inode out of here, in the same
 * synchronous piece; and nothing is answered behind the end that was last proven for this member's
 * right to answer. The reader looks between two pieces of JavaScript, on the same thread.
 */
import type { Ino } from '../../fs/primitives.ts'

/** Those of one writer lie behind each other: as many files of a directory are remembered. */
const SLOTS = 32_768
const UNTIL = 0

export class BareInodes {
  /** The end in milliseconds of CLOCK_BOOTTIME, then one inode in each slot, or 0. */
  readonly #table = new Float64Array(1 + SLOTS)
  /** The table as the addon takes it. */
  readonly bytes = new Uint8Array(this.#table.buffer)

  /** Replaces another inode of the same slot. */
  add(ino: Ino): void {
    this.#table[1 + (ino % SLOTS)] = ino
  }

  remove(ino: Ino): void {
    const slot = 1 + (ino % SLOTS)
    if (this.#table[slot] === ino) this.#table[slot] = 0
  }

  /** This member may answer until then, in milliseconds of CLOCK_BOOTTIME. */
  answerUntil(endMs: number): void {
    this.#table[UNTIL] = endMs
  }

  clear(): void {
    this.#table.fill(0)
  }
}
