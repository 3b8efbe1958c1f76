/** What a mount through the driver fuse-native gives up, and what has to be agreed to for it. */
import type { MountSettings } from './mount-options.ts'
import { UserError } from './user-error.ts'

const WHAT = 'mount options'

/**
 * Throws UserError 'usage' for settings the chosen driver cannot serve truly.
 *
 * Locks are the promise of this filesystem. With fuse-native the kernel keeps them on this member:
 * programs would find every lock granted that somebody on another member holds. Nobody gets that
 * without having asked for it by name.
 */
export function checkDriver(settings: MountSettings): void {
  if (settings.driver === 'default') {
    if (!settings.localLocks) return
    const why = 'local_locks is for driver=fuse-native; locks hold on all members here'
    throw new UserError('usage', { what: WHAT, why, remedy: 'leave it out' })
  }
  if (!settings.localLocks) {
    throw new UserError('usage', {
      what: WHAT,
      why: 'with driver=fuse-native a file lock excludes nobody on the other members',
      remedy: 'use the default driver, or add -o local_locks if that does no harm'
    })
  }
  if (settings.allowOther) {
    throw new UserError('usage', {
      what: WHAT,
      why: 'driver=fuse-native does not tell users apart, so allow_other would make all of them one',
      remedy: 'use the default driver, or leave allow_other out'
    })
  }
}

/** One line each, for who mounts and for `status`. */
export function driverWarnings(settings: MountSettings): string[] {
  if (settings.driver === 'default') return []
  return [
    'driver fuse-native: file locks (fcntl, flock) hold on this member only',
    'driver fuse-native: no shared mmap, fallocate, SEEK_HOLE or rename flags; times in milliseconds,' +
      ' one alone cannot be set; names must be UTF-8; inode numbers are not those of the volume'
  ]
}
