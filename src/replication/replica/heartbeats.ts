/**
 * Heartbeats to every connected member, and the end of connections nobody answers on.
 *
 * A lease is asked for with each heartbeat. Invariant: a connection on which nothing was heard for
 * longer than any lease is cut, so that it is dialed anew: a network that swallows everything does
 * not end it by itself.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import type { LeaseOptions } from '../lease.ts'
import type { HeartbeatMessage } from '../messages.ts'
import type { PeerLinks } from './peer-links.ts'

export interface HeartbeatsComponents {
  readonly links: PeerLinks & { cut(member: MemberId, reason: string): void }
  readonly clock: Clock
  readonly logger: Logger
  readonly epoch: () => Epoch
  readonly heartbeat: (to: MemberId) => Omit<HeartbeatMessage, 'type' | 'sentMs' | 'epoch'>
}

export class Heartbeats {
  readonly #components: HeartbeatsComponents
  readonly #options: Pick<LeaseOptions, 'leaseMs' | 'marginMs'>
  readonly #heardMs = new Map<MemberId, number>()

  constructor(
    components: HeartbeatsComponents,
    options: Pick<LeaseOptions, 'leaseMs' | 'marginMs'>
  ) {
    this.#components = components
    this.#options = options
  }

  /** A sign of life, the connection itself included. */
  heard(member: MemberId): void {
    this.#heardMs.set(member, this.#components.clock.monotonicMs())
  }

  /** Milliseconds since the member was last heard, or undefined. */
  silentMs(member: MemberId): number | undefined {
    const heard = this.#heardMs.get(member)
    return heard === undefined ? undefined : this.#components.clock.monotonicMs() - heard
  }

  send(member: MemberId): void {
    const { links, clock, heartbeat, epoch } = this.#components
    const sentMs = Math.floor(clock.monotonicMs())
    links.sendControl(member, { type: 'heartbeat', epoch: epoch(), sentMs, ...heartbeat(member) })
  }

  /** To everybody connected. */
  sendAll(): void {
    for (const member of this.#components.links.connected()) this.send(member)
  }

  /** To everybody connected; who was silent for too long is cut instead. */
  beat(): void {
    const { links, logger } = this.#components
    const { leaseMs, marginMs } = this.#options
    for (const member of links.connected()) {
      if ((this.silentMs(member) ?? 0) > leaseMs + marginMs) {
        logger.warn({ member }, 'member is silent: connection cut')
        links.cut(member, 'silent for longer than a lease')
        continue
      }
      this.send(member)
    }
  }
}
