/**
 * What a start finds in the journal: how far this member holds each writer, and the blocks that
 * the hypercores of its own earlier incarnations miss.
 *
 * Entries behind the last fdatasync are doubtful after a power cut: their small bytes are in the
 * record, but those of large slices may be lost. Such an entry counts as held only when its slices
 * are there (RULES 3); what follows it waits in admission and is fetched again.
 */
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import { DamagedLogError } from '../storage/log-failure.ts'
import type { Vector } from '../vector.ts'
import { vectorJoin } from '../vector.ts'
import type { ReplicaJournal, ReplicaLogs } from './replica-ports.ts'

export interface RecoveryComponents {
  readonly journal: Pick<ReplicaJournal, 'entries'>
  readonly logs: Pick<ReplicaLogs, 'reopen'>
  readonly self: MemberId
  readonly logger: Logger
}

/** The end of each writer in the journal, joined with what the state contains. */
export function scanHeld(journal: Pick<ReplicaJournal, 'entries'>, applied: Vector): Vector {
  const held = new Map<WriterId, Seq>()
  for (const { entry } of journal.entries()) {
    const known = held.get(entry.writer) ?? applied.get(entry.writer) ?? 0
    // Void entries of an earlier life may stand between: only a chain without gaps is held.
    if (entry.seq === known + 1) held.set(entry.writer, entry.seq)
  }
  return vectorJoin(applied, held)
}

/** Appends to the hypercores of earlier incarnations what they miss and the journal still has. */
export async function republishOwn(components: RecoveryComponents): Promise<void> {
  const { journal, logs, self, logger } = components
  const spans = new Map<WriterId, { first: Seq; last: Seq }>()
  for (const { entry } of journal.entries()) {
    if (memberOf(entry.writer) !== self) continue
    const span = spans.get(entry.writer)
    if (!span) spans.set(entry.writer, { first: entry.seq, last: entry.seq })
    else if (entry.seq === span.last + 1) span.last = entry.seq
  }
  for (const [writer, { first, last }] of spans) {
    const log = await logs.reopen(writer)
    try {
      const appended = await log.appendMissing(first, last, headsOf(journal, writer, first, last))
      if (appended > 0) logger.info({ writer, appended }, 'own log brought up to the journal')
    } catch (error) {
      if (!(error instanceof DamagedLogError)) throw error
      // Nothing was appended: the entries are served from the journal's copy and by the others.
      logger.error({ writer, error }, 'own log of an earlier start is not what it was')
    }
  }
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
