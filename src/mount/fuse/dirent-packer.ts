/** Packs directory entries into one READDIR or READDIRPLUS answer of at most the asked size. */
import type { DirEntry } from '../../fs/filesystem-api.ts'
import { Size } from './abi.ts'
import { writeEntry, writeU64 } from './encode.ts'

const DOT = 0x2e

function isDotOrDotDot(name: Uint8Array): boolean {
  return name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))
}

export class DirentPacker {
  readonly #buffer: Buffer
  readonly #plus: boolean
  readonly #attrValidMs: (entry: DirEntry) => number
  #used = 0
  #refused = false

  constructor(
    components: { readonly attrValidMs: (entry: DirEntry) => number },
    options: { readonly sizeBytes: number; readonly plus: boolean }
  ) {
    this.#attrValidMs = components.attrValidMs
    this.#buffer = Buffer.allocUnsafe(options.sizeBytes)
    this.#plus = options.plus
  }

  /** False when the entry does not fit any more: it is then not part of the answer. */
  add(entry: DirEntry): boolean {
    const prefix = this.#plus ? Size.ENTRY_OUT : 0
    const unpadded = prefix + Size.DIRENT + entry.name.length
    const sizeBytes = (unpadded + 7) & ~7
    const at = this.#used
    if (sizeBytes > this.#buffer.length - at) {
      this.#refused = true
      return false
    }
    if (this.#plus) this.#writeAttributes(entry, at)
    const buffer = this.#buffer
    const dirent = at + prefix
    writeU64(buffer, entry.ino, dirent)
    writeU64(buffer, entry.cookie, dirent + 8)
    buffer.writeUInt32LE(entry.name.length, dirent + 16)
    buffer.writeUInt32LE((entry.type & 0o170000) >>> 12, dirent + 20)
    buffer.set(entry.name, dirent + Size.DIRENT)
    buffer.fill(0, at + unpadded, at + sizeBytes)
    this.#used = at + sizeBytes
    return true
  }

  /**
   * The name's validity is always 0 (RULES 26: its epoch is taken after the reply). nodeid 0 tells
   * the kernel that there are no attributes; so it is for "." and "..", which it must not link.
   */
  #writeAttributes(entry: DirEntry, at: number): void {
    if (entry.attr === undefined || isDotOrDotDot(entry.name)) {
      this.#buffer.fill(0, at, at + Size.ENTRY_OUT)
    } else {
      writeEntry(this.#buffer, entry.attr, 0, this.#attrValidMs(entry), at)
    }
  }

  /** True when not even one entry fitted, which must not look like the end of the directory. */
  get tooSmall(): boolean {
    return this.#refused && this.#used === 0
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used)
  }
}
