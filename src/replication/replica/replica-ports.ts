/**
 * What a replica needs from the machine, for one incarnation: its stores, its connections, and
 * when the event-loop turn ends. `openReplica` puts in the real ones.
 */
import type { WriterId } from '../../fs/primitives.ts'
import type { DueSliceTable } from '../../fs/state/due-slice-table.ts'
import type { Defer } from '../defer.ts'
import type { EpochRecord } from '../record.ts'
import type { VoterState } from '../register/voter.ts'
import type { ForeignLog } from '../storage/foreign-log.ts'
import type { Journal } from '../storage/journal.ts'
import type { OpenEntryFile } from '../storage/open-entry.ts'
import type { OwnLog } from '../storage/own-log.ts'
import type { SegmentStore } from '../storage/segment-store.ts'
import type { StateDirectory } from '../storage/state-directory.ts'
import type { StateExchange } from '../storage/state-exchange.ts'
import type { WriterLogs } from '../storage/writer-logs.ts'
import type { ConnectionHandlers } from '../transport/connections.ts'
import type { Vector } from '../vector.ts'
import type { Invitations } from '../volume/invitations.ts'
import type { InviteBook } from '../volume/invite-book.ts'
import type { EntryShelf } from './entry-shelf.ts'

export type ReplicaJournal = Pick<
  Journal,
  'append' | 'sync' | 'syncNow' | 'appended' | 'entries' | 'prune' | 'stats' | 'close'
>

export type ReplicaOpenEntry = Pick<OpenEntryFile, 'put' | 'close'>

export type ReplicaSegments = Pick<
  SegmentStore,
  | 'append'
  | 'appendLarge'
  | 'writeAt'
  | 'writeEach'
  | 'readSync'
  | 'readRun'
  | 'crc32'
  | 'readBytes'
  | 'readNamed'
  | 'verifySha'
  | 'markUnsynced'
  | 'syncUnsynced'
  | 'syncSegments'
  | 'syncSegmentsNow'
  | 'canPunch'
  | 'punch'
  | 'freeSpace'
  | 'close'
>

export type ReplicaShelf = Pick<EntryShelf, 'put' | 'get' | 'oldest' | 'remove'>

export type ReplicaDueSlices = Pick<DueSliceTable, 'left' | 'after' | 'settle'>

export type ReplicaOwnLog = Pick<
  OwnLog,
  'key' | 'length' | 'append' | 'appendMissing' | 'hasRoom' | 'room' | 'read' | 'watch'
>

export type ReplicaForeignLog = Pick<ForeignLog, 'deliver' | 'extend' | 'check' | 'read'>

export interface ReplicaLogs extends Pick<WriterLogs, 'replicate' | 'flush' | 'remove' | 'close'> {
  own(writer: WriterId): ReplicaOwnLog | undefined
  foreign(writer: WriterId): ReplicaForeignLog | undefined
  reopen(writer: WriterId): Promise<ReplicaOwnLog>
  follow(writer: WriterId, key: Buffer): Promise<ReplicaForeignLog>
}

export interface ReplicaConnections {
  start(): Promise<void>
  stop(): Promise<void>
  /** The record names other members. */
  membersChanged(): void
}

/** What the connections need from the replica they belong to. */
export interface ConnectionsOwner {
  readonly handlers: ConnectionHandlers
  readonly record: () => EpochRecord
  readonly joinGate: Invitations
}

export interface ReplicaPorts {
  readonly writer: WriterId
  readonly journal: ReplicaJournal
  /** Without it an entry is closed at the end of each turn. */
  readonly openEntry: ReplicaOpenEntry | undefined
  readonly segments: ReplicaSegments
  readonly logs: ReplicaLogs
  readonly ownLog: ReplicaOwnLog
  readonly shelf: ReplicaShelf
  /** Bytes that the state names and that are not here yet. */
  readonly due: ReplicaDueSlices
  /** Whole states from and to other members. */
  readonly exchange: Pick<StateExchange, 'copy' | 'copyBytesMax' | 'receive'>
  /** What journal and state together hold at the start. */
  readonly held: Vector
  readonly inoRanges: Pick<StateDirectory, 'nextInoRange'>
  /** Durable on return. */
  readonly saveRecord: (record: EpochRecord) => void
  /** Durable on return. */
  readonly saveVoter: (state: VoterState) => void
  readonly saveInvites: (book: InviteBook) => void
  readonly connect: (owner: ConnectionsOwner) => ReplicaConnections
  readonly defer: Defer
}
