/** What a vector says of the writers that are live in the record; 0 where it says nothing. */
import type { Seq, WriterId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'

export function liveVector(record: EpochRecord, vector: Vector): Map<WriterId, Seq> {
  const live = new Map<WriterId, Seq>()
  for (const writer of record.live) live.set(writer, (vector.get(writer) ?? 0) as Seq)
  return live
}
