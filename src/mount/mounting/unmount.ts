/** Taking a mount away: umount2(2), or the program that makes the call for us. */
import { writeFileSync } from 'node:fs'
import { codeOf } from '../channel/channel-error.ts'
import { loadAddon } from '../channel/load-addon.ts'
import { explainMountFailure, MountError } from './mount-error.ts'
import { findMount } from './mountinfo.ts'
import { runProgram } from './run-program.ts'

const MNT_FORCE = 1
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

export interface UnmountOptions {
  /** Detaches at once and lets the filesystem end when its last file is closed. */
  readonly lazy?: boolean
}

export function isRoot(): boolean {
  return process.geteuid?.() === 0
}

/**
 * Unmounts the topmost mount at `mountPoint` (as mountinfo names it). Resolves when the kernel has
 * taken it away. Throws MountError: not-mounted, busy, permission, fusermount-missing, failed.
 */
export async function unmountPath(mountPoint: string, options: UnmountOptions = {}): Promise<void> {
  if (findMount(mountPoint) === undefined) {
    const parts = { what: mountPoint, why: 'not mounted', advice: 'see findmnt' }
    throw new MountError('not-mounted', parts)
  }
  const lazy = options.lazy ?? false
  const { addon } = loadAddon()
  if (!isRoot()) await unmountAsUser(mountPoint, lazy)
  else if (addon === undefined) await unmountByProgram(mountPoint, lazy ? ['-l'] : [])
  else {
    try {
      await addon.unmountPath(mountPoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0))
    } catch (error) {
      throw codeOf(error) === 'EBUSY' ? busy(mountPoint) : explainMountFailure(mountPoint, error)
    }
  }
}

/** Detaches the topmost mount at `mountPoint`, whatever state its daemon is in. */
export function detach(mountPoint: string): Promise<void> {
  return unmountPath(mountPoint, { lazy: true })
}

/**
 * Ends the FUSE connection of a mount: every blocked call of it returns, in its processes and in
 * its daemon. Through the fusectl filesystem where that is mounted, else by a forced unmount, for
 * which only root has the right.
 */
export async function abortConnection(mountPoint: string, minor: number): Promise<void> {
  try {
    writeFileSync(`/sys/fs/fuse/connections/${minor}/abort`, '1')
    return
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EACCES') {
      throw explainMountFailure(mountPoint, error)
    }
  }
  if (findMount(mountPoint)?.minor !== minor) return
  if (!isRoot()) return
  const { addon } = loadAddon()
  try {
    if (addon === undefined) await unmountByProgram(mountPoint, ['-f'])
    else await addon.unmountPath(mountPoint, UMOUNT_NOFOLLOW | MNT_FORCE)
  } catch (error) {
    // The connection is ended before the kernel looks whether the mount is in use.
    const inUse =
      codeOf(error) === 'EBUSY' || (error instanceof MountError && error.code === 'busy')
    if (!inUse) throw explainMountFailure(mountPoint, error)
  }
}

async function unmountByProgram(mountPoint: string, flags: readonly string[]): Promise<void> {
  try {
    const result = await runProgram('umount', ['-i', ...flags, '--', mountPoint])
    if (result.status !== 0) throw refused(mountPoint, 'umount', result.said)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw explainMountFailure(mountPoint, error)
    const advice = 'install the mount program of util-linux'
    const parts = { what: mountPoint, why: 'there is no umount program', advice }
    throw new MountError('mount-program-missing', parts, { cause: error })
  }
}

async function unmountAsUser(mountPoint: string, lazy: boolean): Promise<void> {
  const flags = lazy ? ['-u', '-z'] : ['-u']
  try {
    const result = await runProgram('fusermount3', [...flags, '--', mountPoint])
    if (result.status !== 0) throw refused(mountPoint, 'fusermount3', result.said)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw explainMountFailure(mountPoint, error)
    throw fusermountMissing(mountPoint, error)
  }
}

export function fusermountMissing(mountPoint: string, cause: unknown): MountError {
  const advice = 'install fuse3, or run as root'
  const parts = { what: mountPoint, why: 'there is no fusermount3 program', advice }
  return new MountError('fusermount-missing', parts, { cause })
}

/** The programs say in English (LC_ALL=C) what errno said. */
function refused(mountPoint: string, program: string, said: string): MountError {
  if (/busy/i.test(said)) return busy(mountPoint)
  const permission = /permission|not permitted|must be superuser/i.test(said)
  return new MountError(permission ? 'permission' : 'failed', {
    what: mountPoint,
    why: `${program}: ${said === '' ? 'failed without a word' : said.replaceAll('\n', ' ')}`,
    advice: permission ? 'unmount as the user who mounted it, or as root' : 'see findmnt'
  })
}

function busy(mountPoint: string): MountError {
  const advice = 'close its files and leave its directories (fuser -m names who), or unmount lazily'
  return new MountError('busy', { what: mountPoint, why: 'in use', advice })
}
