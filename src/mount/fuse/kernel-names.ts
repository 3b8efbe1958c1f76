/**
 * The names the kernel was given, and how they are taken back: by the epoch of the whole mount, which
 * waits for nothing. docs/caching.md has the argument; of it, this file keeps:
 *
 * - A name whose directory is dropped is looked up again by every system call that begins afterwards.
 *   An epoch does that for all the kernel has, and for every answer to LOOKUP on its way.
 * - Not for a listing the kernel takes in at that moment (RULES 26; unsettled-listings.ts). Then the
 *   directory is *settling*: its attributes are gone, and whoever walks through it has to ask for them
 *   first, so GETATTR and STATX of it are answered only when the listing is settled and a second
 *   epoch was told. The drop does not wait, nor does anything a token or a lock depends on. Such a wait
 *   is bounded: GETATTR may hold the very lock by which the listing is settled. Then it ends with
 *   ESTALE, for which the kernel lets go of all locks and walks the path once more.
 * - An epoch detaches mounts below: while there are any, names are left to run out instead.
 */
import { FsError } from '../../fs/errno.ts'
import type { HandleId } from '../../fs/filesystem-api.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Ino } from '../../fs/primitives.ts'
import { ignoreUnmounted, type KernelNotifier } from './notify.ts'
import type { ServedRequest } from './served-request.ts'
import { type UnsettledListing, UnsettledListings } from './unsettled-listings.ts'

export interface KernelNamesComponents {
  readonly clock: Clock
  readonly logger: Logger
  readonly notifier: KernelNotifier
  /** As in KernelCache. */
  readonly hasSubmounts: (everywhere: boolean) => boolean
  /** What may be given now; 0 for nothing. */
  readonly validMs: () => number
}

/** The kernel counts in jiffies and rounds up. */
export const KERNEL_CLOCK_MS = 50
/** So many epochs in a row, then one in each pause: no names are given meanwhile. */
const EPOCHS_IN_A_ROW = 4
const EPOCH_PAUSE_MS = 500
/** While names are given, mounts below are looked for this often. */
const LOOK_MS = 1000
/** With a mount below no names are given for so long; then it is looked again. */
const SUBMOUNT_PAUSE_MS = 10_000
/** Listings that may be on their way into the kernel at a time; further ones are without names. */
const UNSETTLED_MAX = 1024
const SILENT_MS = 50
/**
 * An answer about a settling directory is held so long at most, and once more when its path is walked
 * again: longer than names need to run out where no epoch can be told.
 */
const HELD_MS = 2000
/** A listing that is valid for so long is not given again to whoever asks. */
const FRESH_MS = 300
/** Directories, and open ones, of which it is known how they were listed. */
const LISTED_MAX = 1024

export class KernelNames {
  readonly #components: KernelNamesComponents
  readonly #unsettled: UnsettledListings
  /** Directories of which names were given since the last epoch. */
  readonly #named = new Set<Ino>()
  readonly #settling = new Map<Ino, Promise<void>>()
  /** When the names of a directory that were given by listing it run out. */
  readonly #listed = new Map<Ino, number>()
  /** Handles whose listing was begun while what an earlier one gave was still valid, with directory. */
  readonly #again = new Map<HandleId, Ino>()
  /** When the last of the names given runs out. */
  #namesEndMs = 0
  /** No names are given before. */
  #namesPauseMs = 0
  /** When the epochs told so far, those of a row at most, would have had their pauses in turn. */
  #epochsEndMs = 0
  /** Something was mounted below when it was last looked. */
  #foundBelow = false
  /** Mounts below were looked for then. */
  #lookedMs = Number.NEGATIVE_INFINITY

  constructor(components: KernelNamesComponents) {
    const { clock, logger, notifier } = components
    this.#components = components
    this.#unsettled = new UnsettledListings(
      {
        clock,
        passLock: (directory) => notifier.passLock(directory),
        onSettled: ({ validMs }) => this.#givenFor(validMs),
        onError: (error) => logger.warn({ error: String(error) }, 'listings not settled yet')
      },
      { listingsMax: UNSETTLED_MAX, silentMs: SILENT_MS }
    )
  }

  arrived(request: ServedRequest): void {
    this.#unsettled.arrived(request)
    if (this.#again.size === 0) return
    if (request.body.op === 'releasedir') this.#again.delete(request.body.handle)
    else if (request.body.op === 'lookup') this.#lacks(request.nodeid)
  }

  /** The kernel has let go of names of the directory by itself, for memory: it is given them again. */
  #lacks(directory: Ino): void {
    this.#listed.delete(directory)
    for (const [handle, listed] of this.#again) if (listed === directory) this.#again.delete(handle)
  }

  /** Validity of a name of the directory in an answer that is written now; 0: it may not be kept. */
  give(directory: Ino): number {
    const mayGive = !this.#settling.has(directory) && this.#mayGive()
    const validMs = mayGive ? this.#components.validMs() : 0
    if (validMs === 0) return 0
    this.#named.add(directory)
    this.#givenFor(validMs)
    return validMs
  }

  /** A rename takes a name's validity along. */
  movedTo(directory: Ino): void {
    this.#named.add(directory)
  }

  mayList(handle: HandleId): boolean {
    return this.#unsettled.hasRoom(handle)
  }

  /**
   * A listing is asked for; `begins` with its first entry. True: what the kernel still has of an
   * earlier one is better left as it is, since to be given it again makes it ask for access control
   * lists again.
   */
  isListedAgain(directory: Ino, handle: HandleId, begins: boolean): boolean {
    if (!begins) return this.#again.has(handle)
    const leftMs = (this.#listed.get(directory) ?? 0) - this.#components.clock.monotonicMs()
    if (leftMs < FRESH_MS || this.#again.size >= LISTED_MAX) {
      this.#again.delete(handle)
      return false
    }
    this.#again.set(handle, directory)
    return true
  }

  /** A listing with names is about to be written; `begins` as above. */
  listing(listing: UnsettledListing, begins: boolean): void {
    this.#unsettled.written(listing)
    if (!begins) return
    if (this.#listed.size >= LISTED_MAX) this.#listed.clear()
    const { directory, validMs } = listing
    this.#listed.set(directory, this.#components.clock.monotonicMs() + validMs)
  }

  forgotten(ino: Ino): void {
    this.#named.delete(ino)
    this.#listed.delete(ino)
  }

  /** Undefined, or a promise: see KernelCache.drop. The attributes of all of them are dropped too. */
  drop(inos: readonly Ino[]): Promise<void> | undefined {
    if (!inos.some((ino) => this.#named.has(ino))) return undefined
    const forgotten = this.#forget()
    for (const ino of inos) this.#settle(ino)
    return forgotten
  }

  dropAll(): Promise<void> | undefined {
    const forgotten = this.#forget()
    for (const directory of this.#unsettled.directories()) this.#settle(directory)
    return forgotten
  }

  /** No attributes of the inode may be given: who walks through it has to ask. */
  isSettling(ino: Ino): boolean {
    return this.#settling.has(ino)
  }

  /** What GETATTR and STATX of the inode wait for; rejects with ESTALE. */
  settled(ino: Ino): Promise<void> | undefined {
    const settling = this.#settling.get(ino)
    if (settling === undefined) return undefined
    return new Promise((resolve, reject) => {
      const timer = this.#components.clock.setTimer(HELD_MS, () => {
        reject(new FsError('ESTALE', 'a listing of this directory is still on its way'))
      })
      settling.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  /** A listing of the directory may be half taken in: once it is settled, the rest is forgotten too. */
  #settle(directory: Ino): void {
    const settled = this.#unsettled.settled(directory)
    if (settled === undefined) return
    const before = this.#settling.get(directory)
    const settling = Promise.all([settled, before])
      .then(() => this.#forget())
      .then(() => {
        if (this.#settling.get(directory) === settling) this.#settling.delete(directory)
      })
    this.#settling.set(directory, settling)
    // It stays settling then, and nothing goes through it any more.
    settling.catch((error: unknown) => {
      this.#components.logger.error({ directory, error: String(error) }, 'names not forgotten')
    })
  }

  /**
   * An epoch makes the kernel let go of every name at its next use, and of mounts below it. While
   * there are any, the names given are left to run out, and no more are given.
   */
  #forget(): Promise<void> | undefined {
    const { clock, notifier } = this.#components
    const nowMs = clock.monotonicMs()
    if (this.#lookBelow(nowMs, true)) {
      const leftMs = this.#namesEndMs - nowMs + KERNEL_CLOCK_MS
      if (leftMs > 0) return new Promise((resolve) => clock.setTimer(leftMs, resolve))
    } else {
      // A rename takes names along in a pause as well: epochs then told do not make it longer.
      const rowMs = (EPOCHS_IN_A_ROW - 1) * EPOCH_PAUSE_MS
      const restMs = Math.min(Math.max(this.#epochsEndMs - nowMs, 0), rowMs)
      this.#epochsEndMs = nowMs + restMs + EPOCH_PAUSE_MS
      this.#namesPauseMs = this.#epochsEndMs - rowMs
      ignoreUnmounted(() => notifier.incEpochNow())
    }
    this.#listed.clear()
    this.#named.clear()
    // What the kernel takes in behind this epoch has the new one.
    for (const directory of this.#unsettled.directories()) this.#named.add(directory)
    return undefined
  }

  #givenFor(validMs: number): void {
    const endMs = this.#components.clock.monotonicMs() + validMs
    this.#namesEndMs = Math.max(this.#namesEndMs, endMs)
  }

  #mayGive(): boolean {
    const nowMs = this.#components.clock.monotonicMs()
    if (nowMs < this.#namesPauseMs) return false
    if (nowMs - this.#lookedMs >= LOOK_MS) this.#lookBelow(nowMs, this.#foundBelow)
    return nowMs >= this.#namesPauseMs
  }

  #lookBelow(nowMs: number, everywhere: boolean): boolean {
    this.#lookedMs = nowMs
    this.#foundBelow = this.#components.hasSubmounts(everywhere)
    if (this.#foundBelow) this.#namesPauseMs = nowMs + SUBMOUNT_PAUSE_MS
    return this.#foundBelow
  }
}
