/** Turns any error into the one the user is shown. The one place where causes get exit codes. */

import { StateDamagedError } from '../../fs/state/state-damaged-error.ts'
import { DamagedFileError } from '../../replication/storage/storage-errors.ts'
import {
  TransportError,
  type TransportErrorCode
} from '../../replication/transport/transport-error.ts'
import { VolumeError, type VolumeErrorCode } from '../../replication/volume/volume-error.ts'
import { MountError, type MountErrorCode } from '../mounting/mount-error.ts'
import type { ControlError } from './control-protocol.ts'
import { ExitCode, type ExitCodeName } from './exit-codes.ts'
import { UserError } from './user-error.ts'

interface Explanation {
  readonly exit: ExitCodeName
  readonly remedy: string
}

const DAMAGED_REMEDY = 'keep the state directory for examination and join with a new one'

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
  SQLITE_CORRUPT: { exit: 'damaged', remedy: DAMAGED_REMEDY },
  SQLITE_NOTADB: { exit: 'damaged', remedy: DAMAGED_REMEDY }
}

const MOUNT_EXITS: Readonly<Record<MountErrorCode, ExitCodeName>> = {
  'not-found': 'mountPoint',
  'not-directory': 'mountPoint',
  'not-empty': 'mountPoint',
  'already-mounted': 'alreadyRunning',
  'inside-state-directory': 'mountPoint',
  'no-fuse-device': 'system',
  permission: 'system',
  'fusermount-missing': 'system',
  'mount-program-missing': 'system',
  'addon-missing': 'system',
  'driver-missing': 'system',
  'not-mounted': 'notMounted',
  busy: 'busy',
  failed: 'system'
}

const BY_VOLUME_CODE: Readonly<Record<VolumeErrorCode, Explanation>> = {
  'bad-input': { exit: 'usage', remedy: "see 'tandemfs --help'" },
  exists: { exit: 'alreadyRunning', remedy: 'choose another name or --dir' },
  'not-found': { exit: 'volumeUnknown', remedy: "make it with 'tandemfs create' or 'join'" },
  damaged: { exit: 'damaged', remedy: DAMAGED_REMEDY },
  'address-in-use': { exit: 'addressInUse', remedy: 'choose another --listen address' },
  unreachable: { exit: 'noAuthority', remedy: 'mount the volume at the authority and try again' },
  refused: { exit: 'refused', remedy: 'ask the authority for a new invitation' }
}

const TRANSPORT_EXITS: Readonly<Record<TransportErrorCode, ExitCodeName>> = {
  'address-in-use': 'addressInUse',
  'bad-address': 'usage',
  'listen-failed': 'addressInUse',
  unreachable: 'noAuthority',
  'wrong-key': 'refused',
  refused: 'refused',
  removed: 'refused',
  closed: 'noAuthority',
  timeout: 'noAuthority',
  protocol: 'refused'
}

/** `what: why` or `what: why: what to do`, as VolumeError writes its message. */
function explainVolumeError(error: VolumeError): UserError {
  const { exit, remedy } = BY_VOLUME_CODE[error.code]
  const [what = '', ...rest] = error.message.split(': ')
  const hasRemedy = rest.length > 1 && error.code !== 'unreachable' && error.code !== 'damaged'
  const last = hasRemedy ? rest.pop() : undefined
  const why = rest.join(': ')
  return new UserError(exit, { what, why, remedy: last ?? remedy }, { cause: error })
}

/** Errors that our own modules throw with a meaning; undefined for all others. */
function explainOwnError(error: unknown, what: string): UserError | undefined {
  const cause = { cause: error }
  if (error instanceof MountError) {
    const { why, advice } = error
    return new UserError(MOUNT_EXITS[error.code], { what: error.what, why, remedy: advice }, cause)
  }
  if (error instanceof VolumeError) return explainVolumeError(error)
  if (error instanceof TransportError) {
    const remedy = 'check the address and the other member'
    return new UserError(TRANSPORT_EXITS[error.code], { what, why: error.message, remedy }, cause)
  }
  if (error instanceof DamagedFileError) {
    const { path, reason } = error
    return new UserError('damaged', { what: path, why: reason, remedy: DAMAGED_REMEDY }, cause)
  }
  if (error instanceof StateDamagedError) {
    const { file, reason } = error
    return new UserError('damaged', { what: file, why: reason, remedy: DAMAGED_REMEDY }, cause)
  }
  return undefined
}

export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** `what` says what was being done, such as "mount mail at /srv/mail". */
export function explainError(error: unknown, what: string): UserError {
  if (error instanceof UserError) return error
  const own = explainOwnError(error, what)
  if (own !== undefined) return own
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
