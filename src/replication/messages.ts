/**
 * What members say to each other. Control messages keep their order on the control connection;
 * bulk messages carry file data and never stand in front of a control message.
 */

import { SLICE_MAX_BYTES } from '../fs/op.ts'
import type { LockRow } from '../fs/ports/lock-service.ts'
import type { Epoch, Ino, MemberId, SegmentId, Seq, WriterId } from '../fs/primitives.ts'
import type { SealedEntry } from './entry.ts'
import type { MemberChange } from './epoch/member-change.ts'
import type { EpochRecord } from './record.ts'
import type { Ballot } from './register/ballot.ts'
import type { HeartbeatStamp } from './round-trips.ts'
import type { Vector } from './vector.ts'

/** First on every control connection, both ways. */
export interface HelloMessage {
  readonly type: 'hello'
  readonly writer: WriterId
  /** Key of the writer's hypercore, hex. */
  readonly coreKey: string
  /** Epoch of the record this member has. */
  readonly epoch: Epoch
  /** Entries this member holds (journaled), of every writer it knows, up to the cuts it knows. */
  readonly held: Vector
  /** The same process said hello before with this writer and goes on with its state. */
  readonly serving: boolean
}

export interface DiskSpace {
  readonly totalBytes: number
  readonly availableBytes: number
}

/** Every heartbeat interval, both ways; the authority's answer to one renews the lease. */
export interface HeartbeatMessage {
  readonly type: 'heartbeat'
  readonly epoch: Epoch
  /** Sender's monotonic clock when it was sent, in whole milliseconds. */
  readonly sentMs: number
  readonly applied: Vector
  /** What the sender's durable checkpoint contains of the writers live in `checkpointEpoch`. */
  readonly checkpointed: Vector
  /** Everything up to the cuts of this epoch is in the checkpoint as well. */
  readonly checkpointEpoch: Epoch | 0
  readonly space: DiskSpace
  readonly stamp: HeartbeatStamp
}

/** The authority's promise: your lease runs until `sentMs` (of your clock) + leaseMs. */
export interface LeaseMessage {
  readonly type: 'lease'
  readonly epoch: Epoch
  readonly sentMs: number
  readonly leaseMs: number
}

/** Entries as their writer makes them, in order; each belongs to the sender's writer. */
export interface PushMessage {
  readonly type: 'push'
  readonly entries: readonly SealedEntry[]
}

export interface AckMessage {
  readonly type: 'ack'
  readonly received: Vector
  readonly durable: Vector
}

/** The sender's writer has signed its log up to that entry (one hypercore signature of all of it). */
export interface SignedMessage {
  readonly type: 'signed'
  readonly writer: WriterId
  readonly seq: Seq
  readonly signature: Buffer
}

/** Asks for `durable` of at least this vector as soon as it can be had. */
export interface SyncMessage {
  readonly type: 'sync'
  readonly vector: Vector
}

export interface FetchEntriesMessage {
  readonly type: 'fetch-entries'
  readonly writer: WriterId
  readonly from: Seq
  readonly to: Seq
}

/** Answer to fetch-entries, from the first asked on, possibly fewer; none = not to be had here. */
export interface EntriesMessage {
  readonly type: 'entries'
  readonly writer: WriterId
  readonly from: Seq
  readonly entries: readonly SealedEntry[]
}

/** A message of the file-lock protocol, encoded by its own codec. */
export interface LockEnvelope {
  readonly type: 'lock'
  readonly epoch: Epoch
  readonly body: Buffer
}

/** A message of the token protocol, encoded by its own codec. */
export interface TokenEnvelope {
  readonly type: 'token'
  readonly epoch: Epoch
  readonly body: Buffer
}

/** Stop serving, make what you hold durable and say what it is: epoch `epoch` comes next. */
export interface SealMessage {
  readonly type: 'seal'
  /** Of the leader that seals; a lower one than was seen before is not obeyed. */
  readonly ballot: Ballot
  readonly epoch: Epoch
  /** Number of this seal, for its answer. */
  readonly round: number
  /** Second round: hold at least this before answering. Empty in the first. */
  readonly cuts: Vector
}

export interface SealedMessage {
  readonly type: 'sealed'
  readonly epoch: Epoch
  /** Of the seal that is answered. */
  readonly round: number
  readonly held: Vector
}

/** A record that was chosen by a majority. */
export interface RecordMessage {
  readonly type: 'record'
  readonly record: EpochRecord
  /** The sender leads: there is no newer one. */
  readonly leads: boolean
}

/**
 * A member that caught up asks to become live, or (live) to enter the in-sync set; one whose seal
 * was followed by nothing asks for a record that ends it.
 */
export interface JoinMessage {
  readonly type: 'join'
  readonly epoch: Epoch
  readonly want: 'live' | 'in-sync' | 'unsealed'
}

/** A message about the epoch register, encoded by its own codec. */
export interface RegisterEnvelope {
  readonly type: 'register'
  readonly body: Buffer
}

/** To the authority: change the member list. */
export interface MembersMessage {
  readonly type: 'members'
  readonly change: MemberChange
}

/** The sender is about to stop: leave it out of the next record, with all it has written. */
export interface LeaveMessage {
  readonly type: 'leave'
  readonly epoch: Epoch
}

/** Which file locks do your processes hold or wait for? */
export interface LockQueryMessage {
  readonly type: 'lock-query'
  readonly query: number
}

export interface LockRowsMessage {
  readonly type: 'lock-rows'
  readonly query: number
  readonly rows: readonly LockRow[]
}

/** Which of these orphans are closed with you for good? */
export interface OrphanQueryMessage {
  readonly type: 'orphan-query'
  readonly epoch: Epoch
  readonly query: number
  readonly inos: readonly Ino[]
}

export interface OrphanAnswerMessage {
  readonly type: 'orphan-answer'
  readonly epoch: Epoch
  readonly query: number
  readonly closed: readonly Ino[]
  /** What the sender had applied, its last writes to those inodes included. */
  readonly applied: Vector
}

export type ControlMessage =
  | HelloMessage
  | HeartbeatMessage
  | LeaseMessage
  | PushMessage
  | AckMessage
  | SyncMessage
  | SignedMessage
  | FetchEntriesMessage
  | EntriesMessage
  | TokenEnvelope
  | LockEnvelope
  | SealMessage
  | SealedMessage
  | RecordMessage
  | JoinMessage
  | LeaveMessage
  | RegisterEnvelope
  | MembersMessage
  | LockQueryMessage
  | LockRowsMessage
  | OrphanQueryMessage
  | OrphanAnswerMessage

/** Most whole slices of one push; what is left of its write, less than a slice, may come with them. */
const PUSH_SLICES_MAX = 4
export const PUSH_MAX_BYTES = (PUSH_SLICES_MAX + 1) * SLICE_MAX_BYTES - 1

/**
 * Slices behind each other in a segment, each SLICE_MAX_BYTES long but for the last, sent ahead of the
 * entry that names them.
 */
export interface SlicePush {
  readonly type: 'slice'
  readonly segment: SegmentId
  readonly offset: number
  readonly data: Buffer
}

export interface SliceFetch {
  readonly type: 'fetch-slice'
  readonly segment: SegmentId
  readonly offset: number
  readonly length: number
}

/** Answer to fetch-slice of that place; `data` undefined = this member cannot give it. */
export interface SliceReply {
  readonly type: 'slice-reply'
  readonly segment: SegmentId
  readonly offset: number
  /** What was asked for, and the length of the data. */
  readonly length: number
  readonly data: Buffer | undefined
}

/** Asks for a part of a copy of the sender's whole state; a new number asks for a new copy. */
export interface StateFetch {
  readonly type: 'fetch-state'
  /** The asker's number for the copy. */
  readonly copy: number
  readonly offset: number
  readonly length: number
}

/** Answer to fetch-state. `refused`: not to be had here; `preparing`: ask again in a moment. */
export interface StatePart {
  readonly type: 'state-part'
  readonly copy: number
  readonly status: 'refused' | 'preparing' | 'there'
  readonly offset: number
  /** Length of the whole copy, and its sha256; 0 and empty unless the part is there. */
  readonly totalBytes: number
  readonly sha256: Buffer
  readonly data: Buffer
}

export type BulkMessage = SlicePush | SliceFetch | SliceReply | StateFetch | StatePart

/** Whose heartbeat, ack or answer it is comes from the connection, never from the message. */
export type From = MemberId
