/**
 * The proposing side of the epoch register: wins a ballot, finishes what an earlier leader has
 * left, then proposes one record after the other and keeps the leader's lease.
 *
 *   idle → probing (would a majority promise?) → preparing → recovering → leading
 *
 * Invariants: it proposes one record for each (ballot, epoch), and only after a majority of every
 * set of voters that matters has promised: the voters of the newest record it knows to be chosen,
 * and both sets of the newest one it was told of. What it was told of is proposed again before
 * anything new; so is what a voter outside of that majority tells while nothing new is proposed. A record
 * is chosen when a majority of its voters and of those before have accepted
 * it durably; the own voter is asked first, the others when it has accepted, so whoever is asked
 * may count the one that asks. The lease ends with the promises of a majority, counted from when
 * they were asked for; while a record with other voters is on its way, it needs a majority of both.
 * A leader that a voter refuses for a higher ballot wins a higher one itself as long as its lease
 * holds; without a lease it steps down.
 *
 * Pure: events in, effects out; the caller tells the time (CLOCK_BOOTTIME).
 */
import { assert, unreachable } from '../../fs/assert.ts'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import type { LeaseOptions } from '../lease.ts'
import type { EpochRecord, VoterWeight } from '../record.ts'
import { isSameRecord } from '../record.ts'
import type { Ballot } from './ballot.ts'
import { ballotAbove, ballotOwner, NO_BALLOT } from './ballot.ts'
import type { Accepted, RegisterMessage } from './register-message.ts'
import { isChosenBy, isMajority } from './voters.ts'

/** How long one attempt to win a ballot may take. */
const ATTEMPT_MS = 600
/** After a refusal for a higher ballot. */
const BACK_OFF_MS = 40

/** An answer of a voter. */
export type VoterReply = Extract<
  RegisterMessage,
  { type: 'would' | 'promise' | 'accepted' | 'renewed' | 'pending' | 'refusal' }
>

export type ProposerEvent =
  /** Try to lead, if it may be tried now. `promised`: by the own voter. */
  | { readonly type: 'campaign'; readonly promised: Ballot; readonly nowMs: number }
  | {
      readonly type: 'reply'
      readonly from: MemberId
      readonly reply: VoterReply
      readonly nowMs: number
    }
  /** A newer record is known to be chosen. */
  | { readonly type: 'known'; readonly record: EpochRecord }
  | { readonly type: 'propose'; readonly record: EpochRecord }
  /** Every heartbeat interval. */
  | { readonly type: 'tick'; readonly nowMs: number }
  /** Stop leading or trying to. */
  | { readonly type: 'resign' }

export type ProposerEffect =
  /** To a voter, possibly this member's own. */
  | { readonly type: 'send'; readonly to: MemberId; readonly message: RegisterMessage }
  /** A majority has accepted it: it stands, whatever happens here. */
  | { readonly type: 'chosen'; readonly record: EpochRecord }
  | { readonly type: 'elected' }
  | { readonly type: 'deposed' }

type Phase = 'idle' | 'probing' | 'preparing' | 'recovering' | 'leading'

interface Proposal {
  readonly record: EpochRecord
  readonly accepted: Set<MemberId>
}

export class Proposer {
  readonly #self: MemberId
  readonly #options: LeaseOptions
  #known: EpochRecord
  #phase: Phase = 'idle'
  #ballot: Ballot = NO_BALLOT
  /** The one it leads with: `#ballot`, except while it wins a higher one. */
  #leadBallot: Ballot = NO_BALLOT
  /** Promises to it and to those below were given up, whatever answers are still on their way. */
  #yieldedBallot: Ballot = NO_BALLOT
  /** The highest ballot heard of. */
  #heard: Ballot
  /** Who would promise, or has promised, `#ballot`. */
  #yes = new Set<MemberId>()
  /** Whose ballots they had promised before. */
  #ownersBefore = new Set<MemberId>()
  /** What the promises told of. */
  #top: Accepted | undefined
  #proposal: Proposal | undefined
  /** Until when each voter keeps its promise, by this member's clock. */
  readonly #leaseEnds = new Map<MemberId, number>()
  /** End of the leader's own lease as of the last step: asked for at each answer to a process. */
  #leaseEndMs = Number.NEGATIVE_INFINITY
  #leads = false
  #attemptEndMs = 0
  #notBeforeMs = Number.NEGATIVE_INFINITY

  constructor(
    record: EpochRecord,
    options: LeaseOptions & { readonly self: MemberId; readonly heard: Ballot }
  ) {
    this.#known = record
    this.#self = options.self
    this.#options = options
    this.#heard = options.heard
  }

  get leads(): boolean {
    return this.#leads
  }

  /** The one it leads with, or has led with last. */
  get ballot(): Ballot {
    return this.#leadBallot
  }

  /**
   * Whose ballots the voters had promised before the last one this member has won: whoever won a
   * ballot in between is among them, its own earlier attempts as well.
   */
  get ownersBefore(): ReadonlySet<MemberId> {
    return this.#ownersBefore
  }

  /** Milliseconds until another attempt makes sense. */
  waitMs(nowMs: number): number {
    const attemptMs = this.#phase === 'idle' ? 0 : this.#attemptEndMs - nowMs
    return Math.max(0, attemptMs, this.#notBeforeMs - nowMs)
  }

  /** What is left of the leader's own lease, margin taken off; 0 when it does not lead. */
  leaseLeftMs(nowMs: number): number {
    return Math.max(0, this.#leaseEndMs - nowMs)
  }

  step(event: ProposerEvent): ProposerEffect[] {
    const effects = this.#handle(event)
    this.#leaseEndMs = this.#ownLeaseEndMs()
    return effects
  }

  #handle(event: ProposerEvent): ProposerEffect[] {
    switch (event.type) {
      case 'campaign':
        if (this.#phase !== 'idle' || this.waitMs(event.nowMs) > 0) return []
        if (event.promised > this.#heard) this.#heard = event.promised
        return this.#probe(event.nowMs)
      case 'reply':
        return this.#onReply(event.from, event.reply, event.nowMs)
      case 'known':
        return this.#onKnown(event.record)
      case 'propose':
        return this.#propose(event.record)
      case 'tick':
        return this.#onTick(event.nowMs)
      case 'resign':
        return this.#resign()
      default:
        return unreachable(event)
    }
  }

  /** Another one than was proposed here: somebody else leads, or has led. */
  #onKnown(record: EpochRecord): ProposerEffect[] {
    if (record.epoch <= this.#known.epoch) return []
    const proposal = this.#proposal
    this.#known = record
    if (proposal && isSameRecord(proposal.record, record)) {
      this.#proposal = undefined
      return this.#phase === 'recovering' ? [] : [{ type: 'chosen', record }]
    }
    return this.#resign()
  }

  #probe(nowMs: number): ProposerEffect[] {
    this.#phase = 'probing'
    this.#attemptEndMs = nowMs + ATTEMPT_MS
    this.#yes = new Set()
    this.#ownersBefore = new Set()
    this.#top = undefined
    this.#ballot = ballotAbove(this.#heard, this.#self)
    this.#heard = this.#ballot
    const { epoch } = this.#known
    return this.#toVoters([this.#known.voters], { type: 'probe', ballot: this.#ballot, epoch })
  }

  #onReply(from: MemberId, reply: VoterReply, nowMs: number): ProposerEffect[] {
    if (reply.type === 'refusal') return this.#onRefusal(reply, nowMs)
    if (reply.type === 'renewed') {
      if (ballotOwner(reply.ballot) !== this.#self || reply.ballot <= this.#yieldedBallot) return []
      const endMs = reply.sentMs + this.#options.leaseMs
      this.#leaseEnds.set(from, Math.max(this.#leaseEnds.get(from) ?? endMs, endMs))
      return []
    }
    if (reply.type === 'pending') return this.#onPending(reply, nowMs)
    if (reply.ballot !== this.#ballot) return []
    switch (reply.type) {
      case 'would':
        return this.#onWould(from)
      case 'promise':
        return this.#onPromise(from, reply, nowMs)
      case 'accepted':
        return this.#onAccepted(from, reply.epoch, nowMs)
      default:
        return unreachable(reply)
    }
  }

  /** A record of an earlier leader is finished under a new ballot, as if a promise had told of it. */
  #onPending(
    { ballot, accepted }: VoterReply & { type: 'pending' },
    nowMs: number
  ): ProposerEffect[] {
    const isFree = this.#phase === 'leading' && this.#proposal === undefined
    if (!isFree || ballot !== this.#ballot) return []
    if (accepted.record.epoch <= this.#known.epoch) return []
    const effects = this.#probe(nowMs)
    this.#top = accepted
    return effects
  }

  #onWould(from: MemberId): ProposerEffect[] {
    if (this.#phase !== 'probing') return []
    this.#yes.add(from)
    const { voters, epoch } = this.#known
    if (!isMajority(voters, (m) => this.#yes.has(m))) return []
    this.#phase = 'preparing'
    this.#yes = new Set()
    return this.#toVoters(this.#neededVoters(), { type: 'prepare', ballot: this.#ballot, epoch })
  }

  #onPromise(
    from: MemberId,
    { accepted, before: ballotBefore }: VoterReply & { type: 'promise' },
    nowMs: number
  ): ProposerEffect[] {
    if (this.#phase !== 'preparing') return []
    this.#yes.add(from)
    if (ballotBefore !== NO_BALLOT) this.#ownersBefore.add(ballotOwner(ballotBefore))
    const effects: ProposerEffect[] = []
    if (accepted && accepted.record.epoch > this.#known.epoch && isNewer(accepted, this.#top)) {
      const before = this.#neededVoters()
      this.#top = accepted
      const ballot = this.#ballot
      const { epoch } = this.#known
      const added = this.#neededVoters().filter((voters) => !before.includes(voters))
      effects.push(...this.#toVoters(added, { type: 'prepare', ballot, epoch }))
    }
    if (!this.#neededVoters().every((voters) => isMajority(voters, (m) => this.#yes.has(m)))) {
      return effects
    }
    return [...effects, ...this.#won(nowMs)]
  }

  /** Sets of voters of which a majority has to promise. */
  #neededVoters(): (readonly VoterWeight[])[] {
    const sets = [this.#known.voters]
    const told = this.#told()
    if (told) sets.push(told.voters, told.votersBefore)
    return sets
  }

  /** What the promises told of, unless it has become known meanwhile. */
  #told(): EpochRecord | undefined {
    const record = this.#top?.record
    return record && record.epoch > this.#known.epoch ? record : undefined
  }

  /** The ballot is won; what may have been chosen comes first. */
  #won(nowMs: number): ProposerEffect[] {
    const mine = this.#leads ? this.#proposal?.record : undefined
    const pending = this.#told() ?? mine
    this.#proposal = undefined
    if (!pending || pending.epoch <= this.#known.epoch) return this.#elected(nowMs)
    const isMine = this.#leads && mine !== undefined && isSameRecord(mine, pending)
    // Somebody else has led since: what was decided here before counts no more.
    const effects: ProposerEffect[] = this.#leads && !isMine ? [{ type: 'deposed' }] : []
    this.#leads = isMine
    if (isMine) this.#leadBallot = this.#ballot
    this.#phase = isMine ? 'leading' : 'recovering'
    return [...effects, ...this.#accept(pending)]
  }

  #elected(nowMs: number): ProposerEffect[] {
    const effects: ProposerEffect[] = this.#leads ? [] : [{ type: 'elected' }]
    this.#phase = 'leading'
    this.#leads = true
    this.#leadBallot = this.#ballot
    return [...this.#renew(nowMs), ...effects]
  }

  #propose(record: EpochRecord): ProposerEffect[] {
    assert(this.#leads, 'only the leader proposes')
    assert(this.#proposal === undefined, 'one proposal at a time')
    assert(record.epoch === this.#known.epoch + 1, 'a record follows the one before')
    // While a higher ballot is being won, the record waits for it.
    if (this.#phase === 'leading') return this.#accept(record)
    this.#proposal = { record, accepted: new Set() }
    return []
  }

  #accept(record: EpochRecord): ProposerEffect[] {
    this.#proposal = { record, accepted: new Set() }
    return this.#sendAccept(this.#proposal)
  }

  /** To those that have not accepted; before the own voter has, to that alone. */
  #sendAccept({ record, accepted }: Proposal): ProposerEffect[] {
    const message = { type: 'accept', ballot: this.#ballot, record } as const
    const asked = this.#toVoters([record.voters, record.votersBefore], message)
    const own = asked.filter((e) => e.type === 'send' && e.to === this.#self)
    if (own.length > 0 && !accepted.has(this.#self)) return own
    return asked.filter((e) => e.type !== 'send' || !accepted.has(e.to))
  }

  #onAccepted(from: MemberId, epoch: Epoch, nowMs: number): ProposerEffect[] {
    const proposal = this.#proposal
    if (!proposal || proposal.record.epoch !== epoch) return []
    if (this.#phase !== 'recovering' && this.#phase !== 'leading') return []
    proposal.accepted.add(from)
    const { record } = proposal
    if (!isChosenBy(record, (m) => proposal.accepted.has(m))) {
      return from === this.#self ? this.#sendAccept(proposal) : []
    }
    this.#proposal = undefined
    this.#known = record
    const chosen: ProposerEffect = { type: 'chosen', record }
    return this.#phase === 'recovering' ? [chosen, ...this.#elected(nowMs)] : [chosen]
  }

  #onRefusal(reply: VoterReply & { type: 'refusal' }, nowMs: number): ProposerEffect[] {
    if (reply.promised > this.#heard) this.#heard = reply.promised
    // Of an attempt that is over.
    if (reply.ballot !== this.#ballot) return []
    const waitMs = reply.waitMs > 0 ? reply.waitMs : BACK_OFF_MS
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs + waitMs)
    if (this.#leads && reply.promised >= this.#ballot) {
      if (reply.promised === this.#ballot && this.#phase === 'leading') return []
      return this.#ownLeaseEndMs() > nowMs ? this.#probe(nowMs) : this.#resign()
    }
    // A majority may do without that voter; if not, the next attempt is made when it is free.
    this.#attemptEndMs = Math.min(this.#attemptEndMs, nowMs + waitMs)
    return []
  }

  #onTick(nowMs: number): ProposerEffect[] {
    const effects: ProposerEffect[] = []
    if (this.#leads) effects.push(...this.#renew(nowMs))
    if (this.#phase === 'leading' && this.#proposal) {
      effects.push(...this.#sendAccept(this.#proposal))
    }
    if (this.#phase === 'idle' || this.#phase === 'leading') return effects
    if (nowMs < this.#attemptEndMs) return effects
    if (!this.#leads) this.#phase = 'idle'
    else if (this.#ownLeaseEndMs() > nowMs) effects.push(...this.#probe(nowMs))
    else effects.push(...this.#resign())
    return effects
  }

  /**
   * Everybody is asked who may vote on a later record: when one names other voters, the lease holds
   * with them at once, and nothing that is being answered has to wait.
   */
  #renew(nowMs: number): ProposerEffect[] {
    const { members } = this.#proposal?.record ?? this.#known
    const everybody = members.map(({ id }) => [id, 1] as const)
    const sets = [this.#known.voters, this.#proposal?.record.voters ?? [], everybody]
    const sentMs = Math.floor(nowMs)
    return this.#toVoters(sets, { type: 'renew', ballot: this.#leadBallot, sentMs })
  }

  #resign(): ProposerEffect[] {
    const effects: ProposerEffect[] = []
    if (this.#leads) {
      this.#yieldedBallot = this.#leadBallot
      const message = { type: 'yield', ballot: this.#leadBallot } as const
      const promised = [...this.#leaseEnds.keys()].map((id) => [id, 1] as const)
      effects.push(...this.#toVoters([promised], message), { type: 'deposed' })
    }
    this.#phase = 'idle'
    this.#leads = false
    this.#proposal = undefined
    this.#leaseEnds.clear()
    return effects
  }

  #toVoters(sets: (readonly VoterWeight[])[], message: RegisterMessage): ProposerEffect[] {
    const ids = new Set(sets.flatMap((voters) => voters.map(([id]) => id)))
    const own = ids.delete(this.#self) ? [this.#self] : []
    return [...own, ...ids].map((to) => ({ type: 'send', to, message }))
  }

  #ownLeaseEndMs(): number {
    if (!this.#leads) return Number.NEGATIVE_INFINITY
    const sets = [this.#known.voters]
    if (this.#proposal) sets.push(this.#proposal.record.voters)
    return Math.min(...sets.map((voters) => this.#leaseEnd(voters))) - this.#options.marginMs
  }

  /** When the promises that make a majority of these voters have run out. */
  #leaseEnd(voters: readonly VoterWeight[]): number {
    const ends = voters.map(([id]) => this.#leaseEnds.get(id) ?? Number.NEGATIVE_INFINITY)
    ends.sort((a, b) => b - a)
    for (const end of ends) {
      const holds = (m: MemberId): boolean => (this.#leaseEnds.get(m) ?? end - 1) >= end
      if (isMajority(voters, holds)) return end
    }
    return Number.NEGATIVE_INFINITY
  }
}

function isNewer(a: Accepted, b: Accepted | undefined): boolean {
  if (!b || a.ballot > b.ballot) return true
  return a.ballot === b.ballot && a.record.epoch > b.record.epoch
}
