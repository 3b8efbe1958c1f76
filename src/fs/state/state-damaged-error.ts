/** The database is not what was written; says why. */
export class StateDamagedError extends Error {
  override name = 'StateDamagedError'
  readonly file: string
  readonly reason: string

  constructor(file: string, reason: string, options?: ErrorOptions) {
    super(`${file}: ${reason}`, options)
    this.file = file
    this.reason = reason
  }
}
