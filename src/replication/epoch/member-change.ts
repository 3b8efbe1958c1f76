/** What a change of the member list does to the epoch record. */
import type { MemberId, Seq } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'

export type MemberChange =
  | { readonly kind: 'add'; readonly member: MemberInfo }
  | { readonly kind: 'remove'; readonly id: MemberId }

/** The record with that change; a removed member's writers end at the newest cuts. */
export function applyMemberChange(record: EpochRecord, change: MemberChange): EpochRecord {
  if (change.kind === 'add') {
    return {
      ...record,
      members: [...record.members, change.member],
      nextMemberId: Math.max(record.nextMemberId, change.member.id + 1)
    }
  }
  const gone = record.members.find((m) => m.id === change.id)
  if (!gone) return record
  return {
    ...record,
    members: record.members.filter((m) => m.id !== change.id),
    live: record.live.filter((w) => memberOf(w) !== change.id),
    inSync: record.inSync.filter((m) => m !== change.id),
    removedKeys: [...record.removedKeys, gone.publicKey],
    writers: record.writers.map((info) =>
      memberOf(info.writer) === change.id && info.finalSeq === undefined
        ? {
            ...info,
            finalSeq:
              record.history.at(-1)?.cuts.find((c) => c[0] === info.writer)?.[1] ?? (0 as Seq)
          }
        : info
    )
  }
}
