/** The framed connections to the other members, as `PeerLinks`: encodes on the way out. */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { SealedEntry } from '../entry.ts'
import type { WireMessage } from '../message-codec.ts'
import { encodeBulk, encodeControl } from '../message-codec.ts'
import type { BulkMessage, ControlMessage } from '../messages.ts'
import type { PeerConnection } from '../transport/peer-connection.ts'
import type { PeerLinks } from './peer-links.ts'

/** What a crash of this member can take from the others, of what nobody has asked to be durable. */
const PUSH_MS = 2
const PUSH_BYTES = 256 * 1024
const PUSH_ENTRIES = 256
const CONTROL_ROOM_BYTES = 4 * 1024 * 1024
const BULK_ROOM_BYTES = 8 * 1024 * 1024

/** Entries on their way to one member. */
interface Push {
  readonly entries: SealedEntry[]
  bytes: number
  readonly timer: Timer
}

export interface PeersComponents {
  readonly clock: Clock
  /**
   * What is said to a member is said behind all that was answered here: closes the open entry. False when that
   * failed: then nothing is said any more, as somebody would go on without an op that was answered (a token given away).
   */
  readonly beforeSaid?: () => boolean
  /** A message with so many bytes of content goes out. */
  readonly noteTraffic: (sizeBytes: number) => void
}

export class Peers implements PeerLinks {
  readonly #clock: Clock
  readonly #beforeSaid: (() => boolean) | undefined
  readonly #noteTraffic: (sizeBytes: number) => void
  readonly #pushes = new Map<MemberId, Push>()
  readonly #control = new Map<MemberId, PeerConnection>()
  readonly #bulk = new Map<MemberId, PeerConnection>()

  constructor(components: PeersComponents) {
    this.#clock = components.clock
    this.#beforeSaid = components.beforeSaid
    this.#noteTraffic = components.noteTraffic
  }

  add(connection: PeerConnection): void {
    this.#table(connection).set(connection.member, connection)
  }

  /** False when another connection has taken its place already. */
  remove(connection: PeerConnection): boolean {
    const table = this.#table(connection)
    if (table.get(connection.member) !== connection) return false
    if (connection.kind === 'control') this.#dropPush(connection.member)
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

  /**
   * One message for each entry would cost more than the entry, at both ends; they are gathered for PUSH_MS, and
   * leave at once when something else is said to that member (a token given away, a sync).
   */
  pushEntry(member: MemberId, entry: SealedEntry): void {
    if (!this.#control.has(member)) return
    let push = this.#pushes.get(member)
    if (!push) {
      const timer = this.#clock.setTimer(PUSH_MS, () => this.#flushPush(member))
      push = { entries: [], bytes: 0, timer }
      this.#pushes.set(member, push)
    }
    push.entries.push(entry)
    push.bytes += entry.head.length + entry.payload.length
    if (push.bytes >= PUSH_BYTES || push.entries.length >= PUSH_ENTRIES) this.#flushPush(member)
  }

  sendControl(member: MemberId, message: ControlMessage): boolean {
    if (this.#beforeSaid?.() === false) return false
    this.#flushPush(member)
    return this.#send(member, message)
  }

  #flushPush(member: MemberId): void {
    const push = this.#dropPush(member)
    if (push) this.#send(member, { type: 'push', entries: push.entries })
  }

  #dropPush(member: MemberId): Push | undefined {
    const push = this.#pushes.get(member)
    push?.timer.cancel()
    this.#pushes.delete(member)
    return push
  }

  #send(member: MemberId, message: ControlMessage): boolean {
    const connection = this.#control.get(member)
    if (!connection) return false
    this.#sendParts(connection, encodeControl(message))
    return true
  }

  sendBulk(member: MemberId, message: BulkMessage): boolean {
    const connection = this.#bulk.get(member)
    if (!connection) return false
    this.#sendParts(connection, encodeBulk(message))
    return true
  }

  #sendParts(connection: PeerConnection, { type, parts }: WireMessage): void {
    let sizeBytes = 0
    for (const part of parts) sizeBytes += part.length
    this.#noteTraffic(sizeBytes)
    connection.send(type, parts)
  }

  async controlDrained(member: MemberId): Promise<void> {
    await this.#control.get(member)?.drained()
  }

  async bulkDrained(member: MemberId): Promise<void> {
    await this.#bulk.get(member)?.drained()
  }

  bulkReady(member: MemberId): Promise<void> | undefined {
    return this.#bulk.get(member)?.ready()
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
