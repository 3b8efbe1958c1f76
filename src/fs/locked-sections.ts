/**
 * What processes do between taking a file lock and giving it up: the sections of each handle. What
 * the last one used tells what the next will probably use, so that its token comes along with the
 * lock, and is given up with it when another member waits. Only guesses come from here.
 */
import type { HandleId } from './filesystem-api.ts'
import type { LockType } from './ports/lock-service.ts'
import type { ByteRange, TokenMode, TokenWant } from './ports/token-service.ts'
import type { Ino } from './primitives.ts'

interface Section {
  readonly lock: LockType
  /** What was read and written of the file, in one range. */
  used: ByteRange | undefined
  written: boolean
}

interface Usual {
  readonly mode: TokenMode
  readonly range: ByteRange
}

/** Inodes and handles whose last section is remembered; beyond it the oldest are forgotten. */
const REMEMBERED_MAX = 4096

export class LockedSections {
  readonly #sections = new Map<HandleId, Section>()
  readonly #usualOfHandle = new Map<HandleId, Usual>()
  readonly #usualOfInode = new Map<Ino, Usual>()

  /** A lock was granted through the handle. */
  begin(handle: HandleId, lock: LockType): void {
    this.#sections.set(handle, { lock, used: undefined, written: false })
  }

  used(handle: HandleId, range: ByteRange, written: boolean): void {
    const section = this.#sections.get(handle)
    if (section === undefined) return
    const { used } = section
    const start = Math.min(range.start, used?.start ?? range.start)
    section.used = { start, end: Math.max(range.end, used?.end ?? range.end) }
    if (written) section.written = true
  }

  /** A lock is given up through the handle. Returns what was used since it was taken. */
  end(ino: Ino, handle: HandleId): ByteRange | undefined {
    const section = this.#sections.get(handle)
    this.#sections.delete(handle)
    if (section?.used === undefined) return undefined
    const usual: Usual = { mode: section.written ? 'exclusive' : 'shared', range: section.used }
    remember(this.#usualOfHandle, handle, usual)
    remember(this.#usualOfInode, ino, usual)
    return section.used
  }

  close(handle: HandleId): void {
    this.#sections.delete(handle)
    this.#usualOfHandle.delete(handle)
  }

  /** What will probably be wanted as soon as that lock is there. */
  expected(ino: Ino, handle: HandleId, lock: LockType): TokenWant | undefined {
    const usual = this.#usualOfHandle.get(handle) ?? this.#usualOfInode.get(ino)
    if (usual === undefined) return undefined
    return { ino, mode: lock === 'read' ? 'shared' : usual.mode, range: usual.range }
  }

  isInside(handle: HandleId): boolean {
    return this.#sections.has(handle)
  }

  /** True when bytes read through the handle now are likely to be written before the unlock. */
  expectsWrite(ino: Ino, handle: HandleId, isWritable: boolean): boolean {
    if (this.#sections.get(handle)?.lock !== 'write') return false
    const usual = this.#usualOfHandle.get(handle) ?? this.#usualOfInode.get(ino)
    return usual === undefined ? isWritable : usual.mode === 'exclusive'
  }
}

function remember<K>(map: Map<K, Usual>, key: K, usual: Usual): void {
  map.delete(key)
  map.set(key, usual)
  if (map.size <= REMEMBERED_MAX) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}
