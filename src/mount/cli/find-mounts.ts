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

/** The tandemfs mount at `target`, whose last part is never looked up: its daemon may be dead. */
export function mountAt(target: string): MountedVolume | undefined {
  const absolute = path.resolve(target)
  let canonical = absolute
  try {
    canonical = path.join(realpathSync(path.dirname(absolute)), path.basename(absolute))
    if (findMount(canonical) === undefined) canonical = realpathSync(canonical)
  } catch {
    // What does not exist or does not answer is compared by its name.
  }
  const entry = findMount(canonical)
  return entry?.type === FUSE_TYPE ? fromEntry(entry) : undefined
}
