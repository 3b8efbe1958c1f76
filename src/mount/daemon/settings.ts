/** What the parts of the daemon make of the mount options. */
import type { MountFlags } from '../mounting/mount-options.ts'
import type { MountSettings } from './mount-options.ts'
import type { ServingOptions } from './serving.ts'
import { UserError } from './user-error.ts'

export function kernelFlags(settings: MountSettings): MountFlags {
  return {
    readOnly: settings.readOnly,
    noexec: settings.noExec,
    nosuid: settings.noSuid,
    nodev: settings.noDev,
    nosymfollow: settings.noSymFollow,
    sync: settings.sync,
    dirsync: settings.dirSync,
    noatime: settings.noAtime,
    nodiratime: settings.noDirAtime,
    relatime: settings.relAtime,
    strictatime: settings.strictAtime,
    lazytime: settings.lazyTime
  }
}

export function servingOptions(settings: MountSettings): ServingOptions {
  return { isolationMs: settings.isolationTimeoutMs, onIsolation: settings.onIsolation }
}

export function cpuLatencyOptions(settings: MountSettings): { readonly isWanted: boolean } {
  return { isWanted: settings.cpuLatency === 'low' }
}

/**
 * How long an incarnation is kept while it is isolated. With `readonly` to the end of the isolation:
 * nobody waits for its end, and the state of the next one is older until it hears from the others.
 */
export function incarnationIsolationMs(settings: MountSettings): number {
  return settings.onIsolation === 'readonly'
    ? Number.POSITIVE_INFINITY
    : settings.isolationTimeoutMs
}

const FIXED = {
  allowOther: 'allow_other',
  shownUid: 'uid',
  shownGid: 'gid',
  sync: 'sync',
  dirSync: 'dirsync',
  driver: 'driver',
  localLocks: 'local_locks'
} as const satisfies Partial<Record<keyof MountSettings, string>>

/** Throws UserError 'usage' for what a mount that is there cannot be changed into. */
export function assertChangeable(from: MountSettings, to: MountSettings): void {
  const keys = Object.keys(FIXED) as (keyof typeof FIXED)[]
  const changed = keys.find((key) => from[key] !== to[key])
  if (changed === undefined) return
  throw new UserError('usage', {
    what: 'mount options',
    why: `${FIXED[changed]} cannot be changed by a remount`,
    remedy: 'unmount it and mount it again'
  })
}
