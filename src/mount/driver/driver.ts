/**
 * A driver brings what the kernel asks of a mount to the filesystem, and the answers back. The
 * daemon knows no more of it than this. There are two: channel-driver.ts speaks the FUSE protocol
 * itself; fuse-native-driver.ts leaves that to a package and gets paths instead of inodes.
 */
import type { FsError } from '../../fs/errno.ts'
import type { FilesystemApi } from '../../fs/filesystem-api.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { PlainHandleTable } from '../channel/plain-handles.ts'
import type { TurnEnd } from '../channel/turn-end.ts'
import type { RequestGate } from '../fuse/gate.ts'
import type { CachePolicy } from '../fuse/policy.ts'
import type { FuseMountOptions } from '../mounting/mount-options.ts'
import type { UnmountOptions } from '../mounting/unmount.ts'

export interface DriverComponents {
  readonly fs: FilesystemApi
  readonly gate: RequestGate
  readonly policy: CachePolicy
  readonly clock: Clock
  readonly logger: Logger
  /** What is put off until the requests at hand were handed over, where a driver can tell. */
  readonly turnEnd?: TurnEnd
  readonly plainHandles?: PlainHandleTable
}

export interface DriverOptions extends FuseMountOptions {
  readonly mountPoint: string
  /** Shown as the source of the mount. */
  readonly source: string
  /** The member's state directory: nothing is mounted inside of it. */
  readonly stateDirectory: string
}

/** A mount that is being served. */
export interface ServedMount {
  /** How requests come; for `status`. */
  readonly kind: 'native' | 'threadpool' | 'fuse-native'
  /** Why it is not the kind that was wanted first. */
  readonly fallbackReason: string | undefined
  /** Resolves when the kernel's side has ended and nothing is in flight, with the error if any. */
  readonly closed: Promise<Error | undefined>
  /** Ends the waits of all requests in flight: they answer with the errno of `reason`. */
  endWaits(reason: FsError): void
  /** Goes on serving until it resolves. Throws MountError (busy) and serves on. */
  unmount(options: UnmountOptions): Promise<void>
  /** Lets go of the kernel's side; a mount still there is dead then (ENOTCONN). */
  close(): Promise<void>
  /** What this process has to wait for before it can end with its mount left behind. */
  beforeExit(): Promise<void>
}

/**
 * Mounts and begins to serve; resolves when the kernel's first request was answered. Throws
 * MountError; nothing is left mounted or open then.
 */
export type Driver = (components: DriverComponents, options: DriverOptions) => Promise<ServedMount>
