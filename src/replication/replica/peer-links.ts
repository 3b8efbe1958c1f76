import type { MemberId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'
import type { BulkMessage, ControlMessage } from '../messages.ts'

/** The other members as the replica reaches them. Sending to one that is not connected is no error. */
export interface PeerLinks {
  /** Members with a control connection. */
  connected(): readonly MemberId[]
  bulkConnected(): readonly MemberId[]
  /** False when there is no connection, or this member says nothing any more; the message is dropped then. */
  sendControl(member: MemberId, message: ControlMessage): boolean
  /** Sends an entry within a moment, and before any later message to that member. */
  pushEntry(member: MemberId, entry: SealedEntry): void
  sendBulk(member: MemberId, message: BulkMessage): boolean
  /** Resolves when the queue of the connection is below its mark, or the connection is gone. */
  controlDrained(member: MemberId): Promise<void>
  bulkDrained(member: MemberId): Promise<void>
  /** Undefined when the next message leaves at once, or there is no connection; else wait and ask again. */
  bulkReady(member: MemberId): Promise<void> | undefined
  /** True when nothing has to wait for the queue. */
  controlHasRoom(member: MemberId): boolean
  bulkHasRoom(member: MemberId): boolean
}
