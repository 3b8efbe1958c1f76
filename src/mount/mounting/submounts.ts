/**
 * Whether anything is mounted below a mount of ours. Forgetting names by epoch makes the kernel
 * detach such mounts, in whichever namespace they are, so it must not be done while there is one.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { codeOf } from '../channel/channel-error.ts'
import { findMount, type MountEntry, readMountinfo } from './mountinfo.ts'

const PROC = '/proc'
/** What a process says that has just ended, or that we may not look at. */
const EXPECTED = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'EINVAL'])

type Device = Pick<MountEntry, 'major' | 'minor'>

/** True when one of the mounts lies on a mount of that device. */
export function liesOn(device: Device, entries: readonly MountEntry[]): boolean {
  const ours = new Set<number>()
  for (const { major, minor, mountId } of entries) {
    if (major === device.major && minor === device.minor) ours.add(mountId)
  }
  return ours.size > 0 && entries.some(({ parentId }) => ours.has(parentId))
}

/**
 * Looks at this moment's mounts; with `everywhere` at those of all mount namespaces this process may
 * see, which takes some microseconds for each process. `mountPoint` is absolute, without links.
 */
export function hasSubmounts(
  mountPoint: string,
  { everywhere, proc = PROC }: { readonly everywhere: boolean; readonly proc?: string }
): boolean {
  const own = readMountinfo(`${proc}/self/mountinfo`)
  const device = findMount(mountPoint, own)
  if (device === undefined) return false
  if (liesOn(device, own)) return true
  if (!everywhere) return false
  const seen = new Set([readlinkSync(`${proc}/self/ns/mnt`)])
  for (const pid of readdirSync(proc)) {
    if (!/^[0-9]+$/.test(pid)) continue
    try {
      const namespace = readlinkSync(`${proc}/${pid}/ns/mnt`)
      if (seen.has(namespace)) continue
      seen.add(namespace)
      if (liesOn(device, readMountinfo(`${proc}/${pid}/mountinfo`))) return true
    } catch (error) {
      if (!EXPECTED.has(codeOf(error) ?? '')) throw error
    }
  }
  return false
}
