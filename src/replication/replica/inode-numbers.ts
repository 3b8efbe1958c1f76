/** Hands out inode numbers from ranges that are this member's alone (RULES 7). */

import type { Ino, MemberId } from '../../fs/primitives.ts'
import { INO_RANGE_SIZE, inoRangeStart } from '../../fs/primitives.ts'
import type { StateDirectory } from '../storage/state-directory.ts'

export class InodeNumbers {
  readonly #directory: Pick<StateDirectory, 'nextInoRange'>
  readonly #member: MemberId
  #next = 0
  #end = 0

  constructor(components: {
    readonly directory: Pick<StateDirectory, 'nextInoRange'>
    readonly member: MemberId
  }) {
    this.#directory = components.directory
    this.#member = components.member
  }

  /** A number never given out before, whatever crashed when. */
  next(): Ino {
    if (this.#next === this.#end) {
      // Durable before its first number is used.
      this.#next = inoRangeStart(this.#member, this.#directory.nextInoRange())
      this.#end = this.#next + INO_RANGE_SIZE
    }
    return this.#next++ as Ino
  }
}
