/**
 * The record an epoch change makes out of the one before: pure functions of what the participants
 * have said.
 *
 * Invariants: every live writer gets a cut, the greatest seq that anybody present holds of it; a
 * writer that ends gets that cut as its last seq, for good (RULES 6). Whoever joins the in-sync set
 * is a participant, so it holds up to the cuts, durably (RULES 9, 10). The authority of the record
 * is in its in-sync set. What nobody needs any more is forgotten (record-history.ts).
 */
import { assert } from '../../fs/assert.ts'
import type { Epoch, MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochRecord, WriterInfo } from '../record.ts'
import { forgetPassed, lastWritersWith } from '../record-history.ts'
import { chooseVoters } from '../register/voters.ts'
import type { Vector } from '../vector.ts'
import { vectorJoin } from '../vector.ts'
import type { MemberChange } from './member-change.ts'
import { applyMemberChange } from './member-change.ts'

/** A member's process as it has said hello. */
export interface Present {
  readonly writer: WriterId
  readonly coreKey: string
  readonly held: Vector
  /** The last epoch its durable checkpoint has passed. */
  readonly passed: Epoch | 0
}

/** What a change is about; fixed when it begins. */
export interface ChangePlan {
  readonly epoch: Epoch
  /** Members that take part: live ones that stay, and those that become live or in sync. */
  readonly participants: ReadonlySet<MemberId>
  readonly joining: ReadonlyMap<MemberId, 'live' | 'in-sync'>
  /** Participants that take part for the last time. */
  readonly leaving: ReadonlySet<MemberId>
  readonly membership: readonly MemberChange[]
}

export type PresentMembers = ReadonlyMap<MemberId, Present>

/** The greatest vector anybody present holds, of the writers that are live until now. */
export function cutsOf(
  record: EpochRecord,
  answers: Iterable<Vector>,
  present: PresentMembers
): Vector {
  let all: Vector = new Map()
  for (const held of answers) all = vectorJoin(all, held)
  // A member that came back with a new incarnation offers the tail of its old writer.
  for (const { held } of present.values()) all = vectorJoin(all, held)
  const cuts = new Map<WriterId, Seq>()
  for (const writer of record.live) cuts.set(writer, (all.get(writer) ?? 0) as Seq)
  return cuts
}

/** `leader` becomes the authority, unless it leaves: then another in-sync member that stays. */
export function nextRecord(
  record: EpochRecord,
  leader: MemberId,
  change: ChangePlan,
  cuts: Vector,
  present: PresentMembers
): EpochRecord {
  const staying = record.live.filter((writer) => {
    const member = memberOf(writer)
    if (change.leaving.has(member)) return false
    return change.participants.has(member) && !isReplaced(writer, present)
  })
  const { live, writers } = writersAfter(record, staying, change, cuts, present)
  const inSync = record.inSync.filter((m) => staying.some((w) => memberOf(w) === m))
  for (const [member, want] of change.joining) {
    if (want === 'in-sync' && !inSync.includes(member)) inSync.push(member)
  }
  const next: EpochRecord = {
    ...record,
    epoch: change.epoch,
    authority: nextAuthority(leader, change, inSync),
    live,
    inSync,
    writers,
    lastWriters: lastWritersWith(record, live),
    history: [...record.history, { epoch: change.epoch, cuts: [...cuts] }]
  }
  const changed = change.membership.reduce(applyMemberChange, next)
  const { members, tieBreaker } = changed
  const voters = chooseVoters(members, changed.inSync, tieBreaker)
  const whole = { ...changed, voters, votersBefore: record.voters }
  const passed = (member: MemberId): number => present.get(member)?.passed ?? 0
  return forgetPassed(whole, change.participants, passed)
}

function writersAfter(
  record: EpochRecord,
  staying: readonly WriterId[],
  change: ChangePlan,
  cuts: Vector,
  present: PresentMembers
): Pick<EpochRecord, 'live' | 'writers'> {
  const live = [...staying]
  const writers: WriterInfo[] = record.writers.map((info) => {
    const ends = record.live.includes(info.writer) && !staying.includes(info.writer)
    return ends ? { ...info, finalSeq: cuts.get(info.writer) ?? (0 as Seq) } : info
  })
  for (const member of change.joining.keys()) {
    const joiner = present.get(member)
    if (!joiner || live.includes(joiner.writer)) continue
    live.push(joiner.writer)
    writers.push({ writer: joiner.writer, coreKey: joiner.coreKey })
  }
  return { live, writers }
}

function nextAuthority(
  leader: MemberId,
  change: ChangePlan,
  inSync: readonly MemberId[]
): MemberId {
  if (!change.leaving.has(leader)) return leader
  const [successor] = inSync
  assert(successor !== undefined, 'the leader leaves to nobody')
  return successor
}

function isReplaced(writer: WriterId, present: PresentMembers): boolean {
  const there = present.get(memberOf(writer))
  return there !== undefined && there.writer !== writer
}
