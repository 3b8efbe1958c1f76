/** What must be on a disk, and what may be taken off it, seen from the outside (RULES 1, 9-11). */
import type { MemberId, SegmentId, Seq, WriterId } from '../../src/fs/primitives.ts'
import type { SealedEntry } from '../../src/replication/entry.ts'
import { openEntry } from '../../src/replication/entry-codec.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import { isForgotten } from '../../src/replication/record-history.ts'
import type { Vector } from '../../src/replication/vector.ts'
import type { Disk } from './cluster-disk.ts'
import { SafetyError } from './cluster-faults.ts'
import type { ClusterLedger } from './cluster-ledger.ts'
import type { Image } from './cluster-state.ts'

/**
 * Who counts as in sync holds all up to the cuts when the record is chosen, durably, and the bytes
 * of what nothing has replaced.
 */
export function checkAtCuts(
  { id, disk }: { readonly id: MemberId; readonly disk: Disk },
  record: EpochRecord,
  ledger: ClusterLedger
): void {
  const held = disk.durablyHeld()
  for (const { epoch, cuts } of record.history) {
    for (const [writer, seq] of cuts) {
      const has = held.get(writer) ?? 0
      if (has >= seq) continue
      const what = `only ${has} of ${writer} durably, the cut of epoch ${epoch} is ${seq}`
      throw new SafetyError(`member ${id} is in sync in epoch ${record.epoch} with ${what}`)
    }
  }
  const agreed = new Map(record.history.flatMap(({ cuts }) => cuts))
  for (const { slice, writer, seq } of ledger.newestSlices()) {
    if (seq > (agreed.get(writer) ?? 0) || ledger.isVoid(writer, seq)) continue
    if (disk.holds(slice) || disk.hasPayload(writer, seq)) continue
    throw new SafetyError(`member ${id} is in sync without the bytes of ${writer}:${seq}`)
  }
}

/**
 * Of what leaves the journal, nothing is there alone. What the member has not applied, for lack of
 * bytes, it does not hold (RULES 3), and fetches.
 */
export function checkPruned(disk: Disk, entries: readonly SealedEntry[], applied: Vector): void {
  const { position, shelf } = disk.state.oldest
  for (const sealed of entries) {
    const { writer, seq } = sealed
    if ((applied.get(writer) ?? 0) < seq || isForgotten(disk.record, writer)) continue
    // What waited for bytes at the replay was journaled again when it was applied.
    if (disk.journal.some((entry) => entry.writer === writer && entry.seq === seq)) continue
    const name = `${writer}:${seq}`
    if ((position.applied.get(writer) ?? 0) < seq) {
      throw new SafetyError(`${name} leaves the journal ahead of the checkpoint`)
    }
    const logged = disk.logs.get(writer)?.flushed ?? 0
    if (logged < seq && !shelf.has(`${writer}/${seq}`)) {
      throw new SafetyError(`${name} leaves the journal before its block is durable`)
    }
    for (const op of openEntry(sealed).ops) {
      if (op.type !== 'write') continue
      const lost = op.slices.some(({ segment, offset }) => {
        return disk.segments.get(segment)?.get(offset)?.synced === false
      })
      if (lost) throw new SafetyError(`${name} leaves the journal before its bytes are durable`)
    }
  }
}

/** What leaves the shelf stands in a durable log: the journal may have been pruned of it. */
export function checkUnshelved({ state, logs, record }: Disk, image: Image): void {
  for (const key of state.newest.shelf.keys()) {
    if (image.shelf.has(key)) continue
    const [writer, seq] = key.split('/').map(Number) as [WriterId, Seq]
    if ((logs.get(writer)?.flushed ?? 0) >= seq || isForgotten(record, writer)) continue
    throw new SafetyError(`${writer}:${seq} leaves the shelf before its block is durable`)
  }
}

interface Hole {
  readonly segment: SegmentId
  readonly offset: number
  readonly length: number
}

/** What is freed is needed by no live member, whatever its disk falls back to. */
export function checkPunched(
  { segment, offset, length }: Hole,
  disks: Iterable<{ readonly id: MemberId; readonly disk: Disk }>,
  ledger: ClusterLedger
): void {
  for (const { id, disk } of disks) {
    const { position, registers } = disk.state.oldest
    for (const { slice } of registers.values()) {
      if (slice?.segment !== segment || slice.offset < offset) continue
      if (slice.offset >= offset + length) continue
      throw new SafetyError(`bytes are punched that the checkpoint of member ${id} refers to`)
    }
    for (const { writer, seq } of ledger.writtenAt(segment, offset, length)) {
      if ((position.applied.get(writer) ?? 0) >= seq || isForgotten(disk.record, writer)) continue
      throw new SafetyError(`bytes of ${writer}:${seq} are punched, member ${id} may replay it`)
    }
  }
}
