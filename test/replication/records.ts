/** Epoch records for tests: whole ones, of which a test says only what it is about. */
import type { Epoch, MemberId } from '../../src/fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../../src/replication/record.ts'
import { lastWritersWith } from '../../src/replication/record-history.ts'
import { chooseVoters } from '../../src/replication/register/voters.ts'

export const A = 1 as MemberId
export const B = 2 as MemberId
export const C = 3 as MemberId

export function memberInfo(id: MemberId, role: MemberInfo['role'] = 'data'): MemberInfo {
  return { id, name: `m${id}`, publicKey: id.toString(16).padStart(64, '0'), addresses: [], role }
}

/** The voters follow from the members and the in-sync set, where they are not given. */
export function epochRecord(parts: Partial<EpochRecord> = {}): EpochRecord {
  const { members = [], inSync = [A], tieBreaker } = parts
  const writers = (parts.writers ?? []).map(({ writer }) => writer)
  const voters = parts.voters ?? chooseVoters(members, inSync, tieBreaker)
  return {
    version: 1,
    volumeId: 'ab'.repeat(16),
    volumeName: 'v',
    epoch: 1 as Epoch,
    authority: A,
    members,
    live: [],
    inSync,
    writers: [],
    history: [],
    forgotten: 0,
    lastWriters: lastWritersWith({ lastWriters: [] }, writers),
    voters,
    votersBefore: voters,
    nextMemberId: members.length + 1,
    removedKeys: [],
    ...parts
  }
}
