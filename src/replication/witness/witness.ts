/**
 * A witness: a member that votes on the epoch record and keeps the newest one, and nothing else. It
 * holds no data and is in no I/O path; it never leads.
 *
 * Invariant: what its voter promised or accepted is durable before it is told (register/voter.ts).
 */
import { DecodeError } from '../../fs/byte-codec.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import { Beat } from '../beat.ts'
import { Hearing } from '../hearing.ts'
import type { LeaseOptions } from '../lease.ts'
import { decodeControl } from '../message-codec.ts'
import type { ControlMessage, RecordMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import { RegisterNode } from '../register/register-node.ts'
import type { VoterState } from '../register/voter.ts'
import { Peers } from '../replica/peers.ts'
import type { ReplicaConnections } from '../replica/replica-ports.ts'
import { RoundTrips } from '../round-trips.ts'
import type { ConnectionHandlers } from '../transport/connections.ts'
import type { PeerConnection } from '../transport/peer-connection.ts'

export interface WitnessComponents {
  readonly self: MemberId
  /** The last record this member made durable. */
  readonly record: EpochRecord
  readonly voter: VoterState
  /** Both durable on return. */
  readonly saveVoter: (state: VoterState) => void
  readonly saveRecord: (record: EpochRecord) => void
  readonly connect: (owner: {
    readonly handlers: ConnectionHandlers
    readonly record: () => EpochRecord
  }) => ReplicaConnections
  readonly clock: Clock
  readonly logger: Logger
  readonly random: () => number
  /** The volume goes on without this member. */
  readonly onRemoved: () => void
}

export class Witness implements ConnectionHandlers {
  readonly #components: WitnessComponents
  readonly #options: LeaseOptions
  readonly #peers: Peers
  readonly #register: RegisterNode
  readonly #connections: ReplicaConnections
  readonly #heardMs = new Map<MemberId, number>()
  readonly #roundTrips: RoundTrips
  readonly #hearing: Hearing
  #record: EpochRecord
  readonly #beat: Beat

  constructor(components: WitnessComponents, options: LeaseOptions) {
    this.#components = components
    this.#options = options
    const { self, clock, logger, random, voter, saveVoter, record } = components
    this.#record = record
    this.#peers = new Peers({ clock, noteTraffic: () => {} })
    this.#roundTrips = new RoundTrips({ clock })
    this.#hearing = new Hearing(options)
    this.#register = new RegisterNode(
      {
        self,
        record: () => this.#record,
        voterState: voter,
        saveVoter,
        onPending: () => {},
        links: this.#peers,
        clock,
        random,
        logger,
        isDeaf: (member) => this.#hearing.isDeaf(member),
        mayCampaign: () => false,
        // Who is removed stops: the leader has to hear the answer first, and says so itself then.
        onChosen: (news) => {
          if (news.members.some((m) => m.id === self)) this.#learn(news)
        },
        onElected: () => {},
        onDeposed: () => {}
      },
      options
    )
    this.#beat = new Beat({ clock, work: () => this.#tick() }, { periodMs: options.heartbeatMs })
    this.#connections = components.connect({ handlers: this, record: () => this.#record })
  }

  get record(): EpochRecord {
    return this.#record
  }

  connected(): readonly MemberId[] {
    return this.#peers.connected()
  }

  /** Milliseconds; undefined when nothing was measured. */
  roundTripMs(member: MemberId): number | undefined {
    return this.#roundTrips.leastMs(member)
  }

  /** Rejects when the listen address cannot be had. */
  async start(): Promise<void> {
    await this.#connections.start()
    this.#beat.start()
  }

  async stop(): Promise<void> {
    this.#beat.stop()
    this.#register.stop()
    await this.#connections.stop()
  }

  onConnection(connection: PeerConnection): void {
    this.#peers.add(connection)
    if (connection.kind !== 'control') return
    this.#heardMs.set(connection.member, this.#components.clock.monotonicMs())
    this.#sendHeartbeat(connection.member)
    this.#send(connection.member, { type: 'record', record: this.#record, leads: false })
  }

  onClose(connection: PeerConnection): void {
    if (!this.#peers.remove(connection) || connection.kind !== 'control') return
    this.#roundTrips.forget(connection.member)
  }

  onLogStream(): void {
    // A data member knows that there is no log here.
  }

  onRemoved(by: MemberId): void {
    this.#components.logger.warn({ by }, 'this witness was removed from the volume')
    this.#components.onRemoved()
  }

  onMessage(connection: PeerConnection, type: number, payload: Uint8Array): void {
    if (!this.#peers.isCurrent(connection) || connection.kind !== 'control') return
    const body = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    this.#heardMs.set(connection.member, this.#components.clock.monotonicMs())
    try {
      this.#onControl(connection.member, decodeControl(type, body))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.#components.logger.error({ member: connection.member, error }, 'malformed message')
      connection.close(`malformed message: ${error.message}`)
    }
  }

  #onControl(from: MemberId, message: ControlMessage): void {
    switch (message.type) {
      case 'heartbeat':
        this.#roundTrips.heard(from, message.stamp)
        this.#hearing.heard(from, message.stamp)
        if (from === this.#record.authority) this.#beat.follow()
        break
      case 'record':
        this.#onRecord(message)
        break
      case 'register':
        this.#register.receive(from, message.body)
        break
      case 'lock-query':
        this.#send(from, { type: 'lock-rows', query: message.query, rows: [] })
        break
      default:
      // Everything else is about data.
    }
  }

  #onRecord({ record }: RecordMessage): void {
    if (record.volumeId === this.#record.volumeId) this.#learn(record)
  }

  #learn(record: EpochRecord): void {
    if (record.epoch <= this.#record.epoch) return
    const { saveRecord, self, onRemoved, logger } = this.#components
    saveRecord(record)
    this.#record = record
    logger.info({ epoch: record.epoch, authority: record.authority }, 'new epoch')
    this.#register.known(record)
    this.#connections.membersChanged()
    if (!record.members.some((m) => m.id === self)) onRemoved()
  }

  #tick(): void {
    const { clock } = this.#components
    const { leaseMs, marginMs } = this.#options
    this.#register.beat()
    const nowMs = clock.monotonicMs()
    for (const member of this.#peers.connected()) {
      const silentMs = nowMs - (this.#heardMs.get(member) ?? nowMs)
      if (silentMs > leaseMs + marginMs) this.#peers.cut(member, 'silent for longer than a lease')
      else this.#sendHeartbeat(member)
    }
  }

  #sendHeartbeat(member: MemberId): void {
    const { clock } = this.#components
    this.#send(member, {
      type: 'heartbeat',
      epoch: this.#record.epoch,
      sentMs: Math.floor(clock.monotonicMs()),
      applied: new Map(),
      checkpointed: new Map(),
      checkpointEpoch: 0 as Epoch | 0,
      space: { totalBytes: 0, availableBytes: 0 },
      stamp: this.#roundTrips.stamp(member)
    })
  }

  #send(member: MemberId, message: ControlMessage): void {
    this.#peers.sendControl(member, message)
  }
}
