/**
 * What an earlier process of this machine left open: the ops of the entry it was gathering when it
 * ended. They were answered, so they become an entry, as if it had been closed; nobody else has heard
 * of them.
 */
import type { Seq } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'
import type { Vector } from '../vector.ts'
import type { ReplicaJournal } from './replica-ports.ts'

/**
 * Puts the entry into the journal (page cache) unless it stands there or in the state, closed.
 * Returns whether it did.
 */
export function closeLeftOpen(
  journal: Pick<ReplicaJournal, 'append' | 'entries'>,
  left: SealedEntry | undefined,
  applied: Vector
): boolean {
  if (left === undefined) return false
  let last = applied.get(left.writer) ?? 0
  for (const { entry } of journal.entries()) {
    if (entry.writer === left.writer && entry.seq > last) last = entry.seq as Seq
  }
  if (left.seq !== last + 1) return false
  journal.append([left])
  return true
}
