/**
 * File data between the members: appends to own segments and pushes large slices ahead of their
 * entry, takes what others push, fetches what is missing, and repairs what is damaged.
 *
 * Invariant (RULES 3): `holds(entry)` is true only when every slice of the entry stands in a
 * segment file here with its bytes, or an in-sync member that had applied the entry before it was
 * asked does not have the slice: it is dead (RULES 11: nothing refers to it any more). Who had not
 * may lack it like everybody else, for example when its writer lost power. Nobody can change on its way what
 * a member pushes, so its crc32 tells whether it is what the entry means; what is fetched from a
 * disk is compared with the sha256 (slice-fetches.ts).
 * Nobody answers before its journal is replayed: until then bytes may stand there alone.
 */
import { FsError } from '../../fs/errno.ts'
import type { Slice } from '../../fs/op.ts'
import { INLINE_MAX_BYTES, SLICE_MAX_BYTES } from '../../fs/op.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { SliceStore } from '../../fs/ports/slice-store.ts'
import type { MemberId, SegmentId } from '../../fs/primitives.ts'
import { memberOf, writerOfSegment } from '../../fs/primitives.ts'
import type { Entry } from '../entry.ts'
import { isInline } from '../entry.ts'
import type { SliceFetch, SlicePush, SliceReply } from '../messages.ts'
import { PUSH_MAX_BYTES } from '../messages.ts'
import type { LargeAppend, SegmentStore } from '../storage/segment-store.ts'
import type { PeerLinks } from './peer-links.ts'
import type { FetchOutcome, HadIt, SliceFetchesOptions } from './slice-fetches.ts'
import { keyOf, SliceFetches } from './slice-fetches.ts'

export interface SlicesComponents {
  readonly segments: Pick<
    SegmentStore,
    | 'append'
    | 'appendLarge'
    | 'writeAt'
    | 'readSync'
    | 'readRun'
    | 'readBytes'
    | 'verifySha'
    | 'crc32'
  >
  readonly links: PeerLinks
  readonly clock: Clock
  readonly logger: Logger
  readonly self: MemberId
  /** True for a member of the in-sync set that is known to have applied that entry. */
  readonly hasApplied: (member: MemberId, entry: Pick<Entry, 'writer' | 'seq'>) => boolean
  /** A slice on the disk is not what was written and could not be repaired. */
  readonly onDamage: (text: string) => void
  /** A slice arrived: entries that waited for it may go on. */
  readonly onArrived: () => void
  /** An entry was applied of which slices are dead: after a restart nothing here says so. */
  readonly onAppliedDead: () => void
}

export interface SlicesOptions extends SliceFetchesOptions {
  readonly arrivedMax: number
  readonly servingMax: number
}

export const SLICES_DEFAULTS: SlicesOptions = {
  fetchTimeoutMs: 5000,
  fetchesMax: 64,
  arrivedMax: 65536,
  servingMax: 1024,
  retryMs: 500
}

export class Slices implements SliceStore {
  readonly #components: SlicesComponents
  readonly #options: SlicesOptions
  /** The crc32 of slices that stand in a segment but whose entry may not be applied yet. */
  readonly #arrived = new Map<string, number>()
  readonly #dead = new Set<string>()
  readonly #fetches: SliceFetches
  /** Segments with data that no journal holds: an fdatasync of the journal needs theirs as well. */
  #unjournaled = new Set<SegmentId>()
  readonly #restored: Promise<void>
  #setRestored: () => void = () => {}
  #serving = 0
  #repaired = 0
  #closed = false

  constructor(components: SlicesComponents, options: SlicesOptions = SLICES_DEFAULTS) {
    this.#components = components
    this.#options = options
    const { links, clock } = components
    this.#fetches = new SliceFetches(
      {
        links,
        clock,
        store: ({ segment, offset, crc32: crc }, data) => this.#store(segment, offset, data, crc),
        onDead: (key) => {
          this.#dead.add(key)
          components.onArrived()
        }
      },
      options
    )
    this.#restored = new Promise((resolve) => {
      this.#setRestored = resolve
    })
  }

  /** What the journal alone has is in its segments again: what others ask for is answered. */
  restored(): void {
    this.#setRestored()
  }

  get repaired(): number {
    return this.#repaired
  }

  append(data: Uint8Array): readonly Slice[] | Promise<readonly Slice[]> {
    const { segments } = this.#components
    try {
      if (data.length <= INLINE_MAX_BYTES) return segments.append(data)
      const { places, slices } = segments.appendLarge(data)
      for (const { segment } of places) this.#unjournaled.add(segment)
      return this.#whenPushed(slices, this.#push(places, data))
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOSPC' || code === 'EDQUOT') {
        throw new FsError('ENOSPC', 'no space for the data', { cause: error })
      }
      throw error
    }
  }

  /** Failed or not: the bytes are the caller's again when both are over. */
  async #whenPushed(
    slices: Promise<readonly Slice[]>,
    pushed: Promise<void>
  ): Promise<readonly Slice[]> {
    await Promise.allSettled([slices, pushed])
    await pushed
    return slices
  }

  async #push(places: LargeAppend['places'], data: Uint8Array): Promise<void> {
    const { links } = this.#components
    let from = 0
    for (const { segment, offset, length } of pushes(places)) {
      const bytes = Buffer.from(data.buffer, data.byteOffset + from, length)
      from += length
      for (const member of links.bulkConnected()) {
        for (let wait = links.bulkReady(member); wait; wait = links.bulkReady(member)) await wait
        links.sendBulk(member, { type: 'slice', segment, offset, data: bytes })
      }
    }
  }

  read(
    slice: Slice,
    from: number,
    length: number,
    target: Uint8Array,
    targetOffset: number
  ): void | Promise<void> {
    const { segments } = this.#components
    const state = segments.readSync(slice, from, length, target, targetOffset)
    if (state === 'ok') return
    return this.#readRepaired(slice, from, length, target, targetOffset, state)
  }

  readRun(slices: readonly Slice[], target: Uint8Array, once: boolean): boolean {
    return this.#components.segments.readRun(slices, target, once)
  }

  /** Segments to fdatasync beside the journal for everything applied so far; forgets them. */
  takeUnjournaled(): SegmentId[] {
    const segments = [...this.#unjournaled]
    this.#unjournaled = new Set()
    return segments
  }

  /** Bytes there, of an entry that is replayed, may not be durable: the next sync covers them. */
  noteUnjournaled(segment: SegmentId): void {
    this.#unjournaled.add(segment)
  }

  holds(entry: Entry, bare: boolean): boolean {
    for (const slice of fetchedSlices(entry, bare)) {
      const key = keyOf(slice)
      if (this.#dead.has(key)) continue
      if (this.#arrived.get(key) !== slice.crc32) return false
    }
    return true
  }

  /** The entry was applied: what was noted about its slices is not needed any more. */
  settle(entry: Entry, bare: boolean): void {
    let lacksDead = false
    for (const slice of fetchedSlices(entry, bare)) {
      this.#arrived.delete(keyOf(slice))
      if (this.#dead.delete(keyOf(slice))) lacksDead = true
      this.#unjournaled.add(slice.segment)
    }
    if (lacksDead) this.#components.onAppliedDead()
  }

  /** Sees to it that the slices of a waiting entry come: from the disk if they stand there. */
  want(entry: Entry, bare: boolean): void {
    let found = false
    for (const slice of fetchedSlices(entry, bare)) {
      const key = keyOf(slice)
      if (this.#arrived.has(key) || this.#dead.has(key)) continue
      if (this.#fetches.isWanted(slice)) continue
      if (this.#components.segments.verifySha(slice) === 'ok') {
        this.#noteArrived(key, slice.crc32)
        found = true
        continue
      }
      const hadIt = (member: MemberId): boolean => this.#components.hasApplied(member, entry)
      this.#fetches.want(slice, hadIt)
    }
    this.#fetches.fill()
    if (found) this.#components.onArrived()
  }

  onBulk(from: MemberId, message: SlicePush | SliceFetch | SliceReply): void {
    switch (message.type) {
      case 'slice':
        this.#onPush(from, message)
        break
      case 'fetch-slice':
        void this.#serve(from, message)
        break
      case 'slice-reply':
        this.#fetches.onReply(from, message)
        break
    }
  }

  /** See `SliceFetches.fetch`. */
  fetch(slice: Slice, hadIt: HadIt): Promise<FetchOutcome> {
    return this.#fetches.fetch(slice, hadIt)
  }

  onPeerGone(member: MemberId): void {
    this.#fetches.onPeerGone(member)
  }

  close(): void {
    this.#closed = true
    this.#setRestored()
    this.#fetches.close()
  }

  async #readRepaired(
    slice: Slice,
    from: number,
    length: number,
    target: Uint8Array,
    targetOffset: number,
    state: string
  ): Promise<void> {
    const { segments, logger } = this.#components
    const fields = { segment: slice.segment, offset: slice.offset, length: slice.length, state }
    logger.error(fields, 'slice on disk is not what was written: fetching it from another member')
    const outcome = await this.fetch(slice, () => false)
    if (outcome === 'here') {
      this.#repaired++
      this.#arrived.delete(keyOf(slice))
      const again = segments.readSync(slice, from, length, target, targetOffset)
      if (again === 'ok') {
        logger.warn(fields, 'slice repaired from another member')
        return
      }
    }
    const text = `slice ${slice.segment}+${slice.offset} is ${state} and not to be had elsewhere`
    this.#components.onDamage(text)
    throw new FsError('EIO', text)
  }

  #onPush(from: MemberId, message: SlicePush): void {
    const { segment, offset, data } = message
    if (memberOf(writerOfSegment(segment)) !== from) {
      this.#components.logger.warn({ from, segment }, 'slice of a foreign segment refused')
      return
    }
    if (!this.#write(segment, offset, data)) return
    for (let from = 0; from < data.length; from += SLICE_MAX_BYTES) {
      const bytes = data.subarray(from, from + SLICE_MAX_BYTES)
      this.#noteArrived(`${segment}:${offset + from}`, this.#components.segments.crc32(bytes))
    }
    this.#components.onArrived()
  }

  #store(segment: SegmentId, offset: number, data: Uint8Array, crc: number): boolean {
    if (!this.#write(segment, offset, data)) return false
    this.#noteArrived(`${segment}:${offset}`, crc)
    this.#components.onArrived()
    return true
  }

  #write(segment: SegmentId, offset: number, data: Uint8Array): boolean {
    try {
      this.#components.segments.writeAt(segment, offset, data)
      return true
    } catch (error) {
      this.#components.logger.error({ segment, offset, error }, 'slice could not be stored')
      return false
    }
  }

  #noteArrived(key: string, crc: number): void {
    this.#arrived.set(key, crc)
    if (this.#arrived.size <= this.#options.arrivedMax) return
    const oldest = this.#arrived.keys().next()
    if (!oldest.done) this.#arrived.delete(oldest.value)
  }

  async #serve(from: MemberId, message: SliceFetch): Promise<void> {
    const { links, segments, logger } = this.#components
    if (this.#serving >= this.#options.servingMax) return
    this.#serving++
    try {
      await this.#restored
      if (this.#closed) return
      if (!links.bulkHasRoom(from)) await links.bulkDrained(from)
      const { segment, offset, length } = message
      const data = segments.readBytes(segment, offset, length)
      links.sendBulk(from, { type: 'slice-reply', segment, offset, length, data })
    } catch (error) {
      logger.error({ from, segment: message.segment, error }, 'slice could not be read for a peer')
    } finally {
      this.#serving--
    }
  }
}

/** Slices behind each other leave together: a message costs both ends nearly the same whatever it holds. */
function* pushes(places: LargeAppend['places']): Generator<LargeAppend['places'][number]> {
  let push: LargeAppend['places'][number] | undefined
  for (const place of places) {
    const { segment, offset, length } = push ?? place
    const follows =
      push !== undefined && segment === place.segment && offset + length === place.offset
    if (follows && length + place.length <= PUSH_MAX_BYTES) {
      push = { segment, offset, length: length + place.length }
    } else {
      if (push !== undefined) yield push
      push = place
    }
  }
  if (push !== undefined) yield push
}

/** Slices of an entry whose bytes do not come with it. */
export function* fetchedSlices(entry: Entry, bare: boolean): Generator<Slice> {
  for (const op of entry.ops) {
    if (op.type !== 'write') continue
    if (isInline(op) && !bare) continue
    yield* op.slices
  }
}

function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
