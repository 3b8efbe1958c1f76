/**
 * The record with which one member goes on alone when those that are needed for a majority will
 * never come back. It is agreed with nobody: what they had and this member has not is lost, and
 * whoever of them comes back all the same is refused, as a removed member is.
 *
 * Its epoch leaves a wide gap to the last one: the others may have made some among themselves.
 */
import type { Epoch, MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { VoterState } from '../register/voter.ts'
import type { Vector } from '../vector.ts'

const EPOCH_GAP = 2 ** 20

/** `held`: what the member has of each writer; the volume goes on from there. */
export function forcedRecord(record: EpochRecord, self: MemberId, held: Vector): EpochRecord {
  const epoch = (record.epoch + EPOCH_GAP) as Epoch
  const others = record.members.filter((member) => member.id !== self)
  const { tieBreaker: _, ...kept } = record
  const heldOf = (writer: WriterId): Seq => (held.get(writer) ?? 0) as Seq
  const cuts = record.live.map((writer) => [writer, heldOf(writer)] as const)
  // A member that was not in sync may have less than earlier cuts name, and nobody can bring the rest.
  const history = record.history.map((each) => ({
    ...each,
    cuts: each.cuts.map(([writer, cut]) => [writer, Math.min(cut, heldOf(writer)) as Seq] as const)
  }))
  return {
    ...kept,
    epoch,
    authority: self,
    members: record.members.filter((member) => member.id === self),
    live: [],
    inSync: [self],
    writers: record.writers.map((info) => ({
      ...info,
      finalSeq: Math.min(info.finalSeq ?? Number.MAX_SAFE_INTEGER, heldOf(info.writer)) as Seq
    })),
    history: [...history, { epoch, cuts }],
    voters: [[self, 1]],
    votersBefore: [[self, 1]],
    removedKeys: [...record.removedKeys, ...others.map((member) => member.publicKey)]
  }
}

/** The newest record this member has anything of: chosen, or accepted by its own voter. */
export function newestRecord(record: EpochRecord, { accepted }: VoterState): EpochRecord {
  return accepted && accepted.record.epoch > record.epoch ? accepted.record : record
}
