/**
 * The newest entries of every writer, kept in memory up to a number of bytes, so that a peer that
 * lags a little is served without a disk read. Older ones come from the logs.
 */
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'

export class RecentEntries {
  readonly #bytesMax: number
  readonly #byWriter = new Map<WriterId, Map<Seq, SealedEntry>>()
  readonly #order: SealedEntry[] = []
  #first = 0
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
    this.#order.push(entry)
    this.#bytes += sizeOf(entry)
    while (this.#bytes > this.#bytesMax && this.#first < this.#order.length - 1) this.#dropFirst()
  }

  /** Of the entries in memory; 0 while there is none. */
  get averageBytes(): number {
    const count = this.#order.length - this.#first
    return count === 0 ? 0 : this.#bytes / count
  }

  get(writer: WriterId, seq: Seq): SealedEntry | undefined {
    return this.#byWriter.get(writer)?.get(seq)
  }

  #dropFirst(): void {
    const oldest = this.#order[this.#first++]
    if (oldest) {
      this.#bytes -= sizeOf(oldest)
      this.#byWriter.get(oldest.writer)?.delete(oldest.seq)
    }
    if (this.#first < 1024) return
    this.#order.splice(0, this.#first)
    this.#first = 0
  }
}

function sizeOf(entry: SealedEntry): number {
  return entry.head.length + entry.payload.length + 200
}
