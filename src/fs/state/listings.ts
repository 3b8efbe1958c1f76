/**
 * Directories that were listed lately, in readdir order, as far as they were read: who lists a directory
 * mostly does it again, or in several steps. A directory leaves as soon as one of its entries changes.
 */
import type { Ino } from '../primitives.ts'
import type { Dentry } from './dentry-table.ts'

/** Of all directories together; about 250 bytes each. A directory counts as one more. */
const ENTRIES_MAX = 32_768
/** Read at a time; a bit more than one answer to the kernel holds. */
const READ_ENTRIES = 1024

interface Listing {
  /** Holds what is behind this cookie. */
  readonly base: number
  readonly entries: Dentry[]
  /** Nothing is behind the last entry. */
  complete: boolean
}

/** At most `limit` entries behind `afterCookie`, from the table. */
type Read = (directory: Ino, afterCookie: number, limit: number) => Dentry[]

export class Listings {
  readonly #read: Read
  readonly #entriesMax: number
  /** In the order in which they were begun. */
  readonly #listings = new Map<Ino, Listing>()
  #entries = 0

  constructor(read: Read, entriesMax = ENTRIES_MAX) {
    this.#read = read
    this.#entriesMax = entriesMax
  }

  /** At most `limit` entries behind `afterCookie`; none only when there are none. */
  list(directory: Ino, afterCookie: number, limit: number): Dentry[] {
    const found = this.#listings.get(directory)
    const isInside = found !== undefined && found.base <= afterCookie
    const listing = isInside ? found : this.#begin(directory, afterCookie)
    const { entries } = listing
    if (lastCookie(listing) < afterCookie) {
      return listing.complete ? [] : this.#read(directory, afterCookie, limit)
    }
    const from = firstBehind(entries, afterCookie)
    if (from === entries.length && !listing.complete && !this.#grow(directory, listing)) {
      return this.#read(directory, afterCookie, limit)
    }
    return entries.slice(from, from + limit)
  }

  /** An entry of the directory came or went. */
  changed(directory: Ino): void {
    const listing = this.#listings.get(directory)
    if (listing === undefined) return
    this.#entries -= listing.entries.length + 1
    this.#listings.delete(directory)
  }

  #begin(directory: Ino, base: number): Listing {
    this.changed(directory)
    this.#makeRoom(1, undefined)
    const listing: Listing = { base, entries: [], complete: false }
    this.#listings.set(directory, listing)
    this.#entries++
    return listing
  }

  /** False when there is no room for more of this directory. */
  #grow(directory: Ino, listing: Listing): boolean {
    if (!this.#makeRoom(READ_ENTRIES, directory)) return false
    const more = this.#read(directory, lastCookie(listing), READ_ENTRIES)
    for (const dentry of more) listing.entries.push(dentry)
    this.#entries += more.length
    listing.complete = more.length < READ_ENTRIES
    return true
  }

  /** The oldest go, but for `kept`. False when that is not enough. */
  #makeRoom(entries: number, kept: Ino | undefined): boolean {
    for (const oldest of this.#listings.keys()) {
      if (this.#entries + entries <= this.#entriesMax) return true
      if (oldest !== kept) this.changed(oldest)
    }
    return this.#entries + entries <= this.#entriesMax
  }
}

function lastCookie({ base, entries }: Listing): number {
  return entries.at(-1)?.cookie ?? base
}

/** Index of the first entry with a larger cookie. */
function firstBehind(entries: readonly Dentry[], cookie: number): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((entries[middle]?.cookie ?? 0) > cookie) high = middle
    else low = middle + 1
  }
  return low
}
