/** What goes into a TokenAuthority and what comes out of it. */
import type { MemberId } from '../../fs/primitives.ts'
import type { ToAuthority, ToClient } from './token-message.ts'

export type AuthorityEvent =
  /** A new epoch with these live members, the authority's own among them. */
  | { readonly type: 'epoch'; readonly members: readonly MemberId[] }
  | { readonly type: 'message'; readonly from: MemberId; readonly message: ToAuthority }

export type AuthorityEffect =
  | { readonly type: 'send'; readonly to: MemberId; readonly message: ToClient }
  /** That member breaks the protocol: cut it off. */
  | { readonly type: 'violation'; readonly member: MemberId; readonly reason: string }

export interface AuthorityOptions {
  /** Inodes to keep in the table; beyond it those that nobody holds are cleared (soft). */
  readonly objectsMax?: number
  /** An inode in more pieces than this is asked for as a whole, which makes it one again. */
  readonly spansMax?: number
}
