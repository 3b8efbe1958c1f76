/**
 * (I/O) The open descriptors of segment files and what of them is not durable yet.
 *
 * Invariants: a file with unsynced bytes keeps its descriptor until an fdatasync on it succeeded
 * (a failed write-back is reported only to descriptors that were open); one fdatasync round runs
 * at a time; a failed one is never tried again (RULES 14), the store has then failed for good. The
 * names of new files are durable before a round that covers them succeeds.
 */
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '../../fs/assert.ts'
import type { SegmentId } from '../../fs/primitives.ts'
import { fsyncDirectory } from './atomic-file.ts'
import type { DiskIo } from './disk-io.ts'
import { GroupSync } from './group-sync.ts'
import { StoreFailedError, systemCode } from './storage-errors.ts'

const PARALLEL_SYNCS = 4

interface OpenSegment {
  readonly fd: number
  /** Counts writes; a sync covers those before it began. */
  written: number
  synced: number
  /** Operations that use the descriptor off the event loop. */
  pins: number
}

export interface SegmentFilesComponents {
  readonly dir: string
  readonly io: DiskIo
  readonly onFailure: (error: StoreFailedError) => void
}

export class SegmentFiles {
  readonly #dir: string
  readonly #io: DiskIo
  readonly #onFailure: (error: StoreFailedError) => void
  readonly #openMax: number
  /** In the order of their last use. */
  readonly #open = new Map<SegmentId, OpenSegment>()
  readonly #syncs = new GroupSync(() => this.#syncRound())
  #namesUnsynced = false
  #wanted = new Set<SegmentId>()
  #failure: StoreFailedError | undefined

  constructor(components: SegmentFilesComponents, options: { readonly openMax: number }) {
    this.#dir = components.dir
    this.#io = components.io
    this.#onFailure = components.onFailure
    this.#openMax = options.openMax
  }

  get failure(): StoreFailedError | undefined {
    return this.#failure
  }

  path(segment: SegmentId): string {
    return join(this.#dir, `${segment}.seg`)
  }

  /** A descriptor for use before the event loop turns; undefined when there is no such file. */
  forReading(segment: SegmentId): number | undefined {
    const open = this.#open.get(segment) ?? this.#openFile(segment, 'r+', 'ENOENT')
    if (open) this.#touch(segment, open)
    return open?.fd
  }

  /** A descriptor for writing before the event loop turns; the file is made when missing. */
  forWriting(segment: SegmentId): number {
    this.assertUsable()
    const existing = this.#open.get(segment) ?? this.#openFile(segment, 'r+', 'ENOENT')
    const open = existing ?? this.#openFile(segment, 'wx+')
    assert(open, 'a segment file that was just made')
    if (!existing) this.#namesUnsynced = true
    open.written++
    this.#touch(segment, open)
    return open.fd
  }

  /** Makes a file that must not exist yet. Throws EEXIST. */
  create(segment: SegmentId): void {
    this.assertUsable()
    const open = this.#openFile(segment, 'wx+')
    assert(open, 'a segment file that was just made')
    this.#namesUnsynced = true
    open.written++
    this.#touch(segment, open)
  }

  /** Takes a file's bytes for not durable, whoever wrote them. */
  markUnsynced(segment: SegmentId): void {
    const open = this.#open.get(segment) ?? this.#openFile(segment, 'r+', 'ENOENT')
    if (!open) return
    open.written++
    this.#namesUnsynced = true
    this.#touch(segment, open)
  }

  /** Runs `work` off the event loop on the open file; false when there is no such file. */
  async use(segment: SegmentId, work: (fd: number) => Promise<void>): Promise<boolean> {
    const open = this.#open.get(segment) ?? this.#openFile(segment, 'r+', 'ENOENT')
    if (!open) return false
    this.#touch(segment, open)
    open.pins++
    try {
      await work(open.fd)
    } finally {
      open.pins--
    }
    return true
  }

  unsynced(): SegmentId[] {
    const ids: SegmentId[] = []
    for (const [id, open] of this.#open) if (open.written > open.synced) ids.push(id)
    return ids
  }

  /** Resolves when everything written to these files before the call is durable. */
  async sync(segments: Iterable<SegmentId>): Promise<void> {
    this.assertUsable()
    let any = this.#namesUnsynced
    for (const segment of segments) {
      const open = this.#open.get(segment)
      if (!open || open.written === open.synced) continue
      this.#wanted.add(segment)
      any = true
    }
    // A round that runs now may be about to cover these bytes, or may be about to fail.
    if (any || this.#syncs.running) await this.#syncs.request()
  }

  /** The same, blocking the event loop: for a commit that must not wait longer (RULES 13). */
  syncNow(segments: Iterable<SegmentId>): void {
    this.assertUsable()
    try {
      for (const segment of segments) {
        const open = this.#open.get(segment)
        if (!open || open.written === open.synced) continue
        this.#io.fdatasyncNow(open.fd)
        open.synced = open.written
      }
      if (this.#namesUnsynced) fsyncDirectory(this.#dir)
      this.#namesUnsynced = false
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** The disk refused what was written: the store fails for good (RULES 14). */
  writeBackFailed(cause: unknown): void {
    this.#fail(cause)
  }

  async close(): Promise<void> {
    await this.#syncs.idle()
    for (const open of this.#open.values()) closeSync(open.fd)
    this.#open.clear()
  }

  assertUsable(): void {
    if (this.#failure) throw this.#failure
  }

  async #syncRound(): Promise<void> {
    this.assertUsable()
    const ids = [...this.#wanted]
    this.#wanted = new Set()
    const nameSync = this.#namesUnsynced
    this.#namesUnsynced = false
    const work: OpenSegment[] = []
    for (const id of ids) {
      const open = this.#open.get(id)
      if (open && open.written > open.synced) work.push(open)
    }
    for (const open of work) open.pins++
    try {
      const queue = [...work]
      const lanes = Array.from({ length: PARALLEL_SYNCS }, () => this.#syncLane(queue))
      const results = await Promise.allSettled(lanes)
      for (const result of results) if (result.status === 'rejected') throw result.reason
      if (nameSync) fsyncDirectory(this.#dir)
    } catch (error) {
      throw this.#fail(error)
    } finally {
      for (const open of work) open.pins--
    }
  }

  async #syncLane(queue: OpenSegment[]): Promise<void> {
    for (let open = queue.shift(); open; open = queue.shift()) {
      const covered = open.written
      await this.#io.fdatasync(open.fd)
      open.synced = Math.max(open.synced, covered)
    }
  }

  #openFile(segment: SegmentId, flags: string, absent?: string): OpenSegment | undefined {
    this.#makeRoom()
    try {
      const fd = openSync(this.path(segment), flags, 0o600)
      const open: OpenSegment = { fd, written: 0, synced: 0, pins: 0 }
      this.#open.set(segment, open)
      return open
    } catch (error) {
      if (absent !== undefined && systemCode(error) === absent) return undefined
      throw error
    }
  }

  #touch(segment: SegmentId, open: OpenSegment): void {
    this.#open.delete(segment)
    this.#open.set(segment, open)
  }

  /** Closes the least recently used file that is durable, or makes one durable to close it. */
  #makeRoom(): void {
    if (this.#open.size < this.#openMax) return
    let unsynced: [SegmentId, OpenSegment] | undefined
    for (const [id, open] of this.#open) {
      if (open.pins > 0) continue
      if (open.written === open.synced) {
        this.#evict(id, open)
        return
      }
      unsynced ??= [id, open]
    }
    if (!unsynced) return
    const [id, open] = unsynced
    try {
      this.#io.fdatasyncNow(open.fd)
    } catch (error) {
      throw this.#fail(error)
    }
    this.#evict(id, open)
  }

  #evict(segment: SegmentId, open: OpenSegment): void {
    this.#open.delete(segment)
    closeSync(open.fd)
  }

  #fail(cause: unknown): StoreFailedError {
    if (this.#failure) return this.#failure
    this.#failure = new StoreFailedError('segment store', cause)
    this.#onFailure(this.#failure)
    return this.#failure
  }
}
