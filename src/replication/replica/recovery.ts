/**
 * What a start finds in the journal: how far this member holds each writer, and the blocks that
 * the hypercores of its own earlier incarnations miss.
 *
 * Journal and segments are synced side by side, so after a power cut an entry may be there and the
 * bytes of its large slices not. An entry that the committed state does not contain counts as held
 * only when its slices are there (RULES 3); what follows it waits in admission and is fetched.
 */
import type { Op } from '../../fs/op.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Ino, MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import { Admission, type Admitted } from '../admission.ts'
import type { SealedEntry } from '../entry.ts'
import { openEntry } from '../entry-codec.ts'
import type { EpochRecord } from '../record.ts'
import { isForgotten } from '../record-history.ts'
import { DamagedLogError } from '../storage/log-failure.ts'
import type { Turns } from '../turns.ts'
import type { Vector } from '../vector.ts'
import type { ReplicaJournal, ReplicaLogs } from './replica-ports.ts'

export interface RecoveryComponents {
  readonly journal: Pick<ReplicaJournal, 'entries'>
  readonly logs: Pick<ReplicaLogs, 'reopen'>
  readonly self: MemberId
  readonly record: EpochRecord
  readonly logger: Logger
  readonly turns: Turns
}

/**
 * What this member holds of each writer: what the state contains and the journal continues, in
 * causal order and with the slices of every entry on the disk (RULES 3).
 */
export async function scanHeld(
  journal: Pick<ReplicaJournal, 'entries'>,
  known: ConstructorParameters<typeof Admission>[0],
  hasSlices: (item: Admitted) => boolean,
  turns: Turns
): Promise<Vector> {
  const admission = new Admission(known)
  for (const { entry: sealed } of journal.entries()) {
    if (turns.isOver()) await turns.pause()
    if (sealed.seq <= admission.appliedOf(sealed.writer)) continue
    if (admission.offer({ sealed, entry: openEntry(sealed) }) !== 'waiting') continue
    while (admission.next(hasSlices) !== undefined);
  }
  return admission.applied
}

/** True for an op that changes what a file contains. */
export function changesData({ type }: Op): boolean {
  return type === 'write' || type === 'truncate' || type === 'punch' || type === 'clone'
}

/**
 * Inodes that entries beyond the record's cuts have changed, true for those whose bytes they changed;
 * 'any' when the journal does not go
 * back to a cut any more (RULES 4: what was open on them has lost something).
 */
export async function inosBeyondCuts(
  entries: Iterable<{ readonly entry: SealedEntry }>,
  record: EpochRecord,
  turns: Turns
): Promise<ReadonlyMap<Ino, boolean> | 'any'> {
  const cuts = new Map<WriterId, number>()
  for (const { writer, finalSeq } of record.writers) {
    if (finalSeq !== undefined) cuts.set(writer, finalSeq)
  }
  const started = new Set<WriterId>()
  const inos = new Map<Ino, boolean>()
  for (const { entry: sealed } of entries) {
    if (turns.isOver()) await turns.pause()
    const { writer, seq } = sealed
    const cut = cuts.get(writer)
    if (cut === undefined) continue
    if (!started.has(writer) && seq > cut + 1) return 'any'
    started.add(writer)
    if (seq <= cut) continue
    for (const op of openEntry(sealed).ops) {
      inos.set(op.ino, inos.get(op.ino) === true || changesData(op))
    }
  }
  return inos
}

/**
 * Appends to the hypercores of earlier incarnations what they miss and the journal still has.
 * Resolves with the damage found: logs that lost their tail, or hold something else.
 */
export async function republishOwn(components: RecoveryComponents): Promise<string[]> {
  const { journal, logs, self, record, logger, turns } = components
  const spans = new Map<WriterId, { first: Seq; last: Seq }>()
  for (const { entry } of journal.entries()) {
    if (turns.isOver()) await turns.pause()
    // The logs of the forgotten are gone.
    if (memberOf(entry.writer) !== self || isForgotten(record, entry.writer)) continue
    const span = spans.get(entry.writer)
    if (!span) spans.set(entry.writer, { first: entry.seq, last: entry.seq })
    else if (entry.seq === span.last + 1) span.last = entry.seq
  }
  const damage: string[] = []
  for (const [writer, { first, last }] of spans) {
    const log = await logs.reopen(writer)
    try {
      const appended = await log.appendMissing(first, last, headsOf(journal, writer, first, last))
      if (appended > 0) logger.info({ writer, appended }, 'own log brought up to the journal')
    } catch (error) {
      if (!(error instanceof DamagedLogError)) throw error
      // Nothing was appended: the entries are served from the journal's copy and by the others.
      damage.push(error.message)
    }
  }
  return damage
}

function* headsOf(
  journal: Pick<ReplicaJournal, 'entries'>,
  writer: WriterId,
  first: Seq,
  last: Seq
): Generator<Buffer> {
  let next: number = first
  for (const { entry } of journal.entries()) {
    if (entry.writer !== writer || entry.seq !== next || next > last) continue
    next++
    yield entry.head
  }
}
