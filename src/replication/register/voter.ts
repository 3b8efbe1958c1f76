/**
 * The voter of one member: what it has promised and accepted of the epoch register, and the lease
 * it has promised to whoever leads.
 *
 * Invariants: a ballot counts only from the member it belongs to; it accepts nothing below the
 * ballot it promised; promise and accepted record are durable before they are told (the caller persists `save` before it sends `reply`); while a lease
 * promise to one ballot runs, no other member's ballot is promised; after a restart it waits the
 * longest lease it may have promised before it promises anything (RULES 22), except where the
 * promise it remembers is its own member's: that incarnation is dead.
 * What it has accepted and does not know to be chosen may still be: where its own member is in sync in
 * that, it gives a later leader no lease but tells it of the record, which its ballot may have been
 * won without hearing of; and the member takes nothing beyond its cuts (`pendingFor`).
 *
 * Pure: the caller tells the time (CLOCK_BOOTTIME) and keeps the state.
 */
import { unreachable } from '../../fs/assert.ts'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import type { LeaseOptions } from '../lease.ts'
import type { Ballot } from './ballot.ts'
import { ballotOwner, NO_BALLOT } from './ballot.ts'
import type { Accepted, RegisterMessage } from './register-message.ts'

/** What a voter keeps on its disk. */
export interface VoterState {
  readonly promised: Ballot
  readonly accepted: Accepted | undefined
}

export const FRESH_VOTER: VoterState = { promised: NO_BALLOT, accepted: undefined }

export interface VoterAnswer {
  /** To be made durable before the reply leaves. */
  readonly save?: VoterState
  readonly reply?: RegisterMessage
  /** The sender knows an older record than this member. */
  readonly senderIsBehind?: true
}

/** What is asked of a voter; everything else is an answer of one. */
export type VoterRequest = Extract<
  RegisterMessage,
  { type: 'probe' | 'prepare' | 'accept' | 'renew' | 'yield' }
>

export class Voter {
  readonly #options: LeaseOptions & { readonly self: MemberId }
  #state: VoterState
  #lease: { readonly ballot: Ballot; readonly untilMs: number } | undefined
  readonly #quietUntilMs: number

  constructor(
    state: VoterState,
    options: LeaseOptions & { readonly self: MemberId; readonly nowMs: number }
  ) {
    const { self, nowMs, leaseMs, marginMs } = options
    this.#options = options
    this.#state = state
    const isOwn = state.promised === NO_BALLOT || ballotOwner(state.promised) === self
    this.#quietUntilMs = isOwn ? Number.NEGATIVE_INFINITY : nowMs + leaseMs + marginMs
  }

  get state(): VoterState {
    return this.#state
  }

  /** How long this voter still keeps its promise to a ballot of another member. */
  waitMs(candidate: MemberId, nowMs: number): number {
    const lease = this.#lease
    const leaseLeft =
      lease && ballotOwner(lease.ballot) !== candidate ? Math.max(0, lease.untilMs - nowMs) : 0
    return Math.ceil(Math.max(leaseLeft, this.#quietUntilMs - nowMs, 0))
  }

  /** Answers `from`; `known` is the epoch of the newest chosen record this member has. */
  on(from: MemberId, request: VoterRequest, known: Epoch, nowMs: number): VoterAnswer {
    if (ballotOwner(request.ballot) !== from) return { reply: this.#refusal(request.ballot, 0) }
    switch (request.type) {
      case 'probe':
      case 'prepare':
        return this.#onPrepare(from, request, known, nowMs)
      case 'accept':
        return this.#onAccept(request, known)
      case 'renew':
        return this.#onRenew(request, known, nowMs)
      case 'yield':
        if (this.#lease?.ballot === request.ballot) this.#lease = undefined
        return {}
      default:
        return unreachable(request)
    }
  }

  #onPrepare(
    from: MemberId,
    request: VoterRequest & { type: 'probe' | 'prepare' },
    known: Epoch,
    nowMs: number
  ): VoterAnswer {
    const { ballot, epoch } = request
    const behind = epoch < known ? ({ senderIsBehind: true } as const) : {}
    const waitMs = this.waitMs(from, nowMs)
    const { promised, accepted } = this.#state
    // Asked twice when it is in two sets of voters: a promise can be said again.
    const isSaidAgain = request.type === 'prepare' && ballot === promised
    if (behind.senderIsBehind || waitMs > 0 || (ballot <= promised && !isSaidAgain)) {
      return { reply: this.#refusal(ballot, waitMs), ...behind }
    }
    if (request.type === 'probe') return { reply: { type: 'would', ballot } }
    const news = accepted && accepted.record.epoch > epoch ? accepted : undefined
    const reply = { type: 'promise', ballot, before: promised, accepted: news } as const
    if (isSaidAgain) return { reply }
    this.#state = { ...this.#state, promised: ballot }
    return { save: this.#state, reply }
  }

  #onAccept(request: VoterRequest & { type: 'accept' }, known: Epoch): VoterAnswer {
    const { ballot, record } = request
    const { promised, accepted } = this.#state
    if (record.epoch < known) return { reply: this.#refusal(ballot, 0), senderIsBehind: true }
    const reply = { type: 'accepted', ballot, epoch: record.epoch } as const
    if (accepted?.ballot === ballot && accepted.record.epoch === record.epoch) return { reply }
    const isOlder = accepted?.ballot === ballot && accepted.record.epoch > record.epoch
    if (ballot < promised || isOlder) return { reply: this.#refusal(ballot, 0) }
    this.#state = { promised: ballot, accepted: { ballot, record } }
    return { save: this.#state, reply }
  }

  #onRenew(request: VoterRequest & { type: 'renew' }, known: Epoch, nowMs: number): VoterAnswer {
    const { ballot, sentMs } = request
    const { promised } = this.#state
    const isNews = ballot > promised
    // It was won by others: this voter joined, or was away, when that was.
    const waitMs = isNews ? this.waitMs(ballotOwner(ballot), nowMs) : 0
    if (ballot < promised || waitMs > 0) return { reply: this.#refusal(ballot, waitMs) }
    const pending = pendingFor(this.#options.self, this.#state, known)
    if (pending && pending.ballot < ballot) {
      return { reply: { type: 'pending', ballot, accepted: pending } }
    }
    const { leaseMs, marginMs } = this.#options
    this.#lease = { ballot, untilMs: nowMs + leaseMs + marginMs }
    const reply = { type: 'renewed', ballot, sentMs } as const
    if (!isNews) return { reply }
    this.#state = { ...this.#state, promised: ballot }
    return { save: this.#state, reply }
  }

  #refusal(ballot: Ballot, waitMs: number): RegisterMessage {
    return { type: 'refusal', ballot, promised: this.#state.promised, waitMs }
  }
}

/**
 * What the member has accepted beyond the newest record it knows to be chosen, where it is in sync in
 * that: if it is chosen after all, this member must be able to go on with it.
 */
export function pendingFor(
  member: MemberId,
  { accepted }: VoterState,
  known: Epoch
): Accepted | undefined {
  if (!accepted || accepted.record.epoch <= known) return undefined
  return accepted.record.inSync.includes(member) ? accepted : undefined
}
