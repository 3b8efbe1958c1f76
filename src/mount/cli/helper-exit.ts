/** Exit codes of mount(8) and umount(8), which their helpers have to keep to. */
import { ExitCode, type ExitCodeValue } from '../daemon/exit-codes.ts'
import type { UserError } from '../daemon/user-error.ts'
import { MountError } from '../mounting/mount-error.ts'

export const HelperExit = {
  ok: 0,
  /** Wrong call, or not permitted. */
  usage: 1,
  /** The system lacks something. */
  system: 2,
  internal: 4,
  interrupted: 8,
  /** It could not be mounted or unmounted. */
  failed: 32
} as const

export type HelperExitValue = (typeof HelperExit)[keyof typeof HelperExit]

const BY_EXIT_CODE: Partial<Readonly<Record<ExitCodeValue, HelperExitValue>>> = {
  [ExitCode.ok]: HelperExit.ok,
  [ExitCode.usage]: HelperExit.usage,
  [ExitCode.noSpace]: HelperExit.system,
  [ExitCode.system]: HelperExit.system,
  [ExitCode.internal]: HelperExit.internal
}

export function helperExit(error: UserError): HelperExitValue {
  if (error.cause instanceof MountError && error.cause.code === 'permission') {
    return HelperExit.usage
  }
  return BY_EXIT_CODE[error.exitCode] ?? HelperExit.failed
}
