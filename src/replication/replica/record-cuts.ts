/** What an epoch record says about positions, seen from a member: what it must hold, what it may not. */
import type { Epoch, Seq, WriterId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'
import { vectorCovers } from '../vector.ts'

const HELD_WRITERS_MAX = 512

/** Everything that a member of the record's epoch has applied before it serves. */
export function allCuts(record: EpochRecord): Vector {
  const all = new Map<WriterId, Seq>()
  for (const { cuts } of record.history) {
    for (const [writer, seq] of cuts) all.set(writer, Math.max(all.get(writer) ?? 0, seq) as Seq)
  }
  return all
}

/** True when that is more than ever became part of the volume. */
export function isBeyondCuts(
  record: EpochRecord,
  appliedOf: (writer: WriterId) => number
): boolean {
  for (const { writer, finalSeq } of record.writers) {
    if (finalSeq !== undefined && appliedOf(writer) > finalSeq) return true
  }
  return false
}

/** True for a member that has nothing of the volume though there is something. */
export function lacksState(
  record: EpochRecord,
  { stateEpoch, held }: { readonly stateEpoch: Epoch | 0; readonly held: Vector }
): boolean {
  if (stateEpoch !== 0 || [...held.values()].some((seq) => seq > 0)) return false
  return record.forgotten > 0 || !vectorCovers(held, allCuts(record))
}

/** After many restarts only what can still be cut: a vector in a message is bounded. */
export function boundedHeld(held: Vector, record: EpochRecord): Vector {
  if (held.size <= HELD_WRITERS_MAX) return held
  return new Map(record.live.map((writer) => [writer, (held.get(writer) ?? 0) as Seq]))
}
