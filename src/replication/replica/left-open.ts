/**
 * What an earlier process of this machine left open: the ops of the entry it was gathering when it
 * ended. They were answered, so they become an entry, as if it had been closed; nobody else has heard
 * of them.
 *
 * The bytes of small writes come from the segments, where they were before the ops were written down
 * (storage/open-entry.ts says why they are there after any end of the process). They are looked for
 * only when the entry stands nowhere yet: the file keeps a closed entry until the next one stays open, and
 * of that the slices may be dead and punched by now. Until this start has closed it nothing works on the segments,
 * and a start that is killed on the way leaves file and segments as they were, with or without the entry
 * in the journal. So a slice with other bytes under the same boot is none of a crash: the disk below failed, or somebody
 * changed its file. The member does not start then. It would have to leave out what it answered.
 */
import type { Seq } from '../../fs/primitives.ts'
import type { Entry, SealedEntry } from '../entry.ts'
import { isInline } from '../entry.ts'
import { encodeEntryHead } from '../entry-codec.ts'
import type { Vector } from '../vector.ts'
import type { ReplicaJournal, ReplicaSegments } from './replica-ports.ts'

export interface LeftOpenComponents {
  readonly journal: Pick<ReplicaJournal, 'append' | 'entries'>
  readonly segments: Pick<ReplicaSegments, 'readNamed'>
}

/**
 * Puts the entry into the journal (page cache) unless it stands there or in the state, closed.
 * Returns whether it did. Throws DamagedFileError when the bytes of a small write are not in its segment.
 */
export function closeLeftOpen(
  { journal, segments }: LeftOpenComponents,
  left: Entry | undefined,
  applied: Vector
): boolean {
  if (left === undefined) return false
  let last = applied.get(left.writer) ?? 0
  for (const { entry } of journal.entries()) {
    if (entry.writer === left.writer && entry.seq > last) last = entry.seq as Seq
  }
  if (left.seq !== last + 1) return false
  journal.append([sealed(left, segments)])
  return true
}

function sealed(entry: Entry, segments: LeftOpenComponents['segments']): SealedEntry {
  const pieces: Buffer[] = []
  for (const op of entry.ops) {
    if (op.type !== 'write' || !isInline(op)) continue
    for (const slice of op.slices) pieces.push(segments.readNamed(slice))
  }
  const { writer, seq } = entry
  return { writer, seq, head: encodeEntryHead(entry), payload: Buffer.concat(pieces) }
}
