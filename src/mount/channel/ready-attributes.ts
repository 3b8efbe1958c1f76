/**
 * Attributes that the kernel is about to ask for, for the addon's reader: it answers GETATTR of these
 * inodes itself. The kernel asks for those of a directory again whenever something was made, renamed or removed in
 * it, and for those of a new file before it may be used.
 *
 * Invariant: an inode stands here only with what this member knows of it now, and only while the
 * kernel may hold that. So whoever changes the inode, or takes its attributes back from the kernel,
 * takes it out of here in the same synchronous piece; and nothing is answered behind the end that was last
 * proven for this member's right to answer. The reader looks between two pieces of JavaScript, on the
 * same thread.
 */
import type { Ino } from '../../fs/primitives.ts'

const SLOTS = 1024
/** The inode, and its struct fuse_attr. */
const SLOT_BYTES = 8 + 88
const SLOT_NUMBERS = SLOT_BYTES / 8
const UNTIL = 0

export class ReadyAttributes {
  /** The end in milliseconds of CLOCK_BOOTTIME, then the slots; an inode of 0 is none. */
  readonly #table = new Float64Array(1 + SLOTS * SLOT_NUMBERS)
  /** The table as the addon takes it. */
  readonly bytes = Buffer.from(this.#table.buffer)

  /**
   * Where the attributes of the inode have to be written now, as struct fuse_attr; replaces another
   * inode of the same slot.
   */
  place(ino: Ino): number {
    const at = slotOf(ino)
    this.#table[at] = ino
    return (at + 1) * 8
  }

  has(ino: Ino): boolean {
    return this.#table[slotOf(ino)] === ino
  }

  remove(ino: Ino): void {
    const at = slotOf(ino)
    if (this.#table[at] === ino) this.#table[at] = 0
  }

  /** This member may answer until then, in milliseconds of CLOCK_BOOTTIME. */
  answerUntil(endMs: number): void {
    this.#table[UNTIL] = endMs
  }

  clear(): void {
    this.#table.fill(0)
  }
}

function slotOf(ino: Ino): number {
  return 1 + (ino % SLOTS) * SLOT_NUMBERS
}
