/**
 * The last few questions for a name, with their answers: whoever makes, moves or removes a file
 * looks for its names first (the kernel, the operation, the op that is applied), all within a moment.
 * Any change of the table forgets them all.
 */
import type { Ino } from '../primitives.ts'
import type { Dentry } from './dentry-table.ts'

/** A rename asks for two names, its process has asked for them before. */
const SLOTS = 4
const NAME_MAX_BYTES = 255

interface Slot {
  parent: Ino | 0
  /** A copy: what a caller's name came in is used again. */
  readonly name: Buffer
  nameBytes: number
  found: Dentry | undefined
}

export class RecentLookups {
  readonly #slots: readonly Slot[] = Array.from({ length: SLOTS }, () => ({
    parent: 0,
    name: Buffer.alloc(NAME_MAX_BYTES),
    nameBytes: 0,
    found: undefined
  }))
  #next = 0

  /** The answer to the same question, made by `look` when it was not asked lately. */
  get(parent: Ino, name: Uint8Array, look: () => Dentry | undefined): Dentry | undefined {
    for (const slot of this.#slots) {
      if (slot.parent === parent && slot.nameBytes === name.length && isEqual(slot.name, name)) {
        return slot.found
      }
    }
    const found = look()
    const slot = this.#slots[this.#next]
    if (slot === undefined || name.length > NAME_MAX_BYTES) return found
    this.#next = (this.#next + 1) % SLOTS
    slot.parent = parent
    slot.name.set(name)
    slot.nameBytes = name.length
    slot.found = found
    return found
  }

  forget(): void {
    for (const slot of this.#slots) slot.parent = 0
  }
}

/** From the end: names of one directory often begin alike. */
function isEqual(stored: Buffer, name: Uint8Array): boolean {
  for (let at = name.length - 1; at >= 0; at--) if (stored[at] !== name[at]) return false
  return true
}
