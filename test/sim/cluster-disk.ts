/**
 * A toy of a member's disk: what is written stands in the page cache until it is synced. A kill
 * loses nothing of it; a power cut loses any part of what was not synced.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { assert } from '../../src/fs/assert.ts'
import type { Slice } from '../../src/fs/op.ts'
import type { SegmentId, Seq, WriterId } from '../../src/fs/primitives.ts'
import { makeSegmentId } from '../../src/fs/primitives.ts'
import type { Entry, SealedEntry } from '../../src/replication/entry.ts'
import { decodeEntryHead, openEntry } from '../../src/replication/entry-codec.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import type { VoterState } from '../../src/replication/register/voter.ts'
import { FRESH_VOTER } from '../../src/replication/register/voter.ts'
import { isBare } from '../../src/replication/replica/intake.ts'
import { closeLeftOpen } from '../../src/replication/replica/left-open.ts'
import type {
  ReplicaJournal,
  ReplicaOpenEntry,
  ReplicaSegments
} from '../../src/replication/replica/replica-ports.ts'
import { fetchedSlices } from '../../src/replication/replica/slices.ts'
import type { JournalPosition } from '../../src/replication/storage/journal-record.ts'
import type { ReplayedEntry } from '../../src/replication/storage/journal-scan.ts'
import type { EntryPart } from '../../src/replication/storage/open-entry.ts'
import { joinParts } from '../../src/replication/storage/open-entry.ts'
import type {
  LargeAppend,
  PlacedBytes,
  SliceState
} from '../../src/replication/storage/segment-store.ts'
import type { Vector } from '../../src/replication/vector.ts'
import type { SimProcess } from './cluster-faults.ts'
import type { Image } from './cluster-state.ts'
import { StateDisk } from './cluster-state.ts'
import type { Random } from './random.ts'

/** Bytes in a segment; what is written over them is another one. */
class Stored {
  readonly bytes: Uint8Array
  synced = false
  #sha256: Buffer | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  isNamed(sha256: Uint8Array): boolean {
    this.#sha256 ??= hash('sha256', this.bytes, 'buffer')
    return this.#sha256.equals(sha256)
  }
}

interface LogFile {
  readonly blocks: Buffer[]
  flushed: number
}

export interface DiskOptions {
  readonly syncMaxUs: number
  /** A power cut keeps nothing that was not synced (else: any part of it). */
  readonly losesAll: boolean
}

export class Disk {
  readonly state = new StateDisk()
  /** A whole state of another member, to be opened by the next start. */
  received: Image | undefined
  journal: SealedEntry[] = []
  /** Entries pruned from the front of the journal. */
  journalStart = 0
  journalDurable = 0
  /** Never synced: gone with the power. */
  openParts: Entry[] = []
  readonly segments = new Map<SegmentId, Map<number, Stored>>()
  readonly logs = new Map<WriterId, LogFile>()
  incarnation = 0
  inoRange = 0
  record: EpochRecord
  /** Replaced as a whole and synced each time, as the record is. */
  voter: VoterState = FRESH_VOTER
  /** Until when nothing gets through to the plates, in virtual time. */
  stalledUntilUs = 0
  readonly options: DiskOptions

  constructor(record: EpochRecord, options: DiskOptions) {
    this.record = record
    this.options = options
  }

  powerCut(random: Random): void {
    this.state.powerCut(random)
    this.openParts = []
    const unsynced = this.journalStart + this.journal.length - this.journalDurable
    const kept = this.options.losesAll ? 0 : random.between(0, unsynced)
    this.journal.length = Math.max(0, this.journalDurable + kept - this.journalStart)
    for (const slices of this.segments.values()) {
      for (const [offset, stored] of slices) {
        if (!stored.synced && (this.options.losesAll || random.chance(0.5))) slices.delete(offset)
        else stored.synced = true
      }
    }
    for (const log of this.logs.values()) {
      const lost = this.options.losesAll ? log.blocks.length : random.between(0, log.blocks.length)
      log.blocks.length = Math.max(log.flushed, log.blocks.length - lost)
    }
  }

  /** Puts state and journal aside. */
  setAside(): void {
    this.state.clear()
    this.openParts = []
    this.journal = []
    this.journalStart = 0
    this.journalDurable = 0
  }

  /** How far state and journal together go. */
  heldOf(writer: WriterId): number {
    let held: number = this.state.newest.position.applied.get(writer) ?? 0
    for (const entry of this.journal) {
      if (entry.writer === writer && entry.seq === held + 1) held++
    }
    return held
  }

  /** The same with what no power cut takes. */
  durablyHeld(): Vector {
    const held = new Map<WriterId, Seq>(this.state.oldest.position.applied)
    const durable = Math.max(0, this.journalDurable - this.journalStart)
    for (const sealed of this.journal.slice(0, durable)) {
      const { writer, seq } = sealed
      if (seq === (held.get(writer) ?? 0) + 1 && this.#keepsBytes(sealed)) held.set(writer, seq)
    }
    return held
  }

  /** After a power cut the entry still counts as held (RULES 3). */
  #keepsBytes(sealed: SealedEntry): boolean {
    const entry = openEntry(sealed)
    for (const { segment, offset } of fetchedSlices(entry, isBare(sealed, entry))) {
      if (!this.segments.get(segment)?.get(offset)?.synced) return false
    }
    return true
  }

  hasPayload(writer: WriterId, seq: Seq): boolean {
    return this.journal.some(
      (entry) => entry.writer === writer && entry.seq === seq && entry.payload.length > 0
    )
  }

  holds(slice: Slice): boolean {
    const stored = this.segments.get(slice.segment)?.get(slice.offset)
    return stored?.isNamed(slice.sha256) ?? false
  }

  log(writer: WriterId): LogFile {
    let log = this.logs.get(writer)
    if (!log) {
      log = { blocks: [], flushed: 0 }
      this.logs.set(writer, log)
    }
    return log
  }
}

interface DiskUser {
  readonly disk: Disk
  readonly process: SimProcess
  readonly random: Random
  /** Entries leave the journal. */
  readonly onPruned: (entries: readonly SealedEntry[]) => void
  readonly onPunched: (segment: SegmentId, offset: number, length: number) => void
}

function syncDelay({ disk, process, random }: DiskUser): Promise<void> {
  const stalledUs = Math.max(0, disk.stalledUntilUs - process.nowUs)
  return process.sleep(stalledUs + 10 + random.below(disk.options.syncMaxUs))
}

/** Enough entries to fill it make the journal worth pruning. */
const JOURNAL_ENTRY_BYTES = 2 * 1024 * 1024

export class ToyJournal implements ReplicaJournal {
  readonly #user: DiskUser

  constructor(user: DiskUser) {
    this.#user = user
    const { disk } = user
    disk.journalDurable = this.appended
  }

  get appended(): JournalPosition {
    const { journalStart, journal } = this.#user.disk
    return (journalStart + journal.length) as JournalPosition
  }

  append(entries: readonly SealedEntry[]): JournalPosition {
    assert(!this.#user.process.isDead, 'a dead process writes')
    this.#user.disk.journal.push(...entries)
    return this.appended
  }

  async sync(): Promise<void> {
    const upTo = this.appended
    const { disk, process } = this.#user
    await process.alive()
    if (disk.journalDurable >= upTo) return
    await syncDelay(this.#user)
    disk.journalDurable = Math.max(disk.journalDurable, upTo)
  }

  syncNow(): void {
    const { disk, process } = this.#user
    if (!process.isDead) disk.journalDurable = this.appended
  }

  *entries(): Generator<ReplayedEntry, void, undefined> {
    const { journalStart, journal } = this.#user.disk
    for (const [index, entry] of [...journal].entries()) {
      yield { entry, position: (journalStart + index + 1) as JournalPosition }
    }
  }

  prune(upTo: JournalPosition): number {
    const { disk, random, process } = this.#user
    if (process.isDead) return 0
    assert(upTo <= disk.journalDurable, 'pruning what is not durable')
    const count = random.between(0, upTo - disk.journalStart)
    this.#user.onPruned(disk.journal.splice(0, count))
    disk.journalStart += count
    return count
  }

  stats(): ReturnType<ReplicaJournal['stats']> {
    const { disk } = this.#user
    return {
      files: 1,
      sizeBytes: disk.journal.length * JOURNAL_ENTRY_BYTES,
      appended: this.appended,
      durable: disk.journalDurable as JournalPosition
    }
  }

  async close(): Promise<void> {
    this.syncNow()
  }
}

/** What the last process left open is closed when the next one begins. */
export class ToyOpenEntry implements ReplicaOpenEntry {
  readonly #user: DiskUser

  constructor(user: DiskUser, journal: ToyJournal, segments: ToySegments) {
    this.#user = user
    const { disk } = user
    const left = disk.openParts.length > 0 ? joinParts(disk.openParts) : undefined
    closeLeftOpen({ journal, segments }, left, disk.state.newest.position.applied)
    disk.openParts = []
  }

  put({ index, head }: EntryPart): void {
    const { disk, process } = this.#user
    assert(!process.isDead, 'a dead process writes')
    if (index === 0) disk.openParts = []
    assert(disk.openParts.length === index, 'parts of the open entry in order')
    disk.openParts.push(decodeEntryHead(Buffer.from(head)))
  }

  close(): void {}
}

/** A disk that is no slower punches at once. */
const PUNCHED_AT_ONCE_US = 20_000

export class ToySegments implements ReplicaSegments {
  readonly canPunch = true
  readonly #user: DiskUser
  readonly #current: SegmentId
  readonly #unsynced = new Set<SegmentId>()
  #offset = 0

  constructor(user: DiskUser, writer: WriterId) {
    this.#user = user
    this.#current = makeSegmentId(writer, 0)
  }

  appendLarge(data: Uint8Array): LargeAppend {
    const slices = this.append(data)
    return { places: slices, slices: Promise.resolve(slices) }
  }

  append(data: Uint8Array): readonly Slice[] {
    const segment = this.#current
    const offset = this.#offset
    this.#offset += data.length
    this.writeAt(segment, offset, data)
    const sha256 = hash('sha256', data, 'buffer')
    return [{ segment, offset, length: data.length, crc32: crc32(data), sha256 }]
  }

  writeAt(segment: SegmentId, offset: number, bytes: Uint8Array): void {
    assert(!this.#user.process.isDead, 'a dead process writes')
    const slices = this.#slices(segment)
    const before = slices.get(offset)
    this.#unsynced.add(segment)
    // Whatever a power cut leaves of the same bytes in the same place, it is those bytes; also
    // where they are being synced.
    if (before !== undefined && Buffer.from(before.bytes).equals(bytes)) return
    slices.set(offset, new Stored(Uint8Array.from(bytes)))
  }

  writeEach(pieces: Iterable<PlacedBytes>): void {
    for (const { slice, bytes } of pieces) this.writeAt(slice.segment, slice.offset, bytes)
  }

  readSync(
    slice: Slice,
    from: number,
    length: number,
    target: Uint8Array,
    targetOffset: number
  ): SliceState {
    const state = this.verifySha(slice)
    const stored = this.#slices(slice.segment).get(slice.offset)
    if (state === 'ok' && stored)
      target.set(stored.bytes.subarray(from, from + length), targetOffset)
    return state
  }

  crc32(bytes: Uint8Array): number {
    return crc32(bytes)
  }

  readRun(): boolean {
    return false
  }

  readBytes(segment: SegmentId, offset: number, length: number): Buffer | undefined {
    const stored = this.#slices(segment).get(offset)
    return stored && stored.bytes.length === length ? Buffer.from(stored.bytes) : undefined
  }

  readNamed(slice: Slice): Buffer {
    const bytes = this.readBytes(slice.segment, slice.offset, slice.length)
    assert(bytes && this.verifySha(slice) === 'ok', 'the bytes of an answered write are not there')
    return bytes
  }

  verifySha(slice: Slice): SliceState {
    const stored = this.#slices(slice.segment).get(slice.offset)
    if (!stored) return 'missing'
    return stored.isNamed(slice.sha256) ? 'ok' : 'damaged'
  }

  markUnsynced(segment: SegmentId): void {
    this.#unsynced.add(segment)
  }

  syncUnsynced(): Promise<void> {
    return this.syncSegments([...this.#unsynced])
  }

  async syncSegments(segments: Iterable<SegmentId>): Promise<void> {
    const wanted = [...segments]
    const dirty = wanted.flatMap((segment) => this.#dirty(segment))
    await this.#user.process.alive()
    if (dirty.length > 0) await syncDelay(this.#user)
    for (const stored of dirty) stored.synced = true
    for (const segment of wanted) {
      if (this.#dirty(segment).length === 0) this.#unsynced.delete(segment)
    }
  }

  #dirty(segment: SegmentId): Stored[] {
    return [...this.#slices(segment).values()].filter(({ synced }) => !synced)
  }

  syncSegmentsNow(segments: Iterable<SegmentId>): void {
    if (this.#user.process.isDead) return
    for (const segment of segments) {
      for (const stored of this.#slices(segment).values()) stored.synced = true
    }
  }

  /** On a slow disk it takes so long that a round of punches does not come to its end. */
  async punch(segment: SegmentId, offset: number, length: number): Promise<boolean> {
    const { process, disk } = this.#user
    if (process.isDead) return false
    this.#user.onPunched(segment, offset, length)
    for (const at of this.#slices(segment).keys()) {
      if (at >= offset && at < offset + length) this.#slices(segment).delete(at)
    }
    if (disk.options.syncMaxUs > PUNCHED_AT_ONCE_US) await process.sleep(disk.options.syncMaxUs)
    return true
  }

  freeSpace(): { totalBytes: number; availableBytes: number } {
    return { totalBytes: 2 ** 40, availableBytes: 2 ** 39 }
  }

  async close(): Promise<void> {}

  #slices(segment: SegmentId): Map<number, Stored> {
    let slices = this.#user.disk.segments.get(segment)
    if (!slices) {
      slices = new Map()
      this.#user.disk.segments.set(segment, slices)
    }
    return slices
  }
}

export type { DiskUser, LogFile }
export type BlockSource = (writer: WriterId, seq: Seq) => Buffer | undefined
