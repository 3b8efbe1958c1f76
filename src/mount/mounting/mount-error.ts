/** Why a volume could not be mounted or unmounted, in one line and as a code. */

export type MountErrorCode =
  | 'not-found'
  | 'not-directory'
  | 'not-empty'
  | 'already-mounted'
  | 'inside-state-directory'
  | 'no-fuse-device'
  | 'permission'
  | 'fusermount-missing'
  | 'mount-program-missing'
  | 'addon-missing'
  | 'driver-missing'
  | 'not-mounted'
  | 'busy'
  | 'failed'

export class MountError extends Error {
  override name = 'MountError'
  readonly code: MountErrorCode
  /** The parts of the line `what: why: what to do`; `what` is a path. */
  readonly what: string
  readonly why: string
  readonly advice: string

  constructor(
    code: MountErrorCode,
    parts: { readonly what: string; readonly why: string; readonly advice: string },
    options?: ErrorOptions
  ) {
    super(`${parts.what}: ${parts.why}: ${parts.advice}`, options)
    this.code = code
    this.what = parts.what
    this.why = parts.why
    this.advice = parts.advice
  }
}

const PERMISSION = 'run as root, or as a user who may open /dev/fuse and has fusermount3'

/** What a failed system call of mounting means to the user. */
export function explainMountFailure(what: string, error: unknown): MountError {
  if (error instanceof MountError) return error
  const cause = { cause: error }
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const why = error instanceof Error ? error.message : String(error)
  const deviceMissing =
    why.includes('/dev/fuse') && ['ENOENT', 'ENXIO', 'ENODEV'].includes(`${code}`)
  if (deviceMissing || code === 'ENODEV') {
    const advice = 'load the kernel module (modprobe fuse)'
    return new MountError('no-fuse-device', { what, why, advice }, cause)
  }
  if (code === 'EPERM' || code === 'EACCES') {
    return new MountError('permission', { what, why, advice: PERMISSION }, cause)
  }
  return new MountError('failed', { what, why, advice: 'see the kernel log (dmesg)' }, cause)
}
