/**
 * The epoch record: who is a member, who is live, who decides, what is durable and where the
 * writers of the past end. It changes only as a whole, with `epoch` one higher each time.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Epoch, MemberId, Seq, WriterId } from '../fs/primitives.ts'

export interface MemberInfo {
  readonly id: MemberId
  readonly name: string
  /** ed25519 public key, hex: who a connection belongs to. */
  readonly publicKey: string
  /** host:port, in the order to try. */
  readonly addresses: readonly string[]
  readonly role: 'data' | 'witness'
}

/** A member that votes on the epoch record, and how much its vote counts. */
export type VoterWeight = readonly [MemberId, number]

export interface WriterInfo {
  readonly writer: WriterId
  /** Key of its hypercore, hex. */
  readonly coreKey: string
  /** Its last entry, once it will never write again. */
  readonly finalSeq?: Seq
}

/** Positions every member has applied before it serves an op of `epoch`. */
export interface EpochCuts {
  readonly epoch: Epoch
  readonly cuts: readonly (readonly [WriterId, Seq])[]
}

/** True when both are the same in every part. */
export function isSameRecord(a: EpochRecord, b: EpochRecord): boolean {
  return a.epoch === b.epoch && isDeepStrictEqual(a, b)
}

export interface EpochRecord {
  readonly version: 1
  readonly volumeId: string
  readonly volumeName: string
  readonly epoch: Epoch
  readonly authority: MemberId
  readonly members: readonly MemberInfo[]
  /** Writers that may write in this epoch, at most one of each member. */
  readonly live: readonly WriterId[]
  /** Members whose durable acknowledgement an fsync needs. */
  readonly inSync: readonly MemberId[]
  /** The live ones, and those that ended later than in `forgotten`. */
  readonly writers: readonly WriterInfo[]
  /** Cuts of the epochs behind `forgotten`. */
  readonly history: readonly EpochCuts[]
  /** Nobody needs to know any more how the epochs up to this one ended (record-history.ts). */
  readonly forgotten: Epoch | 0
  /** The last writer of each member that ever was live, also of removed members. */
  readonly lastWriters: readonly WriterId[]
  /** Who agrees on the next record, by a majority of the weights. */
  readonly voters: readonly VoterWeight[]
  /** Who agreed on the record before this one: a majority of them had to agree on this one too. */
  readonly votersBefore: readonly VoterWeight[]
  /** Its vote counts twice where the number of voters is even. */
  readonly tieBreaker?: MemberId
  readonly nextMemberId: number
  /** Keys of removed members, refused for ever. */
  readonly removedKeys: readonly string[]
}
