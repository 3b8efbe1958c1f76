/**
 * One READDIRPLUS answer: entries, with the attributes of those that have them. To the kernel an entry
 * without an inode number in its head is one of READDIR. They are packed like that; what the
 * kernel may keep is put in by the policy when the answer is written.
 */
import type { Attr } from '../../fs/attr.ts'
import type { DirEntry } from '../../fs/filesystem-api.ts'
import type { Ino } from '../../fs/primitives.ts'
import { Size } from './abi.ts'
import { direntBytes, writeDirent } from './dirent-packer.ts'
import { ENTRY_HEAD_BYTES, writeAttr, writeEntryHead } from './encode.ts'

export class Listing {
  /** Inodes of which there are attributes, in order; their attributes in the answer. */
  readonly #inos: Ino[] = []
  readonly #heads: number[] = []
  readonly #given: Ino[] = []
  readonly #buffer: Buffer
  #used = 0
  #refused = false

  constructor(options: { readonly sizeBytes: number }) {
    this.#buffer = Buffer.allocUnsafe(options.sizeBytes)
  }

  /** False when the entry does not fit any more: it is then not part of the answer. */
  add(entry: DirEntry, attributes: (ino: Ino) => Attr | undefined): boolean {
    const at = this.#used
    const end = at + Size.ENTRY_OUT + direntBytes(entry)
    if (end > this.#buffer.length) {
      this.#refused = true
      return false
    }
    const attr = isDots(entry.name) ? undefined : attributes(entry.ino)
    if (attr === undefined) {
      this.#buffer.fill(0, at, at + Size.ENTRY_OUT)
    } else {
      this.#buffer.fill(0, at, at + ENTRY_HEAD_BYTES)
      writeAttr(this.#buffer, attr, at + ENTRY_HEAD_BYTES)
      this.#inos.push(entry.ino)
      this.#heads.push(at)
    }
    writeDirent(this.#buffer, entry, at + Size.ENTRY_OUT)
    this.#used = end
    return true
  }

  /** True when not even one entry fitted, which must not look like the end of the directory. */
  get tooSmall(): boolean {
    return this.#refused && this.#used === 0
  }

  /** Inodes whose attributes the kernel may be given, in order; one with two names is in it twice. */
  get inos(): readonly Ino[] {
    return this.#inos
  }

  /** Those the kernel is given, each of them one lookup. */
  get given(): readonly Ino[] {
    return this.#given
  }

  /** Gives the kernel the name and the attributes of `inos[index]`. */
  give(index: number, entryValidMs: number, attrValidMs: number): void {
    const ino = this.#inos[index]
    const head = this.#heads[index]
    if (ino === undefined || head === undefined) return
    writeEntryHead(this.#buffer, ino, entryValidMs, attrValidMs, head)
    this.#given.push(ino)
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used)
  }
}

/** The kernel takes nothing of "." and "..". */
function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))
}
