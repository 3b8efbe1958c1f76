/**
 * What the lock authority and its clients say to each other, and the bounds of it. A message
 * belongs to one epoch: the link carries the epoch and drops every other (RULES 18). Owners are
 * named without their member, which is the one at the other end of the link.
 */
import type { LockKind, LockType } from '../../fs/ports/lock-service.ts'
import type { ByteRange, TokenMode } from '../../fs/ports/token-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'

/** Requests of one member that may be open at a time; more get ENOLCK. */
export const LOCK_REQUESTS_MAX = 4096
/** Locks that processes of one member may hold; more get ENOLCK. */
export const LOCKS_HELD_MAX = 65_536
/** Items in one message; longer lists are sent in parts. */
export const LOCK_ITEMS_MAX = 1024

/** Whose lock, which kind, which bytes: common to all that follows. */
export interface LockSpan {
  readonly ino: Ino
  readonly kind: LockKind
  readonly owner: bigint
  readonly pid: number
  readonly start: bigint
  readonly end: bigint
}

/**
 * Asks for a lock, an unlock, or (query) what would be in the way. Answered once, by an `answer`,
 * a `conflict` or a `delegate` of its inode.
 */
export interface LockWantMessage extends LockSpan {
  readonly type: 'want'
  /** Never used again by this member in this incarnation. */
  readonly request: number
  readonly action: LockAction
  readonly lock: LockType | 'unlock'
  /** The token request to make for this member when its lock is granted by the authority. */
  readonly bring?: LockBring
}

/** A token request about the inode of the lock, reserved by its member under that number. */
export interface LockBring {
  readonly request: number
  readonly mode: TokenMode
  readonly range: ByteRange
}

/** 'wait' queues where 'try' fails. */
export type LockAction = 'try' | 'wait' | 'query'

/** Its want is to be answered now: granted if it was, else cancelled. */
export interface LockCancelMessage {
  readonly type: 'cancel'
  readonly request: number
}

export interface LockHold extends LockSpan {
  readonly lock: LockType
  /** How long it has been held. */
  readonly ageMs: number
}

export interface LockWaiting extends LockSpan {
  readonly request: number
  readonly lock: LockType
  readonly ageMs: number
}

/** Gives a delegation back with all there is on that inode; the last part ends it. */
export interface LockYieldMessage {
  readonly type: 'yield'
  readonly ino: Ino
  readonly delegation: number
  readonly holds: readonly LockHold[]
  readonly waiters: readonly LockWaiting[]
  readonly last: boolean
}

/**
 * At the start of an epoch: what this member's processes hold. Then all open requests are asked
 * again, then the last part says that this was all.
 */
export interface LockAssertMessage {
  readonly type: 'assert'
  readonly holds: readonly LockHold[]
  readonly last: boolean
}

/** One wait inside a delegation; both owners are of the delegate. */
export interface LockEdge {
  readonly ino: Ino
  readonly waiter: bigint
  readonly request: number
  readonly holder: bigint
  readonly serial: number
}

export interface LockEdgesMessage {
  readonly type: 'edges'
  readonly round: number
  readonly edges: readonly LockEdge[]
  readonly last: boolean
}

export type LockToAuthority =
  | LockWantMessage
  | LockCancelMessage
  | LockYieldMessage
  | LockAssertMessage
  | LockEdgesMessage

/** 'granted' also answers an unlock, and a cancel that came too late. */
export type LockResult = 'granted' | 'again' | 'deadlock' | 'cancelled' | 'no-locks'

export interface LockAnswerMessage {
  readonly type: 'answer'
  readonly request: number
  readonly result: LockResult
  /** It had to wait, or others wait there now. */
  readonly contended: boolean
}

export interface LockConflictMessage {
  readonly type: 'conflict'
  readonly request: number
  readonly conflict: LockConflictBody | undefined
}

export interface LockConflictBody {
  readonly kind: LockKind
  readonly type: LockType
  readonly start: bigint
  readonly end: bigint
  readonly member: MemberId
  readonly pid: number
}

/**
 * This member alone uses the locks of that inode: what it holds of it is all there is, and it
 * decides about its open requests and all that follow until it yields.
 */
export interface LockDelegateMessage {
  readonly type: 'delegate'
  readonly ino: Ino
  /** Never used again in this epoch. */
  readonly delegation: number
}

export interface LockRecallMessage {
  readonly type: 'recall'
  readonly ino: Ino
  readonly delegation: number
}

export interface LockCollectMessage {
  readonly type: 'collect'
  readonly round: number
}

export type LockToClient =
  | LockAnswerMessage
  | LockConflictMessage
  | LockDelegateMessage
  | LockRecallMessage
  | LockCollectMessage

export type LockMessage = LockToAuthority | LockToClient

export function isToLockAuthority(message: LockMessage): message is LockToAuthority {
  switch (message.type) {
    case 'want':
    case 'cancel':
    case 'yield':
    case 'assert':
    case 'edges':
      return true
    default:
      return false
  }
}
