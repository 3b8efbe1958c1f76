/** What goes into a LockClient and what comes out of it. */
import type { LockType, LostLock } from '../../fs/ports/lock-service.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type {
  LockAction,
  LockConflictBody,
  LockResult,
  LockSpan,
  LockToAuthority,
  LockToClient
} from './lock-message.ts'

/** What became of a request. 'isolated': this member may not serve. */
export interface LockDecision {
  readonly result: LockResult | 'isolated'
  /** Of a query. */
  readonly conflict?: LockConflictBody
  /** The authority has made the token request that came with it. */
  readonly brought?: boolean
}

export interface LockAsk extends LockSpan {
  readonly lock: LockType | 'unlock'
  readonly action: LockAction
}

export type LockClientEvent =
  | { readonly type: 'epoch'; readonly nowMs: number }
  | { readonly type: 'isolate' }
  /** This incarnation is over: all it held is lost. */
  | { readonly type: 'end' }
  | { readonly type: 'cancel'; readonly request: number; readonly nowMs: number }
  | { readonly type: 'message'; readonly message: LockToClient; readonly nowMs: number }
  | { readonly type: 'tick'; readonly nowMs: number }

export type LockClientEffect =
  | { readonly type: 'send'; readonly message: LockToAuthority }
  | { readonly type: 'decided'; readonly request: number; readonly decision: LockDecision }
  | { readonly type: 'lost'; readonly locks: readonly LostLock[] }
  /** The authority breaks the protocol: cut it off. */
  | { readonly type: 'violation'; readonly reason: string }

export interface LockClientOptions {
  readonly member: MemberId
  /** Delegations to keep; beyond it idle ones are given back (soft). */
  readonly delegationsMax?: number
}

export const GRANTED: LockDecision = { result: 'granted' }
export const AGAIN: LockDecision = { result: 'again' }
export const DEADLOCK: LockDecision = { result: 'deadlock' }
export const CANCELLED: LockDecision = { result: 'cancelled' }
export const NO_LOCKS: LockDecision = { result: 'no-locks' }
export const ISOLATED: LockDecision = { result: 'isolated' }
