/**
 * This member's part in the epoch register: its voter, and its proposer when it may lead. A shell
 * around voter.ts and proposer.ts that keeps the order persist, send, and the own voter first.
 *
 * A record that this member has accepted from a proposer whose own voter has accepted it before is
 * known to be chosen here when the two make a majority: no further message is waited for.
 *
 * A leader that is heard and does not hear this member (hearing.ts) gets no more time from its voter: its
 * questions stay unanswered. What was promised stands. A question or its answer may get lost at any time, so nothing
 * that is safe depends on that; and the answer would not have come in time to be of use. A leader that is
 * deaf to a majority could not use its lead, and the others wait for it hardly longer than for a dead one;
 * one that hears a majority keeps it.
 */
import { DecodeError } from '../../fs/byte-codec.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { EffectQueue } from '../effect-queue.ts'
import type { LeaseOptions } from '../lease.ts'
import type { ControlMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import type { Ballot } from './ballot.ts'
import type { ProposerEffect, ProposerEvent, VoterReply } from './proposer.ts'
import { Proposer } from './proposer.ts'
import { decodeRegister, encodeRegister } from './register-codec.ts'
import type { RegisterMessage } from './register-message.ts'
import type { VoterRequest, VoterState } from './voter.ts'
import { pendingFor, Voter } from './voter.ts'
import { isChosenBy } from './voters.ts'

/** Those that may lead try one after the other, the one the record names first. */
const RANK_MS = 60
const JITTER_MS = 30

export interface RegisterComponents {
  readonly self: MemberId
  /** The newest record known to be chosen. */
  readonly record: () => EpochRecord
  readonly voterState: VoterState
  /** Durable on return. */
  readonly saveVoter: (state: VoterState) => void
  /** The record that this member must be able to go on with if it is chosen (`pendingFor`), when that changes. */
  readonly onPending: (record: EpochRecord | undefined) => void
  readonly links: { sendControl(member: MemberId, message: ControlMessage): boolean }
  readonly clock: Clock
  /** 0 <= x < 1. */
  readonly random: () => number
  readonly logger: Logger
  /** It is heard and does not hear this one. */
  readonly isDeaf: (member: MemberId) => boolean
  /** This member may lead and nobody else's lease holds here. */
  readonly mayCampaign: () => boolean
  /** Accepted durably by a majority. */
  readonly onChosen: (record: EpochRecord) => void
  readonly onElected: () => void
  readonly onDeposed: () => void
}

export class RegisterNode {
  readonly #components: RegisterComponents
  readonly #options: LeaseOptions
  readonly #voter: Voter
  readonly #proposer: Proposer
  readonly #effects = new EffectQueue<ProposerEffect>((effect) => this.#run(effect))
  #timer: Timer | undefined
  #stopped = false
  /** Since when nobody is known to lead. */
  #vacantSinceMs: number | undefined

  constructor(components: RegisterComponents, options: LeaseOptions) {
    this.#components = components
    this.#options = options
    const { self, voterState, clock } = components
    const nowMs = clock.monotonicMs()
    this.#voter = new Voter(voterState, { ...options, self, nowMs })
    const heard = voterState.promised
    this.#proposer = new Proposer(components.record(), { ...options, self, heard })
    this.#tellPending()
  }

  get leads(): boolean {
    return this.#proposer.leads
  }

  get ballot(): Ballot {
    return this.#proposer.ballot
  }

  /** See `Proposer.ownersBefore`. */
  get ownersBefore(): ReadonlySet<MemberId> {
    return this.#proposer.ownersBefore
  }

  /** What is left of this member's own lease as the leader, margin taken off. */
  leaseLeftMs(): number {
    return this.#proposer.leaseLeftMs(this.#components.clock.monotonicMs())
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Throws DecodeError. */
  receive(from: MemberId, body: Buffer): void {
    if (this.#stopped) return
    const message = decodeRegister(body)
    if (isRequest(message)) this.#onRequest(from, message)
    else this.#onReply(from, message)
  }

  /** A newer record is known to be chosen. */
  known(record: EpochRecord): void {
    this.#step({ type: 'known', record })
    this.#tellPending()
  }

  /** As the leader: `onChosen` follows when a majority has accepted it durably. */
  propose(record: EpochRecord): void {
    this.#step({ type: 'propose', record })
  }

  /** Gives up the lead: what was promised to this member need not be waited for. */
  resign(): void {
    this.#step({ type: 'resign' })
  }

  /** The connection to that member is there again. */
  connected(): void {
    if (this.#proposer.leads) this.#step({ type: 'tick', nowMs: this.#nowMs() })
  }

  /** To be called at each beat of this member (beat.ts). */
  beat(): void {
    if (this.#stopped) return
    this.#step({ type: 'tick', nowMs: this.#nowMs() })
    this.#campaign()
    this.#arm()
  }

  #arm(): void {
    this.#timer?.cancel()
    if (this.#stopped || this.#vacantSinceMs === undefined) return
    const soonMs = this.#waitMs() + 1
    if (soonMs >= this.#options.heartbeatMs) return
    this.#timer = this.#components.clock.setTimer(soonMs, () => this.beat())
  }

  #waitMs(): number {
    const nowMs = this.#nowMs()
    const { self } = this.#components
    const wait = Math.max(this.#voter.waitMs(self, nowMs), this.#proposer.waitMs(nowMs))
    const sinceMs = this.#vacantSinceMs ?? nowMs
    return Math.max(wait, sinceMs + this.#patienceMs() - nowMs, 10)
  }

  /** The member the record names goes first, then the others in their order. */
  #patienceMs(): number {
    const { self, record, random } = this.#components
    const { authority, inSync } = record()
    if (authority === self) return 0
    const rank = inSync.filter((m) => m !== authority).indexOf(self) + 1
    return rank * RANK_MS + random() * JITTER_MS
  }

  #campaign(): void {
    const { mayCampaign, self } = this.#components
    const nowMs = this.#nowMs()
    if (this.#proposer.leads || !mayCampaign()) {
      this.#vacantSinceMs = undefined
      return
    }
    if (this.#voter.waitMs(self, nowMs) > 0) {
      this.#vacantSinceMs ??= nowMs
      return
    }
    this.#vacantSinceMs ??= nowMs
    if (nowMs < this.#vacantSinceMs + this.#patienceMs()) return
    this.#step({ type: 'campaign', promised: this.#voter.state.promised, nowMs })
  }

  #onRequest(from: MemberId, request: VoterRequest): void {
    const { record, saveVoter, links, self, onChosen, isDeaf } = this.#components
    if (request.type === 'renew' && isDeaf(from)) return
    const known = record()
    const answer = this.#voter.on(from, request, known.epoch, this.#nowMs())
    if (answer.save) {
      saveVoter(answer.save)
      this.#tellPending()
    }
    if (answer.senderIsBehind && from !== self) {
      links.sendControl(from, { type: 'record', record: known, leads: false })
    }
    const { reply } = answer
    if (reply) {
      if (from === self) this.#onReply(self, reply)
      else links.sendControl(from, { type: 'register', body: encodeRegister(reply) })
    }
    if (request.type === 'yield' && from !== self) this.beat()
    if (request.type !== 'accept' || reply?.type !== 'accepted' || from === self) return
    const news = request.record
    if (news.epoch <= record().epoch) return
    if (isChosenBy(news, (m) => m === from || m === self)) onChosen(news)
  }

  #tellPending(): void {
    const { self, record, onPending } = this.#components
    onPending(pendingFor(self, this.#voter.state, record().epoch)?.record)
  }

  #onReply(from: MemberId, reply: RegisterMessage): void {
    if (isRequest(reply)) throw new DecodeError('a request where an answer belongs')
    this.#step({ type: 'reply', from, reply: reply satisfies VoterReply, nowMs: this.#nowMs() })
  }

  #step(event: ProposerEvent): void {
    this.#effects.run(this.#proposer.step(event))
  }

  #run(effect: ProposerEffect): void {
    const { self, links, logger, onChosen, onElected, onDeposed } = this.#components
    switch (effect.type) {
      case 'send':
        if (effect.to !== self) {
          const body = encodeRegister(effect.message)
          links.sendControl(effect.to, { type: 'register', body })
        } else if (isRequest(effect.message)) this.#onRequest(self, effect.message)
        break
      case 'chosen':
        onChosen(effect.record)
        break
      case 'elected':
        logger.info({ ballot: this.#proposer.ballot }, 'this member leads')
        onElected()
        break
      case 'deposed':
        logger.warn({ ballot: this.#proposer.ballot }, 'this member leads no more')
        onDeposed()
        break
    }
  }

  #nowMs(): number {
    return this.#components.clock.monotonicMs()
  }
}

function isRequest(message: RegisterMessage): message is VoterRequest {
  switch (message.type) {
    case 'probe':
    case 'prepare':
    case 'accept':
    case 'renew':
    case 'yield':
      return true
    default:
      return false
  }
}
