/**
 * Intake of entries: from peers, from catch-up, from the journal after a crash. Each admitted
 * entry is journaled (page cache), its inline bytes go to their segment, its ops to the state; in
 * that order, so that whatever the state holds the journal can bring back.
 */
import { DecodeError } from '../../fs/byte-codec.ts'
import type { Slice } from '../../fs/op.ts'
import type { Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { StateMachine } from '../../fs/ports/state-machine.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Admission, Admitted } from '../admission.ts'
import type { Defer } from '../defer.ts'
import type { Entry, SealedEntry } from '../entry.ts'
import { isInline } from '../entry.ts'
import { openEntry } from '../entry-codec.ts'
import type { SegmentStore } from '../storage/segment-store.ts'
import type { EntryShelf } from './entry-shelf.ts'
import type { RecentEntries } from './recent-entries.ts'
import type { ReplicaSegments } from './replica-ports.ts'
import type { Slices } from './slices.ts'
import { fetchedSlices } from './slices.ts'

/** Applied before the event loop gets its turn again: one entry at least, and then no more than this. */
const ENTRIES_PER_TURN = 64
const OPS_PER_TURN = 128
const BYTES_PER_TURN = 1024 * 1024
/** What is kept of a buffer for one entry, as a part of that entry. */
const LENT_AT_MOST = 9 / 8
/** A pushed entry gets this long for its pushed slices before they are asked for. */
const SLICE_PATIENCE_MS = 1500

export interface IntakeComponents {
  readonly admission: Admission
  readonly journal: (entries: readonly SealedEntry[]) => void
  readonly segments: Pick<
    SegmentStore,
    'writeAt' | 'writeEach' | 'markUnsynced' | 'verifySha' | 'crc32'
  >
  readonly state: StateMachine
  readonly shelf: Pick<EntryShelf, 'put'>
  /** The block of an entry of this member, of any of its incarnations, stands in its log. */
  readonly isInOwnLog: (writer: WriterId, seq: Seq) => boolean
  readonly recent: RecentEntries
  readonly slices: Slices
  readonly self: MemberId
  /** Ops that the volume does not have: what their inodes' handles wrote is lost. */
  readonly onVoid: (entry: Entry, sealed: SealedEntry) => void
  readonly logger: Logger
  readonly nowMs: () => number
  /** Own ops applied but not journaled yet go into the journal first. */
  readonly flushOwn: () => void
  readonly onApplied: (items: readonly Admitted[]) => void
  /** Runs it in another turn of the event loop. */
  readonly later: Defer
  readonly onFatal: (error: Error) => void
}

export class Intake {
  readonly #components: IntakeComponents
  /** When the entries that wait for slices alone were first seen waiting. */
  readonly #stalledSinceMs = new Map<string, number>()
  #scheduled: Timer | undefined
  #open = false

  constructor(components: IntakeComponents) {
    this.#components = components
  }

  /**
   * Takes an entry from a peer. `fetched`: it answers a question, so nothing was pushed ahead of
   * it. Throws DecodeError when it is malformed or its bytes are not those it names.
   */
  receive(from: MemberId, sealed: SealedEntry, fetched: boolean): void {
    const { admission, slices, logger } = this.#components
    if (!this.#open || sealed.seq <= admission.appliedOf(sealed.writer)) return
    const entry = openEntry(sealed)
    verifyPayload(this.#components.segments, entry, sealed)
    const result = admission.offer({ sealed: keep(sealed), entry })
    if (result === 'void') {
      const { writer, seq, epoch } = entry
      logger.warn({ from, writer, seq, epoch }, 'entry beyond its cut or of an old epoch refused')
      return
    }
    if (result !== 'waiting') return
    if (fetched) slices.want(entry, isBare(sealed, entry))
    this.pump()
  }

  /**
   * From now on entries of peers are taken: the journal has been replayed. Before that they would
   * stand in it behind what they follow from, and in the way of the copies it has.
   */
  open(): void {
    this.#open = true
    // What the replay left waiting lost its slices with the power: nobody pushes those again.
    this.fetchSlices()
  }

  /** Bytes come from that member now: what it pushed before was lost. */
  bulkConnected(member: MemberId): void {
    if (this.#open) this.fetchSlices(member)
  }

  /** Asks at once for the slices of all that waits, or of what that member wrote of it. */
  fetchSlices(member?: MemberId): void {
    const { admission, slices } = this.#components
    for (const { sealed, entry } of [...admission.waiting()]) {
      if (member !== undefined && memberOf(entry.writer) !== member) continue
      const bare = isBare(sealed, entry)
      if (!slices.holds(entry, bare)) slices.want(entry, bare)
    }
  }

  /** Entries of peers are taken. */
  get isOpen(): boolean {
    return this.#open
  }

  /** Applies what is ready. Called whenever an entry or a slice came. */
  pump(): void {
    if (!this.#open) return
    const { admission, slices } = this.#components
    // First, so that the own entry names as its causes only what stands before it in the journal.
    this.#components.flushOwn()
    const batch: Admitted[] = []
    let ops = 0
    let bytes = 0
    const isFull = (): boolean =>
      batch.length >= ENTRIES_PER_TURN || ops >= OPS_PER_TURN || bytes >= BYTES_PER_TURN
    while (!isFull()) {
      const item = admission.next(({ sealed, entry }) => slices.holds(entry, isBare(sealed, entry)))
      if (!item) break
      batch.push(item)
      ops += item.entry.ops.length
      bytes += item.sealed.payload.length
    }
    if (batch.length === 0) return
    try {
      this.#components.journal(batch.map((item) => item.sealed))
      for (const item of batch) this.#apply(item)
    } catch (error) {
      this.stop()
      this.#components.onFatal(error instanceof Error ? error : new Error(String(error)))
      return
    }
    this.#components.onApplied(batch)
    if (isFull()) this.#later()
  }

  /** Bytes of slices that entries wait for which are here themselves; counted up to `limit`. */
  missingBytes(limit: number): number {
    const { admission, slices } = this.#components
    let bytes = 0
    for (const { sealed, entry } of admission.waiting()) {
      const bare = isBare(sealed, entry)
      if (slices.holds(entry, bare)) continue
      for (const slice of fetchedSlices(entry, bare)) bytes += slice.length
      if (bytes >= limit) return bytes
    }
    return bytes
  }

  /**
   * Asks for the slices of all that waits when an entry has waited for its own too long: what was
   * pushed to a member that could not be reached is missing in many.
   */
  chase(): void {
    const { admission, slices, nowMs } = this.#components
    const waiting = admission.waitingForSlices(({ sealed, entry }) =>
      slices.holds(entry, isBare(sealed, entry))
    )
    const now = nowMs()
    const seen = new Set<string>()
    let isLate = false
    for (const { entry } of waiting) {
      const key = `${entry.writer}:${entry.seq}`
      seen.add(key)
      const since = this.#stalledSinceMs.get(key)
      if (since === undefined) this.#stalledSinceMs.set(key, now)
      else if (now - since >= SLICE_PATIENCE_MS) isLate = true
    }
    if (isLate) this.fetchSlices()
    for (const key of this.#stalledSinceMs.keys()) {
      if (!seen.has(key)) this.#stalledSinceMs.delete(key)
    }
  }

  /**
   * Brings the state forward by an entry from the local journal. What the state does not contain
   * is doubtful: its large slices are looked at first.
   */
  replay(sealed: SealedEntry): void {
    const { admission, recent, onVoid } = this.#components
    if (sealed.seq <= admission.appliedOf(sealed.writer)) {
      this.#shelveReplayed(sealed)
      this.#restoreBytes(sealed)
      return
    }
    if (admission.isForgotten(sealed.writer)) {
      this.#restoreBytes(sealed)
      return
    }
    const entry = openEntry(sealed)
    const result = admission.offer({ sealed: keep(sealed), entry })
    if (result === 'void') onVoid(entry, sealed)
    if (result !== 'waiting') return
    const { segments } = this.#components
    for (const slice of fetchedSlices(entry, isBare(sealed, entry))) {
      segments.markUnsynced(slice.segment)
      this.#components.slices.noteUnjournaled(slice.segment)
    }
    for (;;) {
      const item = admission.next((next) => hasSlicesOnDisk(segments, next))
      if (!item) return
      this.#writeInline(item)
      this.#applyOps(item.entry)
      this.#shelveReplayed(item.sealed)
      recent.add(item.sealed)
    }
  }

  /**
   * Own entries are handed on from the log of their incarnation, which was brought up to the journal
   * before, unless it has a gap: then what came back from others stands on the shelf alone (RULES 1).
   */
  #shelveReplayed({ writer, seq, head }: SealedEntry): void {
    const { self, isInOwnLog, shelf } = this.#components
    if (memberOf(writer) !== self || !isInOwnLog(writer, seq)) shelf.put(writer, seq, head)
  }

  stop(): void {
    this.#open = false
    this.#scheduled?.cancel()
  }

  /**
   * The state has the entry, but until the journal is pruned (RULES 1) its small bytes are durable
   * there alone, and its block too: a power cut may have taken them out of segment and hypercore.
   */
  #restoreBytes(sealed: SealedEntry): void {
    const { segments } = this.#components
    if (sealed.payload.length === 0) return
    for (const { slice, bytes } of inlineSlices(openEntry(sealed), sealed)) {
      if (segments.verifySha(slice) === 'ok') segments.markUnsynced(slice.segment)
      else segments.writeAt(slice.segment, slice.offset, bytes)
    }
  }

  #later(): void {
    if (this.#scheduled) return
    this.#scheduled = this.#components.later(() => {
      this.#scheduled = undefined
      this.pump()
    })
  }

  #apply(item: Admitted): void {
    const { shelf, recent, slices } = this.#components
    this.#writeInline(item)
    this.#applyOps(item.entry)
    slices.settle(item.entry, isBare(item.sealed, item.entry))
    shelf.put(item.sealed.writer, item.sealed.seq, item.sealed.head)
    recent.add(item.sealed)
  }

  #writeInline({ sealed, entry }: Admitted): void {
    this.#components.segments.writeEach(inlineSlices(entry, sealed))
  }

  #applyOps({ writer, seq, ops }: Entry): void {
    const { state } = this.#components
    for (const op of ops) state.apply(op, { writer, seq })
  }
}

/** True when the bytes that do not come with the entry stand in their segments. */
export function hasSlicesOnDisk(
  segments: Pick<ReplicaSegments, 'verifySha'>,
  { sealed, entry }: Admitted
): boolean {
  for (const slice of fetchedSlices(entry, isBare(sealed, entry))) {
    if (segments.verifySha(slice) !== 'ok') return false
  }
  return true
}

/** The entry came without its inline bytes: they are fetched slice by slice. */
export function isBare(sealed: SealedEntry, entry: Entry): boolean {
  return sealed.payload.length === 0 && entry.ops.some(isInline)
}

function verifyPayload(
  segments: Pick<SegmentStore, 'crc32'>,
  entry: Entry,
  sealed: SealedEntry
): void {
  for (const { slice, bytes } of inlineSlices(entry, sealed)) {
    if (bytes.length !== slice.length || segments.crc32(bytes) !== slice.crc32) {
      throw new DecodeError('inline bytes differ from their crc32')
    }
  }
}

/** The slices whose bytes are in the payload. */
export function* inlineSlices(
  entry: Entry,
  { payload }: SealedEntry
): Generator<{ readonly slice: Slice; readonly bytes: Buffer }> {
  if (payload.length === 0) return
  let from = 0
  for (const op of entry.ops) {
    if (op.type !== 'write' || !isInline(op)) continue
    for (const slice of op.slices) {
      yield { slice, bytes: payload.subarray(from, from + slice.length) }
      from += slice.length
    }
  }
}

/** An entry is often a view of a larger buffer that it would keep: then only of its own bytes. */
function keep(sealed: SealedEntry): SealedEntry {
  const bytes = sealed.head.length + sealed.payload.length
  if (sealed.head.buffer.byteLength < bytes * LENT_AT_MOST) return sealed
  return { ...sealed, head: Buffer.from(sealed.head), payload: Buffer.from(sealed.payload) }
}
