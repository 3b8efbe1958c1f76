/**
 * A member's links in one of the protocols between authority and clients (tokens, file locks): from
 * the authority one to every other live member, else one to the authority. Bytes in, bytes out.
 * Keeps RULES 18 with TokenLink: what is of another epoch is dropped before it is even read.
 */
import { DecodeError } from '../../fs/byte-codec.ts'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import { type LinkEvent, TokenLink } from './token-link.ts'
import type { LinkPacket } from './token-message.ts'

export interface MemberLinksComponents<M> {
  encode(packet: LinkPacket<M>): Buffer
  /** Throws DecodeError. */
  decode(body: Buffer): LinkPacket<M>
  /** Sends a packet on the control connection to that member, if there is one; else drops it. */
  sendPacket(to: MemberId, epoch: Epoch, body: Buffer): void
  /** Each message of the epoch once, in the order of that member's `send`. */
  deliver(from: MemberId, message: M): void
  /** That member breaks the protocol. */
  onViolation(member: MemberId, reason: string): void
}

export class MemberLinks<M> {
  readonly #components: MemberLinksComponents<M>
  /** Of the protocol, for reports. */
  readonly #name: string
  readonly #links = new Map<MemberId, TokenLink<M>>()
  readonly #connected = new Set<MemberId>()
  #epoch = 0 as Epoch

  constructor(components: MemberLinksComponents<M>, options: { readonly name: string }) {
    this.#components = components
    this.#name = options.name
  }

  /** What was not confirmed in the last epoch is forgotten. */
  startEpoch(epoch: Epoch, peers: readonly MemberId[]): void {
    this.#epoch = epoch
    for (const id of this.#links.keys()) if (!peers.includes(id)) this.#links.delete(id)
    for (const id of peers) {
      if (!this.#links.has(id)) {
        this.#links.set(id, new TokenLink())
        if (this.#connected.has(id)) this.#step(id, { type: 'connected' })
      }
      this.#step(id, { type: 'epoch', epoch })
    }
  }

  peerConnected(member: MemberId): void {
    this.#connected.add(member)
    this.#step(member, { type: 'connected' })
  }

  peerDisconnected(member: MemberId): void {
    this.#connected.delete(member)
    this.#step(member, { type: 'disconnected' })
  }

  send(to: MemberId, message: M): void {
    this.#step(to, { type: 'send', message })
  }

  /** A packet from that member's current connection. */
  receive(from: MemberId, epoch: Epoch, body: Buffer): void {
    if (epoch !== this.#epoch || !this.#links.has(from)) return
    let packet: LinkPacket<M>
    try {
      packet = this.#components.decode(body)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.#components.onViolation(from, `${this.#name} packet: ${error.message}`)
      return
    }
    this.#step(from, { type: 'packet', epoch, packet })
  }

  #step(member: MemberId, event: LinkEvent<M>): void {
    const link = this.#links.get(member)
    if (link === undefined) return
    const { encode, sendPacket, deliver, onViolation } = this.#components
    for (const effect of link.step(event)) {
      switch (effect.type) {
        case 'transmit':
          sendPacket(member, effect.epoch, encode(effect.packet))
          break
        case 'deliver':
          deliver(member, effect.message)
          break
        case 'violation':
          onViolation(member, effect.reason)
          break
      }
    }
  }
}
