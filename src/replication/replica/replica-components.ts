/** What a replica needs from the rest of the daemon, and what may be chosen about it. */
import type { Clock } from '../../fs/ports/clock.ts'
import type { LostLock } from '../../fs/ports/lock-service.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { StateMachine, StatePosition } from '../../fs/ports/state-machine.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Entry, SealedEntry } from '../entry.ts'
import type { OpenedVolume } from '../volume/open-volume.ts'
import type { EndReason } from './membership-components.ts'

export interface ReplicaComponents {
  readonly volume: OpenedVolume
  readonly state: StateMachine
  readonly checkpoint: () => Promise<StatePosition>
  readonly clock: Clock
  /** 0 <= x < 1. */
  readonly random: () => number
  readonly logger: Logger
  /** Of these inodes, the ones not open here: from now on opening them answers ESTALE. */
  readonly closeForGood: (inos: readonly Ino[]) => readonly Ino[]
  readonly forgetReaped: (inos: readonly Ino[]) => void
  /** Drops what the kernel caches of these inodes. */
  readonly dropCaches: (inos: readonly Ino[]) => void | Promise<void>
  readonly isDirectory: (ino: Ino) => boolean
  /** An entry of the local journal never became part of the volume. */
  readonly onVoid: (entry: Entry, sealed: SealedEntry) => void
  /** The incarnation is over: these locks of local processes are gone (RULES 5). */
  readonly onLocksLost: (locks: readonly LostLock[]) => void
  /** Name of a local process, for reports. */
  readonly commandOf: (pid: number) => string | undefined
  /** A message with so many bytes of content came from another member, or goes to one. */
  readonly noteTraffic: (sizeBytes: number) => void
  readonly onLive: () => void
  readonly onEnded: (reason: EndReason) => void
  readonly onFatal: (error: Error) => void
}

export interface ReplicaOptions {
  readonly isolationMs: number
  readonly minHoldMs: number
}

export const REPLICA_DEFAULTS: ReplicaOptions = { isolationMs: 30_000, minHoldMs: 5 }
