/**
 * All of the lock protocol one member runs: its service, its links, and the authority when it is
 * that. Bytes in, bytes out; connections and epochs are the caller's.
 *
 * Nothing has to be sealed before an epoch change: what a delegate grants meanwhile is in its own
 * table and asserted in the new epoch, whose authority decides nothing before all have asserted.
 */
import type {
  LockConflict,
  LockKind,
  LockRequest,
  LockRow,
  LockService,
  LockWait
} from '../../fs/ports/lock-service.ts'
import type { TokenWant } from '../../fs/ports/token-service.ts'
import type { Epoch, Ino, MemberId } from '../../fs/primitives.ts'
import { EffectQueue } from '../effect-queue.ts'
import { MemberLinks } from '../token/member-links.ts'
import { rangePart } from '../token/token-range.ts'
import { LockAuthority } from './lock-authority.ts'
import type {
  LockAuthorityEffect,
  LockAuthorityEvent,
  LockAuthorityOptions
} from './lock-authority-events.ts'
import type { LockClientOptions } from './lock-client-events.ts'
import { decodeLockPacket, encodeLockPacket } from './lock-codec.ts'
import {
  isToLockAuthority,
  type LockBring,
  type LockMessage,
  type LockToAuthority,
  type LockToClient
} from './lock-message.ts'
import { authorityRows } from './lock-rows.ts'
import { type LockServiceComponents, MemberLocks, type TokenReservations } from './lock-service.ts'
import { Ticker } from './ticker.ts'

/** The tokens of this member, so that a lock can bring one along (see TokenNode). */
export interface LockTokens extends TokenReservations {
  bring(member: MemberId, epoch: Epoch, request: number, want: TokenWant): void
}

export interface LockNodeComponents extends Omit<LockServiceComponents, 'send' | 'onViolation'> {
  readonly tokens: LockTokens
  /** Sends a packet on the control connection to that member, if there is one; else drops it. */
  sendPacket(to: MemberId, epoch: Epoch, body: Buffer): void
  /** That member breaks the protocol: log it and cut its connection. */
  onViolation(member: MemberId, reason: string): void
}

export interface LockNodeOptions extends LockClientOptions, LockAuthorityOptions {}

export interface LockEpoch {
  readonly epoch: Epoch
  readonly authority: MemberId
  /** Live members, the authority and this one among them. */
  readonly members: readonly MemberId[]
}

export interface LockStatus {
  readonly epoch: Epoch | 0
  readonly member: ReturnType<MemberLocks['counts']>
  /** Of the whole cluster; only at the authority. */
  readonly authority: ReturnType<LockAuthority['counts']> | undefined
}

export class LockNode implements LockService {
  readonly #components: LockNodeComponents
  readonly #options: LockNodeOptions
  readonly #service: MemberLocks
  readonly #ticker: Ticker
  readonly #links: MemberLinks<LockMessage>
  #epoch: LockEpoch | undefined
  #authority: LockAuthority | undefined
  readonly #effects = new EffectQueue<LockAuthorityEffect>((effect) => this.#execute(effect))

  constructor(components: LockNodeComponents, options: LockNodeOptions) {
    this.#components = components
    this.#options = options
    this.#links = new MemberLinks(
      {
        encode: encodeLockPacket,
        decode: decodeLockPacket,
        sendPacket: (to, epoch, body) => components.sendPacket(to, epoch, body),
        deliver: (from, message) => this.#deliver(from, message),
        onViolation: (member, reason) => components.onViolation(member, reason)
      },
      { name: 'lock' }
    )
    const { clock, tokens, onLost } = components
    this.#service = new MemberLocks(
      {
        clock,
        tokens,
        onLost: (locks) => onLost(locks),
        send: (message) => this.#sendToAuthority(message),
        onViolation: (reason) => {
          components.onViolation(this.#epoch?.authority ?? options.member, reason)
        }
      },
      options
    )
    this.#ticker = new Ticker({
      clock,
      isWanted: () => this.#authority?.needsTick === true,
      tick: (nowMs) => this.#stepAuthority({ type: 'tick', nowMs })
    })
  }

  getlk(
    ino: Ino,
    request: LockRequest,
    signal?: AbortSignal
  ): LockConflict | undefined | Promise<LockConflict | undefined> {
    return this.#service.getlk(ino, request, signal)
  }

  setlk(ino: Ino, request: LockRequest, options: LockWait): void | Promise<void> {
    return this.#service.setlk(ino, request, options)
  }

  releaseOwner(ino: Ino, owner: bigint, kind: LockKind): void | Promise<void> {
    return this.#service.releaseOwner(ino, owner, kind)
  }

  isContended(ino: Ino): boolean {
    return this.#service.isContended(ino)
  }

  list(): readonly LockRow[] {
    if (this.#authority === undefined) return this.#service.list()
    const nowMs = this.#components.clock.monotonicMs()
    return [...this.#service.listDelegated(), ...authorityRows(this.#authority, nowMs)]
  }

  /** Open and new requests get EIO until the next epoch; held locks stay, to be asserted in it. */
  isolate(): void {
    this.#service.isolate()
  }

  /** This incarnation is over: reports all it held as lost. The node is not used after this. */
  end(): void {
    this.#service.end()
    this.#ticker.stop()
  }

  /**
   * Serves in that epoch: what this member holds and asks for goes to its authority; delegations
   * are over. Only in the same incarnation: another one begins with a new node.
   */
  startEpoch(epoch: LockEpoch): void {
    this.#epoch = epoch
    const { member } = this.#options
    const leads = epoch.authority === member
    const peers = leads ? epoch.members.filter((id) => id !== member) : [epoch.authority]
    this.#authority = leads ? new LockAuthority(this.#options) : undefined
    this.#effects.clear()
    this.#stepAuthority({ type: 'epoch', members: epoch.members })
    this.#links.startEpoch(epoch.epoch, peers)
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

  status(): LockStatus {
    return {
      epoch: this.#epoch?.epoch ?? 0,
      member: this.#service.counts(),
      authority: this.#authority?.counts()
    }
  }

  #sendToAuthority(message: LockToAuthority): void {
    const { member } = this.#options
    const authority = this.#epoch?.authority
    if (authority === undefined) return
    if (authority !== member) this.#links.send(authority, message)
    else this.#stepAuthority({ type: 'message', from: member, message, nowMs: this.#nowMs() })
  }

  #nowMs(): number {
    return this.#components.clock.monotonicMs()
  }

  #sendToClient(to: MemberId, message: LockToClient): void {
    if (to === this.#options.member) this.#service.receive(message)
    else this.#links.send(to, message)
  }

  #stepAuthority(event: LockAuthorityEvent): void {
    const authority = this.#authority
    if (authority === undefined) return
    // In their order, even when the own client answers at once: links carry what is decided first.
    this.#effects.run(authority.step(event))
    this.#ticker.look()
  }

  #execute(effect: LockAuthorityEffect): void {
    switch (effect.type) {
      case 'send':
        this.#sendToClient(effect.to, effect.message)
        break
      case 'bring':
        this.#bring(effect.member, effect.ino, effect.bring)
        break
      case 'violation':
        this.#components.onViolation(effect.member, effect.reason)
        break
    }
  }

  /** Both protocols are in the same epoch here, and that member was when it asked. */
  #bring(member: MemberId, ino: Ino, { request, mode, range }: LockBring): void {
    const epoch = this.#epoch?.epoch
    if (epoch === undefined) return
    const want = { ino, mode, ...rangePart(range.start, range.end) }
    this.#components.tokens.bring(member, epoch, request, want)
  }

  #deliver(from: MemberId, message: LockMessage): void {
    const leads = this.#authority !== undefined
    if (leads && isToLockAuthority(message)) {
      this.#stepAuthority({ type: 'message', from, message, nowMs: this.#nowMs() })
    } else if (!leads && !isToLockAuthority(message)) {
      this.#service.receive(message)
    } else {
      this.#components.onViolation(from, `lock message ${message.type} in the wrong direction`)
    }
  }
}
