/**
 * The link between the authority and one client, of tokens or of file locks: within an epoch it delivers each message exactly
 * once and in order, over connections that come and go. Owns the messages not yet confirmed.
 * Invariant: `received` messages were handed out, in order; every unconfirmed one is kept.
 * Keeps RULES 18: packets of other epochs are dropped; a peer that enters the epoch later says
 * hello and gets everything again. Pure: no clock, no I/O.
 */
import type { Epoch } from '../../fs/primitives.ts'
import type { LinkPacket, TokenMessage } from './token-message.ts'

/** Received messages after which a bare ack goes out when nothing else carries it. */
const ACK_EVERY = 32

export type LinkEvent<M = TokenMessage> =
  /** Also without connection: the link starts anew, what was unconfirmed is forgotten. */
  | { readonly type: 'epoch'; readonly epoch: Epoch }
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected' }
  | { readonly type: 'send'; readonly message: M }
  | { readonly type: 'packet'; readonly epoch: Epoch; readonly packet: LinkPacket<M> }

export type LinkEffect<M = TokenMessage> =
  | { readonly type: 'transmit'; readonly epoch: Epoch; readonly packet: LinkPacket<M> }
  | { readonly type: 'deliver'; readonly message: M }
  /** The peer breaks the protocol: cut the connection and say why. */
  | { readonly type: 'violation'; readonly reason: string }

interface Unconfirmed<M> {
  readonly seq: number
  readonly message: M
}

export class TokenLink<M = TokenMessage> {
  #epoch = 0 as Epoch
  #connected = false
  /** The peer said hello in this epoch on this connection. */
  #ready = false
  #sent = 0
  #received = 0
  /** `received` as the peer was last told. */
  #acked = 0
  #unconfirmed: Unconfirmed<M>[] = []

  step(event: LinkEvent<M>): readonly LinkEffect<M>[] {
    const effects: LinkEffect<M>[] = []
    switch (event.type) {
      case 'epoch':
        this.#epoch = event.epoch
        this.#sent = 0
        this.#received = 0
        this.#acked = 0
        this.#unconfirmed = []
        this.#ready = false
        if (this.#connected) this.#hello(effects, false)
        break
      case 'connected':
        this.#connected = true
        this.#ready = false
        if (this.#epoch > 0) this.#hello(effects, false)
        break
      case 'disconnected':
        this.#connected = false
        this.#ready = false
        break
      case 'send':
        this.#send(event.message, effects)
        break
      case 'packet':
        if (this.#connected && event.epoch === this.#epoch) this.#receive(event.packet, effects)
        break
    }
    return effects
  }

  /** Messages kept because the peer has not confirmed them. */
  get unconfirmed(): number {
    return this.#unconfirmed.length
  }

  #hello(effects: LinkEffect<M>[], answer: boolean): void {
    this.#transmit({ type: 'hello', ack: this.#received, answer }, effects)
  }

  #transmit(packet: LinkPacket<M>, effects: LinkEffect<M>[]): void {
    this.#acked = this.#received
    effects.push({ type: 'transmit', epoch: this.#epoch, packet })
  }

  #send(message: M, effects: LinkEffect<M>[]): void {
    const unconfirmed = { seq: ++this.#sent, message }
    this.#unconfirmed.push(unconfirmed)
    if (this.#ready) this.#transmitData(unconfirmed, effects)
  }

  #transmitData({ seq, message }: Unconfirmed<M>, effects: LinkEffect<M>[]): void {
    this.#transmit({ type: 'data', seq, ack: this.#received, message }, effects)
  }

  #receive(packet: LinkPacket<M>, effects: LinkEffect<M>[]): void {
    if (packet.ack > this.#sent) {
      const reason = `token link: message ${packet.ack} confirmed, ${this.#sent} sent`
      effects.push({ type: 'violation', reason })
      return
    }
    this.#confirm(packet.ack)
    switch (packet.type) {
      case 'hello':
        if (!packet.answer) this.#hello(effects, true)
        this.#ready = true
        for (const unconfirmed of this.#unconfirmed) this.#transmitData(unconfirmed, effects)
        break
      case 'data':
        this.#receiveData(packet.seq, packet.message, effects)
        break
      case 'ack':
        break
    }
  }

  #receiveData(seq: number, message: M, effects: LinkEffect<M>[]): void {
    if (seq <= this.#received) return
    if (seq > this.#received + 1) {
      const reason = `token link: message ${seq} after ${this.#received}`
      effects.push({ type: 'violation', reason })
      return
    }
    this.#received = seq
    effects.push({ type: 'deliver', message })
    if (this.#received - this.#acked >= ACK_EVERY) {
      this.#transmit({ type: 'ack', ack: this.#received }, effects)
    }
  }

  #confirm(ack: number): void {
    let count = 0
    while ((this.#unconfirmed[count]?.seq ?? Number.POSITIVE_INFINITY) <= ack) count++
    if (count > 0) this.#unconfirmed.splice(0, count)
  }
}
