/**
 * All of the token protocol one member runs: its service, its links, and the authority when it is
 * that. Bytes in, bytes out; connections, epochs and the log are the caller's.
 */

import type {
  ByteRange,
  TokenGuard,
  TokenService,
  TokenWant
} from '../../fs/ports/token-service.ts'
import type { Epoch, Ino, MemberId } from '../../fs/primitives.ts'
import { EffectQueue } from '../effect-queue.ts'
import { MemberLinks } from './member-links.ts'
import { TokenAuthority } from './token-authority.ts'
import type { AuthorityEffect, AuthorityEvent, AuthorityOptions } from './token-authority-events.ts'
import type { ClientOptions } from './token-client-events.ts'
import { decodeTokenPacket, encodeTokenPacket } from './token-codec.ts'
import {
  isToAuthority,
  type ToAuthority,
  type ToClient,
  type TokenMessage
} from './token-message.ts'
import { MemberTokens, type TokenServiceComponents } from './token-service.ts'

export interface TokenNodeComponents extends Omit<TokenServiceComponents, 'send' | 'onViolation'> {
  /** Sends a packet on the control connection to that member, if there is one; else drops it. */
  sendPacket(to: MemberId, epoch: Epoch, body: Buffer): void
  /** That member breaks the protocol: log it and cut its connection. */
  onViolation(member: MemberId, reason: string): void
}

export interface TokenNodeOptions extends ClientOptions, AuthorityOptions {
  readonly member: MemberId
}

export interface TokenEpoch {
  readonly epoch: Epoch
  readonly authority: MemberId
  /** Live members, the authority and this one among them. */
  readonly members: readonly MemberId[]
}

export interface TokenStatus {
  readonly epoch: Epoch | 0
  readonly member: ReturnType<MemberTokens['counts']>
  /** Of the whole cluster; only at the authority. */
  readonly authority: ReturnType<TokenAuthority['counts']> | undefined
}

export class TokenNode implements TokenService {
  readonly #components: TokenNodeComponents
  readonly #options: TokenNodeOptions
  readonly #service: MemberTokens
  readonly #links: MemberLinks<TokenMessage>
  #epoch: TokenEpoch | undefined
  #authority: TokenAuthority | undefined
  readonly #effects = new EffectQueue<AuthorityEffect>((effect) => this.#execute(effect))

  constructor(components: TokenNodeComponents, options: TokenNodeOptions) {
    this.#components = components
    this.#options = options
    this.#links = new MemberLinks(
      {
        encode: encodeTokenPacket,
        decode: decodeTokenPacket,
        sendPacket: (to, epoch, body) => components.sendPacket(to, epoch, body),
        deliver: (from, message) => this.#deliver(from, message),
        onViolation: (member, reason) => components.onViolation(member, reason)
      },
      { name: 'token' }
    )
    const { clock, flush, waitApplied, dropCaches, onFatal } = components
    this.#service = new MemberTokens(
      {
        clock,
        flush,
        waitApplied,
        dropCaches,
        onFatal,
        send: (message) => this.#sendToAuthority(message),
        onViolation: (reason) => {
          components.onViolation(this.#epoch?.authority ?? options.member, reason)
        }
      },
      options
    )
  }

  /** See TokenService; `wants` must stay unchanged until the guard is released. */
  tryAcquire(wants: readonly TokenWant[]): TokenGuard | undefined {
    return this.#service.tryAcquire(wants)
  }

  acquire(
    wants: readonly TokenWant[],
    signal?: AbortSignal,
    ahead?: () => readonly Ino[]
  ): Promise<TokenGuard> {
    return this.#service.acquire(wants, signal, ahead)
  }

  own(ino: Ino): void {
    this.#service.own(ino)
  }

  query(ino: Ino): Promise<boolean> | undefined {
    return this.#service.query(ino)
  }

  giveUp(ino: Ino, range: ByteRange): void {
    this.#service.giveUp(ino, range)
  }

  /**
   * The number of a request for `want` that the authority makes for this member when it grants the
   * lock that carries it; undefined when none is needed. `settleReserved` must follow, once.
   */
  reserve(want: TokenWant): number | undefined {
    return this.#service.reserve(want)
  }

  /** `coming`: the authority has made the request, in this epoch. */
  settleReserved(request: number, coming: boolean): void {
    this.#service.settleReserved(request, coming)
  }

  /** At the authority: makes the request that a lock granted to `member` brings. */
  bring(member: MemberId, epoch: Epoch, request: number, want: TokenWant): void {
    if (epoch !== this.#epoch?.epoch) return
    const message = { type: 'want', request, wants: [want] } as const
    this.#stepAuthority({ type: 'message', from: member, message })
  }

  /** Gives no guard from here on; resolves when no exclusive guard runs any more. */
  seal(): Promise<void> {
    return this.#service.seal()
  }

  /** Waiters and newcomers get EIO until the next epoch. */
  isolate(): void {
    this.#service.isolate()
  }

  /**
   * Serves in that epoch: every token and request of the last one is forgotten everywhere. Only
   * when this member has applied every writer to its cut (RULES 18) and, if it served before, after
   * `seal` has resolved.
   */
  startEpoch(epoch: TokenEpoch): void {
    this.#epoch = epoch
    const { member } = this.#options
    const leads = epoch.authority === member
    const peers = leads ? epoch.members.filter((id) => id !== member) : [epoch.authority]
    this.#links.startEpoch(epoch.epoch, peers)
    this.#authority = leads ? new TokenAuthority(this.#options) : undefined
    this.#stepAuthority({ type: 'epoch', members: epoch.members })
    this.#service.startEpoch()
  }

  peerConnected(member: MemberId): void {
    this.#links.peerConnected(member)
  }

  peerDisconnected(member: MemberId): void {
    this.#links.peerDisconnected(member)
  }

  /** A packet from that member's current connection; older connections' packets are not passed. */
  receive(from: MemberId, epoch: Epoch, body: Buffer): void {
    this.#links.receive(from, epoch, body)
  }

  /**
   * At the authority: notes sent to a member in this epoch and the last one up to which all are
   * acknowledged. A member that stays behind must not get its lease renewed for ever (RULES 17).
   */
  notePosition(member: MemberId): { readonly sent: number; readonly acknowledged: number } {
    return this.#authority?.notePosition(member) ?? { sent: 0, acknowledged: 0 }
  }

  status(): TokenStatus {
    return {
      epoch: this.#epoch?.epoch ?? 0,
      member: this.#service.counts(),
      authority: this.#authority?.counts()
    }
  }

  #sendToAuthority(message: ToAuthority): void {
    const { member } = this.#options
    const authority = this.#epoch?.authority
    if (authority === undefined) return
    if (authority === member) this.#stepAuthority({ type: 'message', from: member, message })
    else this.#links.send(authority, message)
  }

  #sendToClient(to: MemberId, message: ToClient): void {
    if (to === this.#options.member) this.#service.receive(message)
    else this.#links.send(to, message)
  }

  #stepAuthority(event: AuthorityEvent): void {
    const authority = this.#authority
    if (authority === undefined) return
    // In their order, even when the own client answers at once: links carry what is decided first.
    this.#effects.run(authority.step(event))
  }

  #execute(effect: AuthorityEffect): void {
    switch (effect.type) {
      case 'send':
        this.#sendToClient(effect.to, effect.message)
        break
      case 'violation':
        this.#components.onViolation(effect.member, effect.reason)
        break
    }
  }

  #deliver(from: MemberId, message: TokenMessage): void {
    const leads = this.#authority !== undefined
    if (leads && isToAuthority(message)) {
      this.#stepAuthority({ type: 'message', from, message })
    } else if (!leads && !isToAuthority(message)) {
      this.#service.receive(message)
    } else {
      this.#components.onViolation(from, `token message ${message.type} in the wrong direction`)
    }
  }
}
