/**
 * Ownership of inodes created here: exclusive use without a message while nobody else can know the
 * number. Keeps RULES 21 in its simplest safe form: before any directory is given up ownership of
 * all of them ends, and the exclusive guards that run under it are waited for.
 */
import type { Holding, TokenState } from './token-state.ts'

/** A holding being given up; void when it is none of the state any more. */
export interface Releasing {
  readonly state: TokenState
  readonly holding: Holding
}

/** How many of the oldest are looked at to let one go. */
const TRIM_SCAN = 8

export class Ownership {
  readonly #owned = new Set<TokenState>()
  readonly #ownedMax: number
  /** Inodes whose ownership ended while exclusive guards ran. */
  #ending = 0
  /** Directories to release when those guards have ended. */
  readonly #behind: Releasing[] = []

  constructor(ownedMax: number) {
    this.#ownedMax = ownedMax
  }

  get size(): number {
    return this.#owned.size
  }

  /** Returns the inode that became shared instead, when there are too many. */
  add(state: TokenState): TokenState | undefined {
    state.owned = true
    this.#owned.add(state)
    return this.#owned.size > this.#ownedMax ? this.#trim() : undefined
  }

  /** The inode is not owned any more. */
  delete(state: TokenState): void {
    state.owned = false
    this.#owned.delete(state)
  }

  /**
   * Ends all ownership for the release of a directory. Returns the inodes that were owned; the
   * release may go when `isEnding` is false, else it is put behind.
   */
  end(): TokenState[] {
    const ended = [...this.#owned]
    this.#owned.clear()
    for (const state of ended) {
      state.owned = false
      if (state.exclusiveGuards === 0) continue
      state.ending = true
      this.#ending++
    }
    return ended
  }

  get isEnding(): boolean {
    return this.#ending > 0
  }

  putBehind(releasing: Releasing): void {
    this.#behind.push(releasing)
  }

  /** A guard on the inode ended. Returns the releases that nothing holds back any more. */
  guardEnded(state: TokenState): Releasing[] {
    if (!state.ending || state.exclusiveGuards > 0) return []
    state.ending = false
    this.#ending--
    return this.#ending === 0 ? this.#behind.splice(0) : []
  }

  clear(): void {
    this.#owned.clear()
    this.#ending = 0
    this.#behind.length = 0
  }

  #trim(): TokenState | undefined {
    let scanned = 0
    for (const state of this.#owned) {
      if (scanned++ >= TRIM_SCAN) return undefined
      this.#owned.delete(state)
      if (state.exclusiveGuards === 0) {
        state.owned = false
        return state
      }
      this.#owned.add(state)
    }
    return undefined
  }
}
