import type { Ino } from '../primitives.ts'

/** Taken exclusively, beside the directories, by a rename that moves a directory to another parent. */
export const RENAME_TOKEN = 0 as Ino

export type TokenMode = 'shared' | 'exclusive'

export interface TokenWant {
  readonly ino: Ino
  readonly mode: TokenMode
}

/** Keeps the tokens from being given away until released; release exactly once. */
export interface TokenGuard {
  release(): void
}

/**
 * The right to look at or change inodes. Shared on `ino`: what this member has applied of it is
 * the newest there is. Exclusive: no other member looks at or changes it meanwhile. Guards do not
 * exclude operations of this same member from each other: a caller runs its check and its submit
 * in one synchronous piece.
 */
export interface TokenService {
  /** The guard when all wants can be met at once without any message, else undefined. */
  tryAcquire(wants: readonly TokenWant[]): TokenGuard | undefined
  /** Waits for the whole set. Rejects with EIO (isolated, lease lost) or with the signal's reason. */
  acquire(wants: readonly TokenWant[], signal?: AbortSignal): Promise<TokenGuard>
  /**
   * Says that `ino` was just created by this member under a directory whose exclusive token the
   * caller holds: it is this member's, without a message, until a directory is given up.
   */
  own(ino: Ino): void
}
