/** Why a volume could not be created, joined or opened; `code` selects the exit code. */
export type VolumeErrorCode =
  | 'bad-input'
  | 'exists'
  | 'not-found'
  | 'damaged'
  | 'address-in-use'
  | 'unreachable'
  | 'refused'

export class VolumeError extends Error {
  override name = 'VolumeError'
  readonly code: VolumeErrorCode

  /** `message` reads "what: why" or "what: why: what to do". */
  constructor(code: VolumeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
