/**
 * Lets go of dead buffers before they drive the collector. The bytes of messages lie outside of the
 * heap and are dead soon. The collector sees only the small objects that own them, so its bound for
 * memory outside of the heap is reached first, and it marks all that lives to free a few buffers. Collecting
 * the young objects alone frees them in about a millisecond.
 */

/** Two or three buffers hold each byte for a while; the bound is 64 MiB above what lived at the last marking. */
const COLLECT_BYTES = 6 * 1024 * 1024

export class DeadBuffers {
  readonly #collectYoung: () => void
  #bytes = 0

  constructor(components: { readonly collectYoung: () => void }) {
    this.#collectYoung = components.collectYoung
  }

  /** So many bytes came or went, and will be dead soon. */
  noteBytes(sizeBytes: number): void {
    this.#bytes += sizeBytes
    if (this.#bytes < COLLECT_BYTES) return
    this.#bytes = 0
    this.#collectYoung()
  }
}

/** Nothing where the process was started without --expose-gc (launch.ts). */
export function collectYoungObjects(): void {
  globalThis.gc?.({ type: 'minor' })
}

/** Likewise; what is dead of the whole heap, which takes some tens of milliseconds. */
export function collectAllObjects(): void {
  globalThis.gc?.()
}
