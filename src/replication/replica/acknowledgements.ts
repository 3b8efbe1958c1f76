/**
 * Acknowledgements to the other members: says what is `received` and what is `durable` here, in
 * one message for many entries. What is durable is said at the end of the event-loop turn, since
 * an fsync may wait for it; what is only received waits a little for something to go with.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { Defer } from '../defer.ts'
import type { Vector } from '../vector.ts'
import type { PeerLinks } from './peer-links.ts'

/** Acknowledgements of `received` are gathered for so long. */
const ACK_MS = 20

export interface AcknowledgementsComponents {
  readonly links: Pick<PeerLinks, 'sendControl'>
  /** What is applied here, of the live writers. */
  readonly received: () => Vector
  /** What is durable here, of the live writers. */
  readonly durable: () => Vector
  readonly clock: Clock
  readonly defer: Defer
}

export class Acknowledgements {
  readonly #components: AcknowledgementsComponents
  readonly #members = new Set<MemberId>()
  #soon: Timer | undefined
  #later: Timer | undefined

  constructor(components: AcknowledgementsComponents) {
    this.#components = components
  }

  /** These members hear at the end of this turn. */
  soon(members: Iterable<MemberId>): void {
    for (const member of members) this.#members.add(member)
    this.#soon ??= this.#components.defer(() => this.#send())
  }

  /** These members hear with the next acknowledgement, or a little later. */
  later(members: Iterable<MemberId>): void {
    for (const member of members) this.#members.add(member)
    this.#later ??= this.#components.clock.setTimer(ACK_MS, () => this.#send())
  }

  stop(): void {
    this.#soon?.cancel()
    this.#later?.cancel()
  }

  #send(): void {
    this.#soon = undefined
    this.#later?.cancel()
    this.#later = undefined
    const received = this.#components.received()
    const durable = this.#components.durable()
    for (const member of this.#members) {
      this.#components.links.sendControl(member, { type: 'ack', received, durable })
    }
    this.#members.clear()
  }
}
