/**
 * What an epoch record remembers of the past, and what it forgets (RULES 19). Cuts and ended writers
 * are needed by whoever has yet to pass them. A member has passed an epoch when its durable
 * checkpoint contains everything up to the cuts of it: from then on no start of it looks at them.
 *
 * Invariant: what is forgotten, every member of the in-sync set has passed (a joiner asks only when
 * it has), and every other data member too, unless it was away for HISTORY_EPOCHS_MAX epochs. So a
 * state older than what is forgotten is in sync nowhere: it is put aside, and another one fetched. A forgotten
 * writer is not taken for a new one: of each member the last writer is remembered for ever (RULES 12).
 */
import type { Epoch, MemberId, WriterId } from '../fs/primitives.ts'
import { memberOf } from '../fs/primitives.ts'
import type { EpochRecord } from './record.ts'

/** For how many epochs the history waits for a member that is away. */
export const HISTORY_EPOCHS_MAX = 64

/** The writer was live once, and nothing but its number is remembered. */
export function isForgotten(record: EpochRecord, writer: WriterId): boolean {
  if (record.writers.some((info) => info.writer === writer)) return false
  return writer <= (lastWriterOf(record, memberOf(writer)) ?? 0)
}

/** The writer will never write again (RULES 19). */
export function hasEnded(record: EpochRecord, writer: WriterId): boolean {
  const info = record.writers.find((each) => each.writer === writer)
  return info ? info.finalSeq !== undefined : isForgotten(record, writer)
}

/** The last writer of the member that ever was live. */
export function lastWriterOf(record: EpochRecord, member: MemberId): WriterId | undefined {
  return record.lastWriters.find((writer) => memberOf(writer) === member)
}

/** Those of the record, with the writers that are live now. */
export function lastWritersWith(
  record: Pick<EpochRecord, 'lastWriters'>,
  live: readonly WriterId[]
): WriterId[] {
  const last = new Map(record.lastWriters.map((writer) => [memberOf(writer), writer]))
  for (const writer of live) {
    const member = memberOf(writer)
    if (writer > (last.get(member) ?? 0)) last.set(member, writer)
  }
  return [...last.values()]
}

/**
 * The record without what nobody needs any more. `passed`: the epoch that a member has passed, 0
 * when it has not said. The newest cuts always stay.
 */
export function forgetPassed(
  record: EpochRecord,
  participants: ReadonlySet<MemberId>,
  passed: (member: MemberId) => number
): EpochRecord {
  const data = record.members.filter((m) => m.role === 'data').map((m) => m.id)
  const there = data.filter((id) => participants.has(id))
  const byAll = Math.min(record.epoch - 1, ...there.map(passed))
  const isAnyAway = there.length < data.length
  const upTo = isAnyAway ? Math.min(byAll, record.epoch - HISTORY_EPOCHS_MAX) : byAll
  return upTo <= record.forgotten ? record : forgetUpTo(record, upTo as Epoch)
}

function forgetUpTo(record: EpochRecord, upTo: Epoch): EpochRecord {
  const history = record.history.filter(({ epoch }) => epoch > upTo)
  const cut = new Set(history.flatMap(({ cuts }) => cuts.map(([writer]) => writer)))
  const writers = record.writers.filter(
    ({ writer, finalSeq }) => finalSeq === undefined || cut.has(writer)
  )
  return { ...record, forgotten: upTo, history, writers }
}
