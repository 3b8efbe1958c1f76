/** The framed connections to the other members, as `PeerLinks`: encodes on the way out. */
import type { MemberId } from '../../fs/primitives.ts'
import { encodeBulk, encodeControl } from '../message-codec.ts'
import type { BulkMessage, ControlMessage } from '../messages.ts'
import type { PeerConnection } from '../transport/peer-connection.ts'
import type { PeerLinks } from './peer-links.ts'

const CONTROL_ROOM_BYTES = 4 * 1024 * 1024
const BULK_ROOM_BYTES = 8 * 1024 * 1024

export class Peers implements PeerLinks {
  readonly #control = new Map<MemberId, PeerConnection>()
  readonly #bulk = new Map<MemberId, PeerConnection>()

  add(connection: PeerConnection): void {
    this.#table(connection).set(connection.member, connection)
  }

  /** False when another connection has taken its place already. */
  remove(connection: PeerConnection): boolean {
    const table = this.#table(connection)
    if (table.get(connection.member) !== connection) return false
    return table.delete(connection.member)
  }

  isCurrent(connection: PeerConnection): boolean {
    return this.#table(connection).get(connection.member) === connection
  }

  connected(): readonly MemberId[] {
    return [...this.#control.keys()]
  }

  bulkConnected(): readonly MemberId[] {
    return [...this.#bulk.keys()]
  }

  sendControl(member: MemberId, message: ControlMessage): boolean {
    const connection = this.#control.get(member)
    if (!connection) return false
    const { type, parts } = encodeControl(message)
    connection.send(type, parts)
    return true
  }

  sendBulk(member: MemberId, message: BulkMessage): boolean {
    const connection = this.#bulk.get(member)
    if (!connection) return false
    const { type, parts } = encodeBulk(message)
    connection.send(type, parts)
    return true
  }

  async controlDrained(member: MemberId): Promise<void> {
    await this.#control.get(member)?.drained()
  }

  async bulkDrained(member: MemberId): Promise<void> {
    await this.#bulk.get(member)?.drained()
  }

  controlHasRoom(member: MemberId): boolean {
    return (this.#control.get(member)?.queuedBytes ?? 0) < CONTROL_ROOM_BYTES
  }

  bulkHasRoom(member: MemberId): boolean {
    return (this.#bulk.get(member)?.queuedBytes ?? 0) < BULK_ROOM_BYTES
  }

  cut(member: MemberId, reason: string): void {
    this.#control.get(member)?.close(reason)
    this.#bulk.get(member)?.close(reason)
  }

  #table(connection: PeerConnection): Map<MemberId, PeerConnection> {
    return connection.kind === 'control' ? this.#control : this.#bulk
  }
}
