/** What goes into a LockAuthority and what comes out of it. */
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { LockBring, LockToAuthority, LockToClient } from './lock-message.ts'

export type LockAuthorityEvent =
  /** A new epoch with these live members, the authority's own among them. */
  | { readonly type: 'epoch'; readonly members: readonly MemberId[] }
  | {
      readonly type: 'message'
      readonly from: MemberId
      readonly message: LockToAuthority
      readonly nowMs: number
    }
  | { readonly type: 'tick'; readonly nowMs: number }

export type LockAuthorityEffect =
  | { readonly type: 'send'; readonly to: MemberId; readonly message: LockToClient }
  /** Make that token request for that member. */
  | {
      readonly type: 'bring'
      readonly member: MemberId
      readonly ino: Ino
      readonly bring: LockBring
    }
  /** That member breaks the protocol: cut it off. */
  | { readonly type: 'violation'; readonly member: MemberId; readonly reason: string }

export interface LockAuthorityOptions {
  /** Inodes without locks to remember as shared; beyond it the oldest are forgotten. */
  readonly sharedMax?: number
  /** Requests in a row of one member after which a shared inode is its own again. */
  readonly aloneRequests?: number
}
