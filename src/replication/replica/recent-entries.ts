/**
 * The newest entries of every writer, kept in memory up to a number of bytes, so that a peer that
 * lags a little is served without a disk read. Older ones come from the logs.
 */
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'

/** What is kept at rest, for averages and for a peer that comes back at once. */
const REST_SHARE = 1 / 16

export class RecentEntries {
  readonly #bytesMax: number
  readonly #byWriter = new Map<WriterId, Map<Seq, SealedEntry>>()
  /** In the order they came. */
  readonly #entries = new Set<SealedEntry>()
  #bytes = 0

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax
  }

  add(entry: SealedEntry): void {
    let entries = this.#byWriter.get(entry.writer)
    if (!entries) {
      entries = new Map()
      this.#byWriter.set(entry.writer, entries)
    }
    entries.set(entry.seq, entry)
    this.#entries.add(entry)
    this.#bytes += sizeOf(entry)
    this.#keep(this.#bytesMax)
  }

  /** Nobody lags at rest: the older ones can come from the logs. */
  releaseMemory(): void {
    this.#keep(this.#bytesMax * REST_SHARE)
  }

  /** Of the entries in memory; 0 while there is none. */
  get averageBytes(): number {
    const count = this.#entries.size
    return count === 0 ? 0 : this.#bytes / count
  }

  get(writer: WriterId, seq: Seq): SealedEntry | undefined {
    return this.#byWriter.get(writer)?.get(seq)
  }

  /** The newest stays, however large. */
  #keep(bytesMax: number): void {
    for (const oldest of this.#entries) {
      if (this.#bytes <= bytesMax || this.#entries.size === 1) break
      this.#drop(oldest)
    }
  }

  #drop(entry: SealedEntry): void {
    this.#entries.delete(entry)
    this.#bytes -= sizeOf(entry)
    this.#byWriter.get(entry.writer)?.delete(entry.seq)
  }
}

function sizeOf(entry: SealedEntry): number {
  return entry.head.length + entry.payload.length + 200
}
