/**
 * What the daemon shell asks of a running member: replica, filesystem and mount as one part.
 * compose.ts builds it; the shell (run-daemon.ts) owns process, signals, log and control socket.
 */
import type { Logger } from '../../fs/ports/logger.ts'
import type { LockReport } from './lock-report.ts'
import type { MountSettings } from './mount-options.ts'

export interface NodeOptions {
  readonly stateDir: string
  readonly mountPoint: string
  /** First column of /proc/mounts; resolveVolume() finds the state directory from it again. */
  readonly source: string
  readonly settings: MountSettings
}

export interface NodeComponents {
  readonly logger: Logger
}

export interface MemberStatus {
  readonly id: number
  readonly name: string
  readonly role: 'data' | 'witness'
  readonly self: boolean
  readonly authority: boolean
  readonly live: boolean
  readonly inSync: boolean
  readonly connection: 'self' | 'connected' | 'connecting' | 'disconnected'
  /** Address of the connection, or the first one to try. */
  readonly address: string | null
  /** What is applied here and not confirmed by that member; null = not known. */
  readonly lag: {
    readonly entries: number
    readonly bytes: number
    /** For how long it has been behind without a break. */
    readonly seconds: number
  } | null
  readonly roundTripMs: number | null
}

export interface QuorumStatus {
  readonly voters: readonly {
    readonly id: number
    readonly name: string
    readonly weight: number
    readonly reachable: boolean
  }[]
  /** Weights of the voters that can be reached from here, this member included. */
  readonly have: number
  /** Weights that make a majority. */
  readonly need: number
  readonly total: number
}

export interface NodeStatus {
  readonly version: 1
  readonly role: 'data' | 'witness'
  /** `live` serves; `sealed`: an epoch change runs; `voting`: a witness. */
  readonly phase: 'starting' | 'catching-up' | 'live' | 'sealed' | 'ended' | 'voting'
  readonly volume: { readonly id: string; readonly name: string }
  readonly member: { readonly id: number; readonly name: string; readonly incarnation: number }
  /** null: a witness. */
  readonly mountPoint: string | null
  /** False while this member starts or stops: the mount point shows what is below it. null: a witness. */
  readonly mounted: boolean | null
  readonly stateDir: string
  readonly pid: number
  readonly uptimeMs: number
  readonly channel: {
    readonly kind: 'native' | 'threadpool' | 'fuse-native'
    /** Why it is not the native one. */
    readonly reason: string | null
  } | null
  readonly epoch: number
  readonly authority: { readonly id: number; readonly name: string; readonly reachable: boolean }
  readonly quorum: QuorumStatus
  /** Time this member may still answer without hearing from anybody; null = a witness. */
  readonly leaseLeftMs: number | null
  /** The last time a live member was lost or another became the authority, as seen here. */
  readonly lastFailover: {
    readonly epoch: number
    readonly reason: string
    /** How long nothing was answered here. */
    readonly durationMs: number
    /** ISO 8601. */
    readonly at: string
  } | null
  /** What is missing here; null = nothing, or a witness. */
  readonly catchUp: {
    readonly entriesLeft: number
    readonly bytesLeft: number
    /** null while the rate is not known. */
    readonly secondsLeft: number | null
  } | null
  readonly members: readonly MemberStatus[]
  readonly tokens: {
    readonly exclusive: number
    readonly notes: number
    readonly waiting: number
  } | null
  /** File locks, as far as this member knows of them. */
  readonly locks: {
    readonly held: number
    readonly waiting: number
  } | null
  readonly space: {
    readonly totalBytes: number
    readonly availableBytes: number
    readonly inodes: number
  } | null
  /** Damaged files found, one sentence each; they are never served. */
  readonly damage: readonly string[]
  /** What the administrator should know, such as "losing a member stops the other". */
  readonly warnings: readonly string[]
}

export interface InviteRequest {
  readonly role: 'data' | 'witness'
  readonly ttlMs: number
}

export type StopReason = 'unmount' | 'signal' | 'unmounted' | 'launcher-gone'

export interface TandemNode {
  /** Resolves when the volume is mounted and answers; rejects with the cause, nothing left. */
  start(): Promise<void>
  status(): NodeStatus
  /**
   * The file locks this member knows of: its own, and at the authority those that several members
   * share. `below`: only of that file or below that directory, a path relative to the mount.
   */
  locks(below: string | undefined): Promise<LockReport>
  /**
   * Drains, hands the tokens back, unmounts, closes everything. With `lazy` the mount is detached
   * even when files are open. Without it a mount in use rejects (UserError 'busy', or an error
   * with code EBUSY) and the node goes on serving. Any other rejection means it has not
   * stopped cleanly and the process is to end. During start() it breaks that off: start() then
   * rejects, and nothing is left of it.
   */
  stop(reason: StopReason, options: { readonly lazy: boolean }): Promise<void>
  readonly settings: MountSettings
  /**
   * Other options for the mount, whose kernel side has them already. Turned read-only: resolves
   * when what was written before is durable, or has not become so in a few seconds. Throws UserError 'usage'.
   */
  configure(settings: MountSettings): Promise<void>
  /** A join code, usable once within `ttlMs`; this member has to run when it is used. */
  invite(request: InviteRequest): Promise<string>
  /** Resolves when a majority has agreed on a record without that member. */
  removeMember(name: string): Promise<void>
  /** Resolves when a majority has agreed; null = nobody's vote counts twice. */
  setTieBreaker(name: string | null): Promise<void>
  /** The callback runs once, when the node cannot go on; the process then ends. */
  onFatal(callback: (error: Error) => void): void
  /** The callback runs when somebody else (umount(8)) took the mount away. */
  onUnmounted(callback: () => void): void
}

export type ComposeNode = (components: NodeComponents, options: NodeOptions) => TandemNode
