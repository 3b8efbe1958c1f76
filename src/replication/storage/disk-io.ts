/** (I/O) The disk calls whose failure the stores have to survive; tests put failing ones here. */
import { fdatasync, fdatasyncSync, ftruncateSync, writeSync, writevSync } from 'node:fs'
import { promisify } from 'node:util'

export interface DiskIo {
  /** May write less than asked. */
  writev(fd: number, parts: readonly Uint8Array[], position: number): number
  /** May write less than asked. */
  write(fd: number, bytes: Uint8Array, position: number): number
  truncate(fd: number, length: number): void
  fdatasync(fd: number): Promise<void>
  fdatasyncNow(fd: number): void
}

/** The sum of the bytes; `start`: of those before them. */
export type Crc32 = (bytes: Uint8Array, start?: number) => number

/** Calls on byte ranges of an open file, for which Node has no name, and the sums of such ranges. */
export interface FileRangeCalls {
  /**
   * Off the event loop: frees the blocks of a range, which reads as zeros then; the size stays. The filesystem below may write
   * what is dirty in the range first. Rejects with the errno (code).
   */
  punchHole(fd: number, offset: number, lengthBytes: number): Promise<void>
  /**
   * Off the event loop: asks for the dirty pages of the range to be written, and may wait for room in the disk's
   * queue. Makes nothing durable, and takes no error away from the next fdatasync
   * (sync_file_range(2), SYNC_FILE_RANGE_WRITE).
   */
  startWriteBack(fd: number, offset: number, lengthBytes: number): Promise<void>
  /**
   * Off the event loop: the page cache need not keep what of the range stands on the disk; the rest stays
   * (posix_fadvise(2), POSIX_FADV_DONTNEED).
   */
  forgetPages(fd: number, offset: number, lengthBytes: number): Promise<void>
  /** As zlib's, in a sixth of the time that some builds of it take. */
  readonly crc32: Crc32
  /**
   * Off the event loop: the sha256 of each part of `partBytes`, the last of what is left, one behind the other. The
   * bytes must stay what they are until then.
   */
  sha256Each(bytes: Uint8Array, partBytes: number): Promise<Buffer>
  /**
   * Fills `target` and checks it. `parts`: length and crc32 of each part of it, one pair behind the other.
   * `once`: the page cache need not keep what was read. 0 or a positive errno: EBADMSG for other bytes
   * than those, ENODATA when the file ends before.
   */
  readChecked(
    fd: number,
    target: Uint8Array,
    offset: number,
    how: { readonly parts: Uint32Array; readonly once: boolean }
  ): number
}

const fdatasyncAsync = promisify(fdatasync)

export const diskIo: DiskIo = {
  writev: (fd, parts, position) => writevSync(fd, parts, position),
  write: (fd, bytes, position) => writeSync(fd, bytes, 0, bytes.length, position),
  truncate: (fd, length) => ftruncateSync(fd, length),
  fdatasync: (fd) => fdatasyncAsync(fd),
  fdatasyncNow: (fd) => fdatasyncSync(fd)
}

/** Writes all of `bytes`; throws the system's error when the disk takes no more. */
export function writeFully(io: DiskIo, fd: number, bytes: Uint8Array, position: number): void {
  let done = 0
  while (done < bytes.length) {
    const count = io.write(fd, bytes.subarray(done), position + done)
    if (count === 0) throw new Error('the disk took no bytes of a write')
    done += count
  }
}

/** Writes all of `parts` with as few calls as possible; throws the system's error. */
export function writevFully(
  io: DiskIo,
  fd: number,
  parts: readonly Uint8Array[],
  position: number
): void {
  let left = parts.filter((part) => part.length > 0)
  let at = position
  while (left.length > 0) {
    let count = io.writev(fd, left, at)
    if (count === 0) throw new Error('the disk took no bytes of a write')
    at += count
    let whole = 0
    for (const part of left) {
      if (count < part.length) break
      count -= part.length
      whole++
    }
    left = left.slice(whole)
    const first = left[0]
    if (first && count > 0) left[0] = first.subarray(count)
  }
}
