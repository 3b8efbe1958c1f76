/**
 * Who votes on the epoch record, and what a majority is.
 *
 * Every record names the voters of its successor (`voters`) and those it was itself agreed by
 * (`votersBefore`). Invariant: a record is chosen when a majority of both has accepted it, so the
 * voters may change with every record, and any majority of the old ones knows of the new.
 */
import type { MemberId } from '../../fs/primitives.ts'
import type { EpochRecord, MemberInfo, VoterWeight } from '../record.ts'

/** True when those for whom `has` is true weigh more than half. */
export function isMajority(
  voters: readonly VoterWeight[],
  has: (member: MemberId) => boolean
): boolean {
  let total = 0
  let yes = 0
  for (const [member, weight] of voters) {
    total += weight
    if (has(member)) yes += weight
  }
  return yes * 2 > total
}

/** True when a record that is accepted by those is chosen. */
export function isChosenBy(
  record: Pick<EpochRecord, 'voters' | 'votersBefore'>,
  has: (member: MemberId) => boolean
): boolean {
  return isMajority(record.voters, has) && isMajority(record.votersBefore, has)
}

/**
 * The voters of a record. Only in-sync members may lead, so a single one decides alone: nobody
 * could take over from it, and whoever else is lost must not stop it. Else all data members vote,
 * and the witnesses where they make the number odd; a tie-breaker counts twice in an even number.
 */
export function chooseVoters(
  members: readonly MemberInfo[],
  inSync: readonly MemberId[],
  tieBreaker: MemberId | undefined
): VoterWeight[] {
  const [first, second] = inSync
  if (first !== undefined && second === undefined) return [[first, 1]]
  const data = members.filter((m) => m.role === 'data').map((m) => m.id)
  const witnesses = members.filter((m) => m.role === 'witness').map((m) => m.id)
  const [witness] = witnesses
  const voting = data.length % 2 === 0 && witness !== undefined ? [...data, witness] : data
  const isEven = voting.length % 2 === 0
  return voting.map((id) => [id, isEven && id === tieBreaker ? 2 : 1] as const)
}
