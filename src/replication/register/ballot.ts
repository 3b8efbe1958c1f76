/**
 * Ballots: the numbers under which a member proposes epoch records. A ballot belongs to one member
 * for ever: counter * 2^8 + member, so two members never use the same one, and a member makes its
 * next one durable (as its own voter's promise) before it uses it.
 */
import { assert } from '../../fs/assert.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { MEMBER_MAX } from '../../fs/primitives.ts'

declare const ballotBrand: unique symbol
/** 0 = none yet. */
export type Ballot = number & { readonly [ballotBrand]: true }

export const NO_BALLOT = 0 as Ballot
/** More than any cluster can use up; what is above it in a message or file is damage. */
export const BALLOT_MAX = 2 ** 48
const OWNERS = MEMBER_MAX + 1

/** The lowest ballot of `member` above every one it has heard of. */
export function ballotAbove(heard: Ballot, member: MemberId): Ballot {
  const ballot = (Math.floor(heard / OWNERS) + 1) * OWNERS + member
  assert(Number.isSafeInteger(ballot), 'no ballot is left')
  return ballot as Ballot
}

export function ballotOwner(ballot: Ballot): MemberId {
  return (ballot % OWNERS) as MemberId
}
