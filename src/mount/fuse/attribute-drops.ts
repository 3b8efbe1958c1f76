/**
 * Takes attributes back from the kernel. Owns the drops that are under way.
 *
 * Invariant: when a drop is done the kernel knows that the attributes are old, or nothing of the
 * inode. It drops nothing of an inode it does not know yet, and an answer that gives the inode may be on its
 * way: so a drop is repeated until it knows it or has let go of it.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { KnownInodes } from './known-inodes.ts'
import { ignoreUnmounted, isUnmounted, type KernelNotifier } from './notify.ts'

/** A drop that meets an inode the kernel does not know yet is tried again for so long. */
const UNKNOWN_MS = 10_000
const RETRY_MS = 1
const RETRY_MAX_MS = 50

export interface AttributeDropsComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly known: Pick<KnownInodes, 'knows'>
}

export class AttributeDrops {
  readonly #components: AttributeDropsComponents
  readonly #dropping = new Map<Ino, Promise<void>>()
  /**
   * Inodes whose pages came back as WRITE. The kernel holds a notification while it evicts the inode,
   * and that waits for such WRITEs: only for these a drop has to leave the event loop.
   */
  readonly #mapped = new Set<Ino>()

  constructor(components: AttributeDropsComponents) {
    this.#components = components
  }

  mapped(ino: Ino): void {
    this.#mapped.add(ino)
  }

  forgotten(ino: Ino): void {
    this.#mapped.delete(ino)
  }

  /** Undefined when none is under way. */
  dropping(ino: Ino): Promise<void> | undefined {
    return this.#dropping.get(ino)
  }

  /** Resolves when those that are under way now are done. */
  async settled(): Promise<void> {
    await Promise.all(this.#dropping.values())
  }

  /** Undefined when it is done. */
  drop(notifier: KernelNotifier, ino: Ino): Promise<void> | undefined {
    const before = this.#dropping.get(ino)
    if (!this.#mapped.has(ino)) {
      let known = true
      ignoreUnmounted(() => {
        known = notifier.invalAttributesNow(ino)
      })
      if (known) return before
    }
    const dropping = Promise.all([before, this.#invalidate(notifier, ino)]).then(() => {
      if (this.#dropping.get(ino) === dropping) this.#dropping.delete(ino)
    })
    this.#dropping.set(ino, dropping)
    return dropping
  }

  async #invalidate(notifier: KernelNotifier, ino: Ino): Promise<void> {
    const { clock, logger, known } = this.#components
    const startMs = clock.monotonicMs()
    for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS)) {
      try {
        if (await notifier.invalAttributes(ino)) return
      } catch (error) {
        if (isUnmounted(error)) return
        throw error
      }
      if (!known.knows(ino)) return
      if (clock.monotonicMs() - startMs >= UNKNOWN_MS) break
      await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve))
    }
    logger.warn({ ino }, 'the kernel knows nothing of an inode it was told of')
  }
}
