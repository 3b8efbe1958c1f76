/** Failures of the descriptor between the kernel and this process. */
import { getSystemErrorName } from 'node:util'

/** A system call on the channel failed; `code` is the errno name, `errno` its positive number. */
export class ChannelError extends Error {
  override name = 'ChannelError'
  readonly code: string
  readonly errno: number

  constructor(attempt: string, errno: number, options?: ErrorOptions) {
    const code = getSystemErrorName(-errno)
    super(`${attempt}: ${code}`, options)
    this.code = code
    this.errno = errno
  }
}

/** The errno name of a failed system call, however it was made. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** A ChannelError for any failed system call; libuv's errno is negative, the addon's positive. */
export function toChannelError(attempt: string, error: unknown): Error {
  if (!(error instanceof Error)) return new Error(`${attempt}: ${String(error)}`)
  const errno = 'errno' in error && typeof error.errno === 'number' ? Math.abs(error.errno) : 0
  return errno === 0 ? error : new ChannelError(attempt, errno, { cause: error })
}
