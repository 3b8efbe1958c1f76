import type { Ino } from '../primitives.ts'

/** Taken exclusively, beside the directories, by a rename that moves a directory to another parent. */
export const RENAME_TOKEN = 0 as Ino

export type TokenMode = 'shared' | 'exclusive'

/** The `end` of a range that has none; beyond every offset of a file. */
export const RANGE_END = 2 ** 53

/** Bytes [start, end) of a file; the token service rounds them out to whole pages. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Without `range`: all of the inode. What of it is changed by operations on all of it only (mode,
 * owner, links, attributes, the entries of a directory) may be looked at under any shared range;
 * the size and the times of a file are the newest only under all of it. Whoever may change the
 * bytes from the page of the end of the file on (to RANGE_END) may change its size; so whoever
 * looks at a range knows how much of it the file fills (RULES 28).
 */
export interface TokenWant {
  readonly ino: Ino
  readonly mode: TokenMode
  readonly range?: ByteRange
}

/** Keeps the tokens from being given away until released; release exactly once. */
export interface TokenGuard {
  release(): void
}

/**
 * The right to look at or change inodes or ranges of them. Shared: what this member has applied of
 * it is the newest there is. Exclusive: no other member looks at or changes it meanwhile. Guards do not
 * exclude operations of this same member from each other: a caller runs its check and its submit
 * in one synchronous piece.
 */
export interface TokenService {
  /** The guard when all wants can be met at once without any message, else undefined. */
  tryAcquire(wants: readonly TokenWant[]): TokenGuard | undefined
  /**
   * Waits for the whole set. Rejects with EIO (isolated, lease lost) or with the signal's reason.
   * `ahead` names inodes that are probably changed here next; asked where several members change the
   * same directory, so that some of their tokens may be brought along.
   */
  acquire(
    wants: readonly TokenWant[],
    signal?: AbortSignal,
    ahead?: () => readonly Ino[]
  ): Promise<TokenGuard>
  /**
   * Says that `ino` was just created by this member under a directory whose exclusive token the
   * caller holds: it is this member's, without a message, until a directory is given up.
   */
  own(ino: Ino): void
  /**
   * A look at an inode that another member changes all the time, without taking it away: resolves
   * with true when this member has applied all that was done before the call; what is found then is
   * true at that moment and may not be kept. False: it could not be had so, ask for the token.
   * Undefined at once where the token is the better way.
   */
  query(ino: Ino): Promise<boolean> | undefined
  /**
   * Says that the caller is done with what it did exclusively in that range and that another member
   * is about to go on with it. A hint: it changes who has the token, never what is true.
   */
  giveUp(ino: Ino, range: ByteRange): void
}
