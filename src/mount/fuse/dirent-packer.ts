/** Packs directory entries into one READDIR answer of at most the asked size. */
import type { DirEntry } from '../../fs/filesystem-api.ts'
import { Size } from './abi.ts'
import { writeU64 } from './encode.ts'

/** Of one struct fuse_dirent. */
export function direntBytes({ name }: DirEntry): number {
  return (Size.DIRENT + name.length + 7) & ~7
}

export function writeDirent(buffer: Buffer, entry: DirEntry, at: number): void {
  const { name } = entry
  writeU64(buffer, entry.ino, at)
  writeU64(buffer, entry.cookie, at + 8)
  buffer.writeUInt32LE(name.length, at + 16)
  buffer.writeUInt32LE((entry.type & 0o170000) >>> 12, at + 20)
  buffer.set(name, at + Size.DIRENT)
  const end = at + direntBytes(entry)
  for (let pad = at + Size.DIRENT + name.length; pad < end; pad++) buffer[pad] = 0
}

export class DirentPacker {
  readonly #buffer: Buffer
  #used = 0
  #refused = false

  constructor(options: { readonly sizeBytes: number }) {
    this.#buffer = Buffer.allocUnsafe(options.sizeBytes)
  }

  /** False when the entry does not fit any more: it is then not part of the answer. */
  add(entry: DirEntry): boolean {
    const sizeBytes = direntBytes(entry)
    const at = this.#used
    if (sizeBytes > this.#buffer.length - at) {
      this.#refused = true
      return false
    }
    writeDirent(this.#buffer, entry, at)
    this.#used = at + sizeBytes
    return true
  }

  /** True when not even one entry fitted, which must not look like the end of the directory. */
  get tooSmall(): boolean {
    return this.#refused && this.#used === 0
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used)
  }
}
