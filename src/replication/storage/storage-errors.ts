/** Errors of the on-disk stores, each naming the file it is about. */

/** Stored bytes contradict their checksum or format: reported, never repaired by guessing. */
export class DamagedFileError extends Error {
  override name = 'DamagedFileError'
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: damaged: ${reason}`, options)
    this.path = path
    this.reason = reason
  }
}

/** A journal record that was durable once cannot be read any more. */
export class DamagedJournalError extends DamagedFileError {
  override name = 'DamagedJournalError'
  /** Byte offset of the bad record (or header) in the file. */
  readonly offset: number

  constructor(path: string, offset: number, reason: string, options?: ErrorOptions) {
    super(path, `at byte ${offset}: ${reason}`, options)
    this.offset = offset
  }
}

/**
 * A store gave up for good, because a write to the disk failed in a way after which nobody can say
 * what the disk holds. Every later call throws it; only a restart of the member helps.
 */
export class StoreFailedError extends Error {
  override name = 'StoreFailedError'

  constructor(what: string, cause: unknown) {
    super(`${what} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** The errno name of a system error, if it is one. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
