/**
 * Listings with attributes (READDIRPLUS) that the kernel was given and may not have taken in yet.
 * It reads the epoch of their names only while it does that, so names it takes in after a drop look
 * new to it (RULES 26). Owns the knowledge of which answers that may still happen to; what is done
 * about a drop meanwhile is the business of kernel-cache.ts.
 *
 * The kernel holds the directory's lock, shared, from before it sends the request until it has taken
 * in the whole answer. An answer is settled when
 * - its handle asks for more or is closed: calls on one handle exclude each other; or
 * - its thread asks for something else. Not READ, WRITE or an attribute of a security module: these
 *   may be asked for while it takes in the answer; or
 * - the directory's lock was had exclusively after it was written (`passLock`). That may have to wait
 *   for requests that hold the lock while they are served; one is waited for at a time, and
 *   nobody who holds a token or owes an answer to another member waits for it.
 *
 * So an answer whose reader goes on with other things is settled soon, without its help.
 */
import { isAclName } from '../../fs/acl.ts'
import type { HandleId } from '../../fs/filesystem-api.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Ino } from '../../fs/primitives.ts'
import { Opcode } from './abi.ts'
import type { ServedRequest } from './served-request.ts'

export interface UnsettledListing {
  readonly directory: Ino
  readonly handle: HandleId
  /** Of the reader; 0 when it cannot be told from others. */
  readonly thread: number
  /** Validity of the names in it, from when the kernel takes them in. */
  readonly validMs: number
}

export interface UnsettledListingsComponents {
  readonly clock: Clock
  /**
   * Resolves when the lock of the directory was had exclusively after the call, or nobody can hold it.
   * Rejects when that could not be tried.
   */
  readonly passLock: (directory: Ino) => Promise<void>
  readonly onSettled: (listing: UnsettledListing) => void
  readonly onError: (error: unknown) => void
}

export interface UnsettledListingsOptions {
  /** Most at a time. */
  readonly listingsMax: number
  /** Who has said nothing for so long after a listing is settled by the directory's lock. */
  readonly silentMs: number
}

interface Entry extends UnsettledListing {
  readonly writtenMs: number
}

interface Wait {
  readonly entries: Set<Entry>
  readonly resolve: () => void
}

/** Sent by a thread only from a system call of its own on names or attributes. */
const OWN_CALLS: ReadonlySet<number> = new Set([
  Opcode.LOOKUP,
  Opcode.GETATTR,
  Opcode.STATX,
  Opcode.READLINK,
  Opcode.OPEN,
  Opcode.CREATE,
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.RENAME,
  Opcode.RENAME2,
  Opcode.OPENDIR,
  Opcode.READDIR,
  Opcode.READDIRPLUS
])

export class UnsettledListings {
  readonly #components: UnsettledListingsComponents
  readonly #options: UnsettledListingsOptions
  readonly #byHandle = new Map<HandleId, Entry>()
  readonly #byThread = new Map<number, Entry>()
  readonly #waits = new Map<Ino, Set<Wait>>()
  /** The lock of one directory is being waited for. */
  #passing = false
  #timer: Timer | undefined

  constructor(components: UnsettledListingsComponents, options: UnsettledListingsOptions) {
    this.#components = components
    this.#options = options
  }

  get size(): number {
    return this.#byHandle.size
  }

  /** Whether a listing on this handle can be kept track of. */
  hasRoom(handle: HandleId): boolean {
    return this.#byHandle.size < this.#options.listingsMax && !this.#byHandle.has(handle)
  }

  /** Directories of which there are any. */
  directories(): Set<Ino> {
    const found = new Set<Ino>()
    for (const { directory } of this.#byHandle.values()) found.add(directory)
    return found
  }

  /** About to be written; only where there is room. */
  written(listing: UnsettledListing): void {
    const entry = { ...listing, writtenMs: this.#components.clock.monotonicMs() }
    this.#byHandle.set(entry.handle, entry)
    if (entry.thread !== 0) this.#byThread.set(entry.thread, entry)
    this.#watch()
  }

  arrived({ body, opcode, pid }: ServedRequest): void {
    if (this.#byHandle.size === 0) return
    if (body.op === 'readdir' || body.op === 'releasedir') {
      this.#settle(this.#byHandle.get(body.handle))
    }
    const isOwnCall = body.op === 'getxattr' ? isAclName(body.name) : OWN_CALLS.has(opcode)
    if (isOwnCall && pid !== 0) this.#settle(this.#byThread.get(pid))
  }

  /**
   * Resolves when the listings of this directory that were written before the call are settled;
   * undefined when they are.
   */
  settled(directory: Ino): Promise<void> | undefined {
    const entries = this.#entriesOf(directory)
    if (entries.size === 0) return undefined
    return new Promise((resolve) => {
      const waits = this.#waits.get(directory) ?? new Set()
      waits.add({ entries, resolve })
      this.#waits.set(directory, waits)
      this.#passNext()
    })
  }

  #entriesOf(directory: Ino): Set<Entry> {
    const entries = new Set<Entry>()
    for (const entry of this.#byHandle.values()) {
      if (entry.directory === directory) entries.add(entry)
    }
    return entries
  }

  #settle(entry: Entry | undefined): void {
    if (entry === undefined || this.#byHandle.get(entry.handle) !== entry) return
    this.#byHandle.delete(entry.handle)
    if (this.#byThread.get(entry.thread) === entry) this.#byThread.delete(entry.thread)
    this.#components.onSettled(entry)
    const waits = this.#waits.get(entry.directory)
    if (waits === undefined) return
    for (const wait of waits) {
      wait.entries.delete(entry)
      if (wait.entries.size > 0) continue
      waits.delete(wait)
      wait.resolve()
    }
    if (waits.size === 0) this.#waits.delete(entry.directory)
  }

  #watch(): void {
    if (this.#timer !== undefined || this.#byHandle.size === 0) return
    this.#timer = this.#components.clock.setTimer(this.#options.silentMs, () => {
      this.#timer = undefined
      this.#passNext()
      this.#watch()
    })
  }

  /** First where somebody waits, then where the reader has been silent for long. */
  #passNext(): void {
    if (this.#passing) return
    const directory = this.#nextDirectory()
    if (directory === undefined) return
    this.#passing = true
    this.#pass(directory).then(
      () => this.#passed(true),
      (error: unknown) => {
        this.#components.onError(error)
        this.#passed(false)
      }
    )
  }

  #nextDirectory(): Ino | undefined {
    for (const directory of this.#waits.keys()) return directory
    const { clock } = this.#components
    const silentSinceMs = clock.monotonicMs() - this.#options.silentMs
    for (const { directory, writtenMs } of this.#byHandle.values()) {
      if (writtenMs <= silentSinceMs) return directory
    }
    return undefined
  }

  async #pass(directory: Ino): Promise<void> {
    const entries = this.#entriesOf(directory)
    await this.#components.passLock(directory)
    for (const entry of entries) this.#settle(entry)
  }

  /** After a failure it is tried again in a while. */
  #passed(next: boolean): void {
    this.#passing = false
    if (next) this.#passNext()
    this.#watch()
  }
}
