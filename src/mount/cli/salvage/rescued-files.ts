/**
 * (I/O) The files that an extraction writes: below one new folder, by the paths they had, or by
 * their inode number where that is not known or taken. Modes are those of whoever extracts.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import type { Ino } from '../../../fs/primitives.ts'

const SLASH = Buffer.from('/')

export class RescuedFiles {
  readonly #folder: Buffer
  readonly #paths = new Map<Ino, Buffer>()
  #bytes = 0

  /** The folder must not exist yet. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#folder = Buffer.from(folder)
  }

  get count(): number {
    return this.#paths.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Calls `fill` with the open file of the inode, which is made when it is not there yet. */
  fill(ino: Ino, path: Buffer | undefined, fill: (file: RescuedFile) => void): void {
    const fd = this.#open(ino, path)
    try {
      fill({
        write: (bytes, offset) => {
          this.#bytes += bytes.length
          for (let done = 0; done < bytes.length; ) {
            done += writeSync(fd, bytes, done, bytes.length - done, offset + done)
          }
        },
        truncate: (size) => ftruncateSync(fd, size)
      })
    } finally {
      closeSync(fd)
    }
  }

  #open(ino: Ino, path: Buffer | undefined): number {
    const known = this.#paths.get(ino)
    if (known !== undefined) return openSync(known, 'r+')
    for (const relative of [path, Buffer.from(`inode-${ino}`)]) {
      if (relative === undefined || relative.length === 0) continue
      const target = Buffer.concat([this.#folder, SLASH, relative])
      try {
        mkdirSync(target.subarray(0, target.lastIndexOf(SLASH)), { recursive: true, mode: 0o700 })
        const fd = openSync(target, 'wx', 0o600)
        this.#paths.set(ino, target)
        return fd
      } catch (error) {
        if (!isTaken(error) || relative !== path) throw error
      }
    }
    throw new Error(`inode ${ino}: no place for it`)
  }
}

export interface RescuedFile {
  write(bytes: Uint8Array, offset: number): void
  truncate(size: number): void
}

/** Another file lies there, or on the way, or the path is too long for this filesystem. */
function isTaken(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error)) return false
  return ['EEXIST', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(String(error.code))
}
