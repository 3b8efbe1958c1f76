/** What goes into a TokenClient and what comes out of it. */
import type { ByteRange, TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import type { ToAuthority, ToClient } from './token-message.ts'
import type { WaiterId } from './token-requests.ts'

export type ClientEvent =
  | { readonly type: 'epoch' }
  /** No new guards from here on; answered by `sealed` when no exclusive guard runs. */
  | { readonly type: 'seal' }
  /** The right to serve is lost: all waiters fail, until the next epoch. */
  | { readonly type: 'isolate' }
  | {
      readonly type: 'acquire'
      readonly waiter: WaiterId
      readonly wants: readonly TokenWant[]
      /** To be brought along, as many as there is room for and nobody is known to hold. */
      readonly ahead?: readonly Ino[]
    }
  | { readonly type: 'cancel'; readonly waiter: WaiterId }
  /** A guard ends: the wants it was given for. */
  | { readonly type: 'release'; readonly wants: readonly TokenWant[] }
  | { readonly type: 'own'; readonly ino: Ino }
  /** Asks under a number that `ask` gave. */
  | { readonly type: 'query'; readonly request: number; readonly ino: Ino }
  /** This member is done with that range for now, and another one waits to go on with it. */
  | { readonly type: 'give-up'; readonly ino: Ino; readonly range: ByteRange }
  /** What became of a reserved request: its grant comes, or it is never made. */
  | { readonly type: 'reserved'; readonly request: number; readonly coming: boolean }
  | { readonly type: 'message'; readonly message: ToClient; readonly nowMs: number }
  | { readonly type: 'applied'; readonly task: number; readonly nowMs: number }
  | { readonly type: 'flushed'; readonly task: number; readonly vector: Vector }
  | { readonly type: 'dropped'; readonly task: number }
  | {
      readonly type: 'hold-elapsed'
      readonly ino: Ino
      readonly grant: number
      readonly nowMs: number
    }

export type ClientEffect =
  | { readonly type: 'send'; readonly message: ToAuthority }
  /** The waiter has its guard; it ends with a `release` event. */
  | { readonly type: 'acquired'; readonly waiter: WaiterId }
  | { readonly type: 'failed'; readonly waiter: WaiterId }
  /** A query is over. `fresh`: all that was done before it is applied here now. */
  | { readonly type: 'asked'; readonly request: number; readonly fresh: boolean }
  /** Answer with `applied` when this member has applied `vector`. */
  | { readonly type: 'wait-applied'; readonly task: number; readonly vector: Vector }
  /** Close the entry being gathered; answer with `flushed` and all that is applied, that included. */
  | { readonly type: 'flush'; readonly task: number }
  /** Drop kernel caches of these inodes; answer with `dropped`. */
  | { readonly type: 'drop-caches'; readonly task: number; readonly inos: readonly Ino[] }
  | {
      readonly type: 'hold-timer'
      readonly ino: Ino
      readonly grant: number
      readonly delayMs: number
    }
  | { readonly type: 'sealed' }
  /** The authority breaks the protocol: cut it off. */
  | { readonly type: 'violation'; readonly reason: string }

export interface ClientOptions {
  /** A token just granted serves its member this long, if it is used, before a recall is obeyed. */
  readonly minHoldMs: number
  /** Exclusive tokens to keep; beyond it unused ones are given back, oldest first (soft). */
  readonly heldMax?: number
  /** New inodes to own without asking; beyond it the oldest become shared (soft). */
  readonly ownedMax?: number
  /** False where it is certain: releasing such an inode leaves the ownership of new ones. */
  readonly isDirectory?: (ino: Ino) => boolean
}
