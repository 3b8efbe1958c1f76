/** Hands what comes over the connections to the part it is for. Malformed messages end the connection. */
import type NoiseSecretStream from '@hyperswarm/secret-stream'
import { unreachable } from '../../fs/assert.ts'
import { DecodeError } from '../../fs/byte-codec.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Hearing } from '../hearing.ts'
import type { LockNode } from '../lock/lock-node.ts'
import { decodeBulk, decodeControl } from '../message-codec.ts'
import type {
  AckMessage,
  BulkMessage,
  ControlMessage,
  HeartbeatMessage,
  OrphanAnswerMessage,
  OrphanQueryMessage,
  SignedMessage
} from '../messages.ts'
import type { RegisterNode } from '../register/register-node.ts'
import type { RoundTrips } from '../round-trips.ts'
import type { TokenNode } from '../token/token-node.ts'
import type { ConnectionHandlers } from '../transport/connections.ts'
import type { PeerConnection } from '../transport/peer-connection.ts'
import type { Vector } from '../vector.ts'
import type { CatchUp } from './catch-up.ts'
import type { DataParts } from './data-parts.ts'
import type { Intake } from './intake.ts'
import type { LockSurvey } from './lock-survey.ts'
import type { Membership } from './membership.ts'
import type { Peers } from './peers.ts'

export interface RouterComponents {
  readonly peers: Peers
  readonly membership: Membership
  readonly register: Pick<RegisterNode, 'receive'>
  readonly intake: Intake
  readonly catchUp: CatchUp
  readonly data: Pick<DataParts, 'slices' | 'backlog' | 'source' | 'transfer'>
  readonly tokens: TokenNode
  readonly locks: LockNode
  readonly survey: LockSurvey
  readonly roundTrips: RoundTrips
  readonly hearing: Hearing
  readonly logger: Logger
  readonly noteTraffic: (sizeBytes: number) => void
  readonly onHeartbeat: (from: MemberId, message: HeartbeatMessage) => void
  readonly onAck: (from: MemberId, message: AckMessage) => void
  readonly onSigned: (message: SignedMessage) => void
  readonly onSync: (from: MemberId, vector: Vector) => void
  readonly onOrphanQuery: (from: MemberId, message: OrphanQueryMessage) => void
  readonly onOrphanAnswer: (from: MemberId, message: OrphanAnswerMessage) => void
  readonly replicateLogs: (stream: NoiseSecretStream) => void
}

export class Router implements ConnectionHandlers {
  readonly #components: RouterComponents

  constructor(components: RouterComponents) {
    this.#components = components
  }

  onConnection(connection: PeerConnection): void {
    const { peers, membership, tokens, locks, intake } = this.#components
    peers.add(connection)
    if (connection.kind === 'bulk') {
      intake.bulkConnected(connection.member)
      return
    }
    tokens.peerConnected(connection.member)
    locks.peerConnected(connection.member)
    membership.onConnected(connection.member)
  }

  onClose(connection: PeerConnection): void {
    const { peers, membership, tokens, locks, roundTrips } = this.#components
    if (!peers.remove(connection)) return
    if (connection.kind === 'bulk') {
      this.#onBulkClosed(connection.member)
      return
    }
    roundTrips.forget(connection.member)
    tokens.peerDisconnected(connection.member)
    locks.peerDisconnected(connection.member)
    membership.onDisconnected(connection.member)
  }

  onLogStream(_member: MemberId, stream: NoiseSecretStream): void {
    this.#components.replicateLogs(stream)
  }

  onRemoved(by: MemberId): void {
    this.#components.membership.onRemoved(by)
  }

  onMessage(connection: PeerConnection, type: number, payload: Uint8Array): void {
    const { peers, logger, noteTraffic } = this.#components
    if (!peers.isCurrent(connection)) return
    noteTraffic(payload.length)
    const body = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    try {
      if (connection.kind === 'bulk') this.#onBulk(connection.member, decodeBulk(type, body))
      else this.#onControl(connection.member, decodeControl(type, body))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      logger.error({ member: connection.member, kind: connection.kind, error }, 'malformed message')
      connection.close(`malformed message: ${error.message}`)
    }
  }

  #onBulkClosed(member: MemberId): void {
    const { slices, backlog, source, transfer } = this.#components.data
    slices.onPeerGone(member)
    backlog.gone(member)
    source.gone(member)
    transfer.gone(member)
  }

  #onBulk(from: MemberId, message: BulkMessage): void {
    const { slices, backlog, source, transfer } = this.#components.data
    switch (message.type) {
      case 'fetch-state':
        source.onFetch(from, message)
        break
      case 'state-part':
        transfer.onPart(from, message)
        break
      case 'slice-reply':
        if (!backlog.onReply(from, message)) slices.onBulk(from, message)
        break
      default:
        slices.onBulk(from, message)
    }
  }

  #onControl(from: MemberId, message: ControlMessage): void {
    const { membership, intake, catchUp, tokens, locks } = this.#components
    switch (message.type) {
      case 'hello':
        membership.onHello(from, message)
        break
      case 'heartbeat':
        this.#components.roundTrips.heard(from, message.stamp)
        this.#components.hearing.heard(from, message.stamp)
        this.#components.onHeartbeat(from, message)
        membership.onHeartbeat(from, message)
        break
      case 'lease':
        membership.onLease(from, message)
        break
      case 'push':
        for (const entry of message.entries) {
          if (memberOf(entry.writer) !== from) throw new DecodeError('push of a foreign entry')
          intake.receive(from, entry, false)
        }
        break
      case 'ack':
        this.#components.onAck(from, message)
        break
      case 'sync':
        this.#components.onSync(from, message.vector)
        break
      case 'signed':
        if (memberOf(message.writer) !== from) throw new DecodeError('signature of a foreign log')
        this.#components.onSigned(message)
        break
      case 'fetch-entries':
        void catchUp.serve(from, message)
        break
      case 'entries':
        catchUp.onEntries(from, message)
        break
      case 'token':
        tokens.receive(from, message.epoch, message.body)
        break
      case 'lock':
        locks.receive(from, message.epoch, message.body)
        break
      case 'lock-query':
        this.#components.survey.onQuery(from, message)
        break
      case 'lock-rows':
        this.#components.survey.onRows(from, message)
        break
      case 'seal':
        membership.onSeal(from, message)
        break
      case 'sealed':
        membership.onSealed(from, message)
        break
      case 'record':
        membership.onRecord(from, message)
        break
      case 'join':
        membership.onJoin(from, message)
        break
      case 'leave':
        membership.onLeave(from, message)
        break
      case 'register':
        this.#components.register.receive(from, message.body)
        break
      case 'members':
        membership.onMembers(message)
        break
      case 'orphan-query':
        this.#components.onOrphanQuery(from, message)
        break
      case 'orphan-answer':
        this.#components.onOrphanAnswer(from, message)
        break
      default:
        unreachable(message)
    }
  }
}
