/** The naive lock table: for each byte, what each owner holds. */
import type { LockType } from '../../src/fs/ports/lock-service.ts'

export interface ModelRange {
  readonly start: number
  readonly end: number
}

export class LockModel {
  readonly bytes: number
  /** [byte] -> owner -> type */
  readonly #held: Map<number, LockType>[]

  constructor(bytes: number) {
    this.bytes = bytes
    this.#held = Array.from({ length: bytes }, () => new Map())
  }

  conflicts(owner: number, type: LockType, { start, end }: ModelRange): boolean {
    return this.#held
      .slice(start, end + 1)
      .some((byte) =>
        [...byte].some(([other, held]) => other !== owner && (held === 'write' || type === 'write'))
      )
  }

  set(owner: number, type: LockType | 'unlock', { start, end }: ModelRange): void {
    for (const byte of this.#held.slice(start, end + 1)) {
      if (type === 'unlock') byte.delete(owner)
      else byte.set(owner, type)
    }
  }

  at(owner: number, byte: number): LockType | undefined {
    return this.#held[byte]?.get(owner)
  }

  /** How many locks the owner has when neighbours of one type are one lock. */
  pieces(owner: number): number {
    let count = 0
    let last: LockType | undefined
    for (const byte of this.#held) {
      const type = byte.get(owner)
      if (type !== undefined && type !== last) count++
      last = type
    }
    return count
  }
}
