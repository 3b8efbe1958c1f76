/**
 * Whether a volume may be mounted at a path. A mount left behind by a daemon that was killed is
 * detached here, so that mounting again needs nothing else.
 */
import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { codeOf } from '../channel/channel-error.ts'
import { explainMountFailure, MountError } from './mount-error.ts'
import { FUSE_TYPE, findMount, type MountEntry } from './mountinfo.ts'
import { runProgram } from './run-program.ts'
import { detach } from './unmount.ts'

const STACKED_MAX = 16
const STAT_DEADLINE_MS = 3000

export interface MountPointOptions {
  /** The member's state directory: mounting inside it would hide what the daemon writes. */
  readonly stateDirectory?: string
}

/** The path as mountinfo names it; the last part is not looked up when it is a mount. */
export function canonicalMountPoint(path: string): string {
  const absolute = resolve(path)
  const parent = dirname(absolute)
  if (parent === absolute) return absolute
  try {
    const candidate = join(realpathSync(parent), basename(absolute))
    if (findMount(candidate) !== undefined) return candidate
    return realpathSync(candidate)
  } catch (error) {
    throw unusable(absolute, error)
  }
}

/**
 * Whether the daemon of a mount is gone. Asked of a child, because a daemon that hangs would keep
 * the asker; no answer counts as alive.
 */
export async function isDeadMount(entry: MountEntry): Promise<boolean> {
  const program = await runProgram('stat', ['--', entry.mountPoint], {
    deadlineMs: STAT_DEADLINE_MS
  })
  return program.status === 1 && program.said.includes('Transport endpoint is not connected')
}

/** Checks `path` and detaches dead mounts on it; returns it absolute and without links. */
export async function prepareMountPoint(
  path: string,
  options: MountPointOptions = {}
): Promise<string> {
  const mountPoint = canonicalMountPoint(path)
  await detachDead(mountPoint)
  const mounted = findMount(mountPoint)
  if (mounted !== undefined) {
    const why = `already a mount point (${mounted.type} of ${mounted.source})`
    const advice = 'unmount it first or choose another directory'
    throw new MountError('already-mounted', { what: mountPoint, why, advice })
  }
  checkOutside(mountPoint, options.stateDirectory)
  checkEmptyDirectory(mountPoint)
  return mountPoint
}

async function detachDead(mountPoint: string): Promise<void> {
  for (let depth = 0; depth < STACKED_MAX; depth++) {
    const entry = findMount(mountPoint)
    if (entry === undefined || entry.type !== FUSE_TYPE) return
    if (!(await isDeadMount(entry))) return
    await detach(mountPoint)
  }
}

function checkOutside(mountPoint: string, stateDirectory: string | undefined): void {
  if (stateDirectory === undefined) return
  let state: string
  try {
    state = realpathSync(stateDirectory)
  } catch (error) {
    throw explainMountFailure(stateDirectory, error)
  }
  if (mountPoint !== state && !mountPoint.startsWith(state + sep)) return
  const why = `inside the state directory ${state}`
  const advice = 'choose a directory outside of it'
  throw new MountError('inside-state-directory', { what: mountPoint, why, advice })
}

function checkEmptyDirectory(mountPoint: string): void {
  try {
    if (!statSync(mountPoint).isDirectory()) {
      const parts = { what: mountPoint, why: 'not a directory', advice: 'choose a directory' }
      throw new MountError('not-directory', parts)
    }
    if (readdirSync(mountPoint).length > 0) {
      const advice = 'choose an empty directory, a mount would hide what is in it'
      throw new MountError('not-empty', { what: mountPoint, why: 'not empty', advice })
    }
  } catch (error) {
    throw unusable(mountPoint, error)
  }
}

function unusable(path: string, error: unknown): MountError {
  const cause = { cause: error }
  if (codeOf(error) === 'ENOENT') {
    const why = isDanglingLink(path) ? 'a symbolic link to nothing' : 'does not exist'
    return new MountError('not-found', { what: path, why, advice: 'create the directory' }, cause)
  }
  if (codeOf(error) === 'ENOTDIR') {
    const parts = { what: path, why: 'not a directory', advice: 'choose a directory' }
    return new MountError('not-directory', parts, cause)
  }
  return explainMountFailure(path, error)
}

function isDanglingLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}
