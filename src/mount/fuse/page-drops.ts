/**
 * The pages of files that the kernel may have cached, and their dropping. Pages come to be cached by
 * READs of the page cache (of cached reads, mappings, splice); those of direct reads are not.
 *
 * A drop waits in the kernel for pages of unanswered READs and of pages written back, which may
 * themselves wait for what the drop is about (RULES 29, 30). So who drops waits for it no longer than
 * until such a request is there; the drop goes on, and takes those pages when they are answered. Who
 * answers what the kernel needs for using pages again (attributes, an open) waits to the end.
 */
import type { Ino } from '../../fs/primitives.ts'
import { ReadFlag, WriteFlag } from './abi.ts'
import type { ServedRequest } from './served-request.ts'

/** Drops in the kernel at a time: each holds a thread, and other notifications need some too. */
const RUNNING_MAX = 2

interface Drops {
  /** The one in the kernel, or waiting for its turn. */
  current: Promise<void>
  /** Another one behind it, for pages that came to be cached meanwhile. */
  next: Promise<void> | undefined
}

/** The request holds pages of its inode in the kernel until it is answered. */
function holdsPages({ body }: ServedRequest): boolean {
  if (body.op === 'read') return (body.readFlags & ReadFlag.LOCKOWNER) === 0
  return body.op === 'write' && (body.writeFlags & WriteFlag.CACHE) !== 0
}

export class PageDrops {
  readonly #invalidate: (ino: Ino) => Promise<void>
  /** Inodes with pages that came since their last drop began. */
  readonly #cached = new Set<Ino>()
  readonly #holding = new Map<Ino, Set<ServedRequest>>()
  readonly #drops = new Map<Ino, Drops>()
  readonly #heldUp = new Map<Ino, (() => void)[]>()
  readonly #turns: (() => void)[] = []
  #running = 0

  /** `invalidate` resolves when the kernel has dropped all pages of the inode. */
  constructor(components: { readonly invalidate: (ino: Ino) => Promise<void> }) {
    this.#invalidate = components.invalidate
  }

  arrived(request: ServedRequest): void {
    if (!holdsPages(request)) return
    const ino = request.nodeid
    this.#cached.add(ino)
    const holding = this.#holding.get(ino)
    if (holding === undefined) this.#holding.set(ino, new Set([request]))
    else holding.add(request)
    const heldUp = this.#heldUp.get(ino)
    if (heldUp === undefined) return
    this.#heldUp.delete(ino)
    for (const goOn of heldUp) goOn()
  }

  answered(request: ServedRequest): void {
    const holding = this.#holding.get(request.nodeid)
    if (holding?.delete(request) && holding.size === 0) this.#holding.delete(request.nodeid)
  }

  /** The kernel does not know the inode any more. */
  forgotten(ino: Ino): void {
    this.#cached.delete(ino)
  }

  /**
   * Drops the pages. Undefined when there are none; else resolves when they are dropped, or
   * when an unanswered request holds some of them.
   */
  drop(ino: Ino): Promise<void> | undefined {
    const done = this.#begin(ino)
    if (done === undefined || this.#holding.has(ino)) return undefined
    const heldUp = new Promise<void>((resolve) => {
      const waiting = this.#heldUp.get(ino)
      if (waiting === undefined) this.#heldUp.set(ino, [resolve])
      else waiting.push(resolve)
    })
    return Promise.race([done, heldUp])
  }

  /** Begins to drop the pages of all inodes; `dropping` tells when one is done. */
  beginAll(): void {
    for (const ino of [...this.#cached]) this.#begin(ino)?.catch(() => {})
  }

  /** Resolves when every drop of the inode begun so far is done. */
  dropping(ino: Ino): Promise<void> | undefined {
    const drops = this.#drops.get(ino)
    return drops?.next ?? drops?.current
  }

  #begin(ino: Ino): Promise<void> | undefined {
    const drops = this.#drops.get(ino)
    if (!this.#cached.has(ino)) return drops?.next ?? drops?.current
    if (drops === undefined) {
      const begun: Drops = { current: this.#run(ino), next: undefined }
      this.#drops.set(ino, begun)
      this.#settle(ino, begun)
      return begun.current
    }
    drops.next ??= drops.current.then(() => this.#run(ino))
    return drops.next
  }

  #settle(ino: Ino, drops: Drops): void {
    drops.current.then(
      () => {
        if (drops.next === undefined) {
          this.#drops.delete(ino)
          this.#heldUp.delete(ino)
          return
        }
        drops.current = drops.next
        drops.next = undefined
        this.#settle(ino, drops)
      },
      // Whoever waits for it is told, and whoever asks for the inode later: there is no going on.
      () => drops.next?.catch(() => {})
    )
  }

  async #run(ino: Ino): Promise<void> {
    if (this.#running >= RUNNING_MAX) await new Promise<void>((go) => this.#turns.push(go))
    else this.#running++
    // From here on: what is cached now may be behind the drop's eyes.
    this.#cached.delete(ino)
    try {
      await this.#invalidate(ino)
    } finally {
      const next = this.#turns.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
