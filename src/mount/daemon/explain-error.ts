/** Turns any error into the one the user is shown. The one place where causes get exit codes. */

import type { ControlError } from './control-protocol.ts'
import { ExitCode, type ExitCodeName } from './exit-codes.ts'
import { UserError } from './user-error.ts'

interface Explanation {
  readonly exit: ExitCodeName
  readonly remedy: string
}

/** By the `code` of the error: those of Node, and those our own modules give theirs. */
const BY_CODE: Readonly<Record<string, Explanation>> = {
  EADDRINUSE: { exit: 'addressInUse', remedy: 'choose another --listen address or stop its user' },
  EADDRNOTAVAIL: { exit: 'addressInUse', remedy: 'choose a --listen address of this machine' },
  ENOSPC: { exit: 'noSpace', remedy: 'free some space and try again' },
  EDQUOT: { exit: 'noSpace', remedy: 'free some space and try again' },
  SQLITE_FULL: { exit: 'noSpace', remedy: 'free some space and try again' },
  EACCES: { exit: 'system', remedy: 'run it as a user who may do that' },
  EPERM: { exit: 'system', remedy: 'run it as a user who may do that' },
  EROFS: { exit: 'system', remedy: 'choose a place that can be written' },
  EMFILE: { exit: 'system', remedy: 'raise the limit of open files (ulimit -n)' },
  EBUSY: {
    exit: 'busy',
    remedy: 'close what uses it (fuser -vm shows it) or unmount with --lazy'
  },
  ECONNREFUSED: { exit: 'noAuthority', remedy: 'mount the volume there and try again' },
  EHOSTUNREACH: { exit: 'noAuthority', remedy: 'check the network and try again' },
  ENETUNREACH: { exit: 'noAuthority', remedy: 'check the network and try again' },
  ETIMEDOUT: { exit: 'noAuthority', remedy: 'check the network and try again' },
  SQLITE_CORRUPT: { exit: 'damaged', remedy: 'keep the state directory and join again' },
  SQLITE_NOTADB: { exit: 'damaged', remedy: 'keep the state directory and join again' }
}

export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** `what` says what was being done, such as "mount mail at /srv/mail". */
export function explainError(error: unknown, what: string): UserError {
  if (error instanceof UserError) return error
  const message = error instanceof Error ? error.message : String(error)
  const known = BY_CODE[errorCode(error) ?? '']
  if (known !== undefined) {
    return new UserError(known.exit, { what, why: message, remedy: known.remedy }, { cause: error })
  }
  return new UserError(
    'internal',
    { what, why: message, remedy: 'this is a fault of tandemfs, please report it with the log' },
    { cause: error }
  )
}

export function toControlError(error: UserError): ControlError {
  return {
    exitCode: error.exitCode,
    what: error.what,
    why: error.why,
    remedy: error.remedy
  }
}

/** The other direction, at the end that shows it. */
export function fromControlError(error: ControlError): UserError {
  const names = Object.keys(ExitCode) as ExitCodeName[]
  const name = names.find((candidate) => ExitCode[candidate] === error.exitCode)
  return new UserError(name === undefined || name === 'ok' ? 'internal' : name, error)
}
