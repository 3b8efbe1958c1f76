/**
 * The newest entries of every writer, kept in memory up to a number of bytes, so that a peer that
 * lags a little is served without a disk read. Older ones come from the logs.
 */
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'

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
    for (const oldest of this.#entries) {
      if (this.#bytes <= this.#bytesMax || oldest === entry) break
      this.#drop(oldest)
    }
  }

  /** Of the entries in memory; 0 while there is none. */
  get averageBytes(): number {
    const count = this.#entries.size
    return count === 0 ? 0 : this.#bytes / count
  }

  get(writer: WriterId, seq: Seq): SealedEntry | undefined {
    return this.#byWriter.get(writer)?.get(seq)
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
