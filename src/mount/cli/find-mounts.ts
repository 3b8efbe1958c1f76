/** Finds volumes by what is mounted, from mountinfo alone: nothing here can hang on a mount. */
import { realpathSync } from 'node:fs'
import path from 'node:path'
import { FUSE_TYPE, findMount, type MountEntry, readMountinfo } from '../mounting/mountinfo.ts'
import { DEFAULT_DIR, volumePath } from './volume-path.ts'

export interface MountedVolume {
  readonly mountPoint: string
  readonly source: string
  readonly stateDir: string
  /** Minor device number, names the FUSE connection. */
  readonly minor: number
}

function fromEntry(entry: MountEntry): MountedVolume {
  const { mountPoint, source, minor } = entry
  return { mountPoint, source, minor, stateDir: volumePath(source, { dir: DEFAULT_DIR }).stateDir }
}

export function mountedVolumes(): MountedVolume[] {
  return readMountinfo()
    .filter((entry) => entry.type === FUSE_TYPE)
    .map(fromEntry)
}

/**
 * The tandemfs mount that `target` is in, and the rest of the path. Nothing below a mount point is
 * looked up, so symbolic links inside of the volume are not followed.
 */
export function mountAround(
  target: string
): { readonly mount: MountedVolume; readonly below: string } | undefined {
  const absolute = path.resolve(target)
  return mountWithPrefix(absolute) ?? mountWithPrefix(outsideResolved(absolute))
}

function mountWithPrefix(
  absolute: string
): { readonly mount: MountedVolume; readonly below: string } | undefined {
  let found: MountEntry | undefined
  for (const entry of readMountinfo()) {
    const { mountPoint } = entry
    const inside = absolute === mountPoint || absolute.startsWith(`${mountPoint}/`)
    if (inside && mountPoint.length >= (found?.mountPoint.length ?? 0)) found = entry
  }
  if (found?.type !== FUSE_TYPE) return undefined
  return { mount: fromEntry(found), below: absolute.slice(found.mountPoint.length + 1) }
}

/** Links before the volume are followed: part by part, until a mount of ours is reached. */
function outsideResolved(absolute: string): string {
  let resolved = '/'
  const parts = absolute.split('/').filter((part) => part !== '')
  for (const [index, part] of parts.entries()) {
    const next = path.join(resolved, part)
    if (mountWithPrefix(next) !== undefined) return path.join(resolved, ...parts.slice(index))
    try {
      resolved = realpathSync(next)
    } catch {
      return path.join(resolved, ...parts.slice(index))
    }
  }
  return resolved
}

/** The path as mountinfo names it. Its last part is not looked up when something is mounted there. */
export function canonicalPath(target: string): string {
  const absolute = path.resolve(target)
  try {
    const canonical = path.join(realpathSync(path.dirname(absolute)), path.basename(absolute))
    return findMount(canonical) === undefined ? realpathSync(canonical) : canonical
  } catch {
    // What does not exist or does not answer is compared by its name.
    return absolute
  }
}

/** The tandemfs mount at `target`, whose last part is never looked up: its daemon may be dead. */
export function mountAt(target: string): MountedVolume | undefined {
  const entry = findMount(canonicalPath(target))
  return entry?.type === FUSE_TYPE ? fromEntry(entry) : undefined
}
