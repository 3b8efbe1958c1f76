/** What the leader's side of an epoch change is told, and what it wants done (epoch-authority.ts). */
import type { Epoch, MemberId, WriterId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'
import type { MemberChange } from './member-change.ts'

export type EpochEvent =
  /** A member's process is there, serving or not; the leader says it of itself as well. */
  | {
      readonly type: 'hello'
      readonly member: MemberId
      readonly writer: WriterId
      readonly coreKey: string
      readonly held: Vector
    }
  /** The member is unreachable and the promise of its lease is over. */
  | { readonly type: 'lost'; readonly member: MemberId }
  /** The promise of the lease of a live member that is to be removed is over. */
  | { readonly type: 'idle'; readonly member: MemberId }
  /** The connection is gone; the lease may still run. */
  | { readonly type: 'gone'; readonly member: MemberId }
  | { readonly type: 'join'; readonly member: MemberId; readonly want: 'live' | 'in-sync' }
  /** A live member is about to stop: the next record goes on without it, with all it has. */
  | { readonly type: 'leave'; readonly member: MemberId }
  /** A record has to follow, whatever else is wished: a seal is out, or the lead is new. */
  | { readonly type: 'force' }
  /** Say again what was not answered. */
  | { readonly type: 'remind' }
  /** The joiner keeps everybody sealed: go on without it. */
  | { readonly type: 'impatient'; readonly member: MemberId }
  | {
      readonly type: 'sealed'
      readonly member: MemberId
      readonly epoch: Epoch
      /** Of the seal that is answered. */
      readonly round: number
      readonly held: Vector
    }
  /** Its durable checkpoint contains everything up to the cuts of that epoch. */
  | { readonly type: 'passed'; readonly member: MemberId; readonly epoch: Epoch | 0 }
  /** The record that was proposed is chosen. */
  | { readonly type: 'chosen'; readonly epoch: Epoch }
  | { readonly type: 'members'; readonly change: MemberChange }

export type EpochEffect =
  /** Send (or carry out here) a seal; empty cuts = first round. */
  | {
      readonly type: 'seal'
      readonly member: MemberId
      readonly epoch: Epoch
      readonly round: number
      readonly cuts: Vector
    }
  /** Propose it to the voters, then step with `chosen`. */
  | { readonly type: 'propose'; readonly record: EpochRecord }
  /** Send the record to every connected member and install it here. */
  | { readonly type: 'publish'; readonly record: EpochRecord }
