/** What can go wrong with a log after it was opened, as reported to whoever keeps the logs. */
import type { WriterId } from '../../fs/primitives.ts'

export interface LogFailure {
  /**
   * - write: the disk took no more blocks; no log of this store takes any until the store is closed
   *   and opened again (the block that failed may stand in the log: `appendMissing` finds out)
   * - conflict: two different signed histories of this writer exist; the log is closed for good
   * - refused: a peer sent a block that does not fit the signatures; the peer is not asked again
   * - damaged: a stored block cannot be read
   * - consumer: whoever takes the blocks of the log threw
   */
  readonly kind: 'write' | 'conflict' | 'refused' | 'damaged' | 'consumer'
  readonly writer: WriterId
  readonly error: Error
}

export type OnLogFailure = (failure: LogFailure) => void

/** A log on the disk is not what this member knows it was. */
export class DamagedLogError extends Error {
  override name = 'DamagedLogError'
  readonly writer: WriterId

  constructor(writer: WriterId, reason: string, options?: ErrorOptions) {
    super(`log of writer ${writer}: damaged: ${reason}`, options)
    this.writer = writer
  }
}

export function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
