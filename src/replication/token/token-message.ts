/**
 * What the token authority and its clients say to each other, and the bounds of it. A message
 * belongs to one epoch: the link carries the epoch and drops every other (RULES 18). Items without
 * a range are about all of their inode; ranges are of whole pages.
 */
import type { TokenMode, TokenWant } from '../../fs/ports/token-service.ts'
import type { Epoch, Ino } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import type { Ranged } from './token-range.ts'

/** Most items in one message; longer lists are split. */
export const TOKEN_ITEMS_MAX = 1024
/** Most inodes one request can ask for. */
export const TOKEN_WANTS_MAX = 16
/** Requests of one member that may wait at the authority at a time. */
export const TOKEN_REQUESTS_MAX = 4096
/** Writers in a vector: the live ones and those the history still names. */
export const TOKEN_VECTOR_MAX = 1024

/** What the releaser keeps: the shared right, or nothing until it asks again. */
export type Left = 'shared' | 'none'

export interface WantMessage {
  readonly type: 'want'
  /** Never used again by this member in this epoch. */
  readonly request: number
  readonly wants: readonly TokenWant[]
}

/** The request is not waited for any more; a grant already under way stands and is given back. */
export interface CancelMessage {
  readonly type: 'cancel'
  readonly request: number
}

/** Without `range`: all that is left of the grant. */
export interface ReleaseItem extends Ranged {
  readonly ino: Ino
  readonly grant: number
  readonly left: Left
}

export interface ReleaseMessage {
  readonly type: 'release'
  readonly items: readonly ReleaseItem[]
  /** What the releaser had applied, its own ops under these tokens included (RULES 16). */
  readonly vector: Vector
}

/** The caches are dropped and nothing looks at what that note names any more. */
export interface NoteAckMessage {
  readonly type: 'note-ack'
  readonly number: number
}

/** What has to be applied to see all that was done to the inode until now? (see token-queries) */
export interface QueryMessage {
  readonly type: 'query'
  /** Never used again by this member in this epoch. */
  readonly request: number
  readonly ino: Ino
}

/** Answers a probe. */
export interface ProbedMessage {
  readonly type: 'probed'
  readonly number: number
  /** Nothing was done with the inode since the last probe. */
  readonly idle: boolean
  /** All that is applied there, its own ops included. */
  readonly vector: Vector
}

export type ToAuthority =
  | WantMessage
  | CancelMessage
  | ReleaseMessage
  | NoteAckMessage
  | QueryMessage
  | ProbedMessage

export interface NoteItem extends Ranged {
  readonly ino: Ino
}

/** These are exclusive elsewhere. Numbered per member from 1 in each epoch (RULES 17). */
export interface NoteMessage {
  readonly type: 'note'
  readonly number: number
  readonly items: readonly NoteItem[]
}

/** May give more of the inode than was asked for, never less. */
export interface GrantItem extends Ranged {
  readonly ino: Ino
  readonly mode: TokenMode
  /** Number of the exclusive grant, never used again in this epoch; 0 for shared. */
  readonly grant: number
}

export interface GrantMessage {
  readonly type: 'grant'
  readonly request: number
  readonly items: readonly GrantItem[]
  /** To be applied before anything is done under the grant. */
  readonly vector: Vector
}

/** Names the least to give up of that grant; the holder may give up more of it. */
export interface RecallItem extends Ranged {
  readonly ino: Ino
  readonly grant: number
  readonly left: Left
}

export interface RecallMessage {
  readonly type: 'recall'
  readonly items: readonly RecallItem[]
}

/** All notes on these inodes are void once `vector` is applied. */
export interface ClearMessage {
  readonly type: 'clear'
  readonly inos: readonly Ino[]
  readonly vector: Vector
}

/** Asks a holder how far it is; what it holds stays with it. */
export interface ProbeMessage {
  readonly type: 'probe'
  /** Never used again in this epoch. */
  readonly number: number
  readonly ino: Ino
}

/** Answers a query. `idle`: nobody is changing the inode just now. */
export interface ToldMessage {
  readonly type: 'told'
  readonly request: number
  readonly idle: boolean
  readonly vector: Vector
}

export type ToClient =
  | NoteMessage
  | GrantMessage
  | RecallMessage
  | ClearMessage
  | ProbeMessage
  | ToldMessage
export type TokenMessage = ToAuthority | ToClient

/** First on a connection and at the start of an epoch; `ack` = how many messages have arrived. */
export interface HelloPacket {
  readonly type: 'hello'
  readonly ack: number
  /** True when it answers a hello, so that it is not answered again. */
  readonly answer: boolean
}

export interface DataPacket<M = TokenMessage> {
  readonly type: 'data'
  /** From 1 in each epoch and direction. */
  readonly seq: number
  readonly ack: number
  readonly message: M
}

export interface AckPacket {
  readonly type: 'ack'
  readonly ack: number
}

/** What travels; the envelope around it names the epoch. */
export type LinkPacket<M> = HelloPacket | DataPacket<M> | AckPacket
export type TokenPacket = LinkPacket<TokenMessage>

export interface EpochPacket {
  readonly epoch: Epoch
  readonly packet: TokenPacket
}

export function isToAuthority(message: TokenMessage): message is ToAuthority {
  switch (message.type) {
    case 'want':
    case 'cancel':
    case 'release':
    case 'note-ack':
    case 'query':
    case 'probed':
      return true
    default:
      return false
  }
}
