/**
 * How far the kernel reads ahead in files of a mount. Its device begins with 128 KiB, and INIT can only
 * lower what the device has by then (process_init_reply in the kernel's fs/fuse/inode.c): this is said
 * before INIT is answered. Larger requests cost less, and while one is copied to the process the next is
 * on its way.
 */
import { writeFileSync } from 'node:fs'
import { codeOf } from '../channel/channel-error.ts'

/** As much as one request holds. 4 MiB measured no better: what waits in the daemon is not copied. */
const READ_AHEAD_KIB = 1024
/** No sysfs here, or no right to change it: reads are slower then, nothing else. */
const NOT_OURS = new Set(['ENOENT', 'EACCES', 'EPERM', 'EROFS'])

/** `minor` of the mount's device, whose major is 0. */
export function setReadAhead(minor: number, bdi = '/sys/class/bdi'): void {
  try {
    writeFileSync(`${bdi}/0:${minor}/read_ahead_kb`, `${READ_AHEAD_KIB}\n`, { flag: 'r+' })
  } catch (error) {
    if (!NOT_OURS.has(codeOf(error) ?? '')) throw error
  }
}
