/** What a change of the member list does to the epoch record. */
import { unreachable } from '../../fs/assert.ts'
import type { MemberId, Seq } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'

export type MemberChange =
  | { readonly kind: 'add'; readonly member: MemberInfo }
  | { readonly kind: 'remove'; readonly id: MemberId }
  /** Whose vote counts twice where the number of voters is even; without id nobody's. */
  | { readonly kind: 'tie-breaker'; readonly id?: MemberId }

/** `conflict`: the record says something that excludes it; `unavailable`: nobody leads. */
export class MemberChangeError extends Error {
  override name = 'MemberChangeError'
  readonly code: 'conflict' | 'unavailable'

  constructor(code: 'conflict' | 'unavailable', message: string) {
    super(message)
    this.code = code
  }
}

/** True when the record says what the change wants. */
export function isMemberChangeDone(record: EpochRecord, change: MemberChange): boolean {
  switch (change.kind) {
    case 'add':
      return record.members.some((m) => m.publicKey === change.member.publicKey)
    case 'remove':
      return !record.members.some((m) => m.id === change.id)
    case 'tie-breaker':
      return record.tieBreaker === change.id
    default:
      return unreachable(change)
  }
}

/** Why the change cannot be made to this record, or undefined. */
export function memberChangeConflict(
  record: EpochRecord,
  change: MemberChange
): string | undefined {
  if (change.kind === 'tie-breaker') {
    const voter = record.members.find((m) => m.id === change.id)
    if (change.id !== undefined && voter?.role !== 'data') return 'it is not a data member'
    return undefined
  }
  if (change.kind === 'remove') {
    return change.id === record.authority ? 'it is the authority' : undefined
  }
  const { id, name } = change.member
  if (id < record.nextMemberId) return 'its number was given to another member'
  if (record.members.some((m) => m.name === name)) return 'its name was given to another member'
  return undefined
}

/** The record with that change; a removed member's writers end at the newest cuts. */
export function applyMemberChange(record: EpochRecord, change: MemberChange): EpochRecord {
  if (memberChangeConflict(record, change) !== undefined) return record
  switch (change.kind) {
    case 'add':
      return {
        ...record,
        members: [...record.members, change.member],
        nextMemberId: Math.max(record.nextMemberId, change.member.id + 1)
      }
    case 'tie-breaker':
      return withTieBreaker(record, change.id)
    case 'remove':
      return withoutMember(record, change.id)
    default:
      return unreachable(change)
  }
}

function withTieBreaker(record: EpochRecord, id: MemberId | undefined): EpochRecord {
  const { tieBreaker: _, ...rest } = record
  return id === undefined ? rest : { ...rest, tieBreaker: id }
}

function withoutMember(record: EpochRecord, id: MemberId): EpochRecord {
  const gone = record.members.find((m) => m.id === id)
  if (!gone) return record
  const cuts = new Map(record.history.at(-1)?.cuts ?? [])
  const kept = record.tieBreaker === id ? withTieBreaker(record, undefined) : record
  return {
    ...kept,
    members: record.members.filter((m) => m.id !== id),
    live: record.live.filter((w) => memberOf(w) !== id),
    inSync: record.inSync.filter((m) => m !== id),
    removedKeys: [...record.removedKeys, gone.publicKey],
    writers: record.writers.map((info) =>
      memberOf(info.writer) === id && info.finalSeq === undefined
        ? { ...info, finalSeq: cuts.get(info.writer) ?? (0 as Seq) }
        : info
    )
  }
}
