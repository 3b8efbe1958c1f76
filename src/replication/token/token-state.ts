/** What one member knows about its own right to one inode. No state at all means: shared. */
import type { TokenMode, TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Left } from './token-message.ts'

export type Right =
  /** May look at it, like everybody by default. */
  | 'shared'
  /** Granted by the authority. */
  | 'exclusive'
  /** Created here, and nobody else can know it yet (RULES 21). */
  | 'owned'
  /** Noted: exclusive elsewhere, or it was. */
  | 'none'

export interface Recall {
  readonly left: Left
  /** The minimum hold time is over: no new guard that is in the way. */
  elapsed: boolean
  /** Nothing is in the way any more; waits for its release to be sent. */
  ready: boolean
}

/** A note not acknowledged yet, because some of its inodes are still looked at. */
export interface PendingNote {
  readonly number: number
  readonly inos: readonly Ino[]
  /** Inodes still in use. */
  left: number
}

export class TokenState {
  readonly ino: Ino
  right: Right = 'shared'
  /** Number of the exclusive grant, from its arrival until its release is sent; else 0. */
  grant = 0
  sharedGuards = 0
  exclusiveGuards = 0
  /** Grants and clears that arrived and whose vector is not applied yet. */
  installing = 0
  installedAtMs = 0
  recall: Recall | undefined
  notes: PendingNote[] | undefined
  /** Its ownership ended while exclusive guards run: no directory is released before they end. */
  ending = false

  constructor(ino: Ino) {
    this.ino = ino
  }

  /** True when a new guard of that mode is fine right now. */
  allows(mode: TokenMode): boolean {
    if (this.installing > 0) return false
    switch (this.right) {
      case 'none':
        return false
      case 'shared':
        return mode === 'shared'
      case 'owned':
        return true
      case 'exclusive':
        if (this.recall === undefined || !this.recall.elapsed) return true
        return mode === 'shared' && this.recall.left === 'shared'
    }
  }

  /** True when it says no more than its absence. */
  get isBlank(): boolean {
    return (
      this.right === 'shared' &&
      this.sharedGuards === 0 &&
      this.exclusiveGuards === 0 &&
      this.installing === 0 &&
      this.grant === 0 &&
      this.notes === undefined
    )
  }

  get guards(): number {
    return this.sharedGuards + this.exclusiveGuards
  }
}

/** True when every want of `wanted` is met by `wants`. */
export function coversWants(wants: readonly TokenWant[], wanted: readonly TokenWant[]): boolean {
  return wanted.every((want) =>
    wants.some(
      (have) => have.ino === want.ino && (have.mode === 'exclusive' || have.mode === want.mode)
    )
  )
}
