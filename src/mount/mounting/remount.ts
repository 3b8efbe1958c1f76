/** Changes the flags of a mount that is there (MS_REMOUNT): read-only, noexec and their like. */
import { codeOf } from '../channel/channel-error.ts'
import { loadAddon } from '../channel/load-addon.ts'
import { explainMountFailure, MountError } from './mount-error.ts'
import { type MountFlags, mountWords, remountFlags } from './mount-options.ts'
import { FUSE_TYPE, findMount } from './mountinfo.ts'
import { runProgram } from './run-program.ts'
import { isRoot } from './unmount.ts'

/**
 * Never call it in the daemon of the mount: the kernel may write dirty pages back first, and waits
 * for its answers. Throws MountError: not-mounted, busy (files are open for writing), permission.
 */
export async function remount(mountPoint: string, flags: MountFlags): Promise<void> {
  const entry = findMount(mountPoint)
  if (entry === undefined || entry.type !== FUSE_TYPE) {
    const parts = { what: mountPoint, why: 'not mounted', advice: 'see findmnt' }
    throw new MountError('not-mounted', parts)
  }
  if (!isRoot()) {
    const why = 'only root may change the options of a mount'
    const advice = 'unmount it and mount it again with them'
    throw new MountError('permission', { what: mountPoint, why, advice })
  }
  const { addon } = loadAddon()
  if (addon === undefined) {
    await remountByProgram(mountPoint, flags)
    return
  }
  try {
    addon.mountDevice(entry.source, mountPoint, FUSE_TYPE, remountFlags(flags), '')
  } catch (error) {
    throw codeOf(error) === 'EBUSY' ? busy(mountPoint) : explainMountFailure(mountPoint, error)
  }
}

async function remountByProgram(mountPoint: string, flags: MountFlags): Promise<void> {
  const words = ['remount', flags.readOnly === true ? 'ro' : 'rw', ...mountWords(flags)]
  const result = await runProgram('mount', ['-i', '-n', '-o', words.join(','), '--', mountPoint])
  if (result.status === 0) return
  if (/busy/i.test(result.said)) throw busy(mountPoint)
  const why = `mount: ${result.said === '' ? 'failed without a word' : result.said}`
  throw new MountError('failed', { what: mountPoint, why, advice: 'see the kernel log (dmesg)' })
}

function busy(mountPoint: string): MountError {
  const advice = 'close them (fuser -vm shows who has them open) and try again'
  return new MountError('busy', { what: mountPoint, why: 'files are open for writing', advice })
}
