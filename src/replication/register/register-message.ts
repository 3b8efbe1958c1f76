/** What voters and candidates say to each other about the epoch record. */
import type { Epoch } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { Ballot } from './ballot.ts'

export interface Accepted {
  readonly ballot: Ballot
  readonly record: EpochRecord
}

export type RegisterMessage =
  /** Would you promise? Nothing is kept of the question. */
  | { readonly type: 'probe'; readonly ballot: Ballot; readonly epoch: Epoch }
  /** Promise to accept nothing below this ballot. `epoch`: of the record the sender knows. */
  | { readonly type: 'prepare'; readonly ballot: Ballot; readonly epoch: Epoch }
  /** Answer to a probe. */
  | { readonly type: 'would'; readonly ballot: Ballot }
  /**
   * Durable at the voter; with what it accepted beyond the epoch it was asked with. `before`: the
   * ballot it had promised until then.
   */
  | {
      readonly type: 'promise'
      readonly ballot: Ballot
      readonly before: Ballot
      readonly accepted: Accepted | undefined
    }
  | { readonly type: 'accept'; readonly ballot: Ballot; readonly record: EpochRecord }
  /** Durable at the voter. */
  | { readonly type: 'accepted'; readonly ballot: Ballot; readonly epoch: Epoch }
  /** Promise no other ballot for the time of a lease. `sentMs`: the sender's clock. */
  | { readonly type: 'renew'; readonly ballot: Ballot; readonly sentMs: number }
  | { readonly type: 'renewed'; readonly ballot: Ballot; readonly sentMs: number }
  /**
   * Instead of `renewed`: the voter has accepted this record under an earlier ballot, it may still be
   * chosen, and the voter's member is in sync in it.
   */
  | { readonly type: 'pending'; readonly ballot: Ballot; readonly accepted: Accepted }
  /** The owner of the ballot stops using it: its promises need not be waited for. */
  | { readonly type: 'yield'; readonly ballot: Ballot }
  /** No; `promised` is the voter's, `waitMs` how long its promise to another still runs. */
  | {
      readonly type: 'refusal'
      readonly ballot: Ballot
      readonly promised: Ballot
      readonly waitMs: number
    }
