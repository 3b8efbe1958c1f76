/** Voters and candidates around one table, with time by hand: messages arrive at once, or never. */
import type { Epoch, MemberId } from '../../../src/fs/primitives.ts'
import { LEASE_DEFAULTS } from '../../../src/replication/lease.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import type { Ballot } from '../../../src/replication/register/ballot.ts'
import type {
  ProposerEffect,
  ProposerEvent,
  VoterReply
} from '../../../src/replication/register/proposer.ts'
import { Proposer } from '../../../src/replication/register/proposer.ts'
import type { RegisterMessage } from '../../../src/replication/register/register-message.ts'
import type { VoterRequest, VoterState } from '../../../src/replication/register/voter.ts'
import { FRESH_VOTER, Voter } from '../../../src/replication/register/voter.ts'

export const LEASE = LEASE_DEFAULTS

/** Ballots as tests write them: the n-th of a member. */
export function ballotOf(counter: number, member: MemberId): Ballot {
  return (counter * 256 + member) as Ballot
}

/** The next record, different from any other by its name. */
export function nextRecord(record: EpochRecord, parts: Partial<EpochRecord> = {}): EpochRecord {
  const epoch = (record.epoch + 1) as Epoch
  return { ...record, epoch, votersBefore: record.voters, ...parts }
}

export class Council {
  nowMs = 0
  /** `1>2`: nothing from 1 reaches 2. */
  readonly cut = new Set<string>()
  readonly proposers = new Map<MemberId, Proposer>()
  readonly voters = new Map<MemberId, Voter>()
  /** The newest record that each member knows to be chosen. */
  readonly known = new Map<MemberId, EpochRecord>()
  readonly #saved = new Map<MemberId, VoterState>()
  readonly #told: string[] = []
  readonly #queue: (() => void)[] = []

  constructor(record: EpochRecord, members: readonly MemberId[]) {
    for (const member of members) {
      this.known.set(member, record)
      this.start(member)
    }
  }

  /** A process of that member, over what it has saved. */
  start(member: MemberId): void {
    const state = this.saved(member)
    const options = { ...LEASE, self: member }
    this.voters.set(member, new Voter(state, { ...options, nowMs: this.nowMs }))
    const heard = state.promised
    this.proposers.set(member, new Proposer(this.#knownTo(member), { ...options, heard }))
  }

  saved(member: MemberId): VoterState {
    return this.#saved.get(member) ?? FRESH_VOTER
  }

  proposer(member: MemberId): Proposer {
    const proposer = this.proposers.get(member)
    if (!proposer) throw new Error(`no member ${member}`)
    return proposer
  }

  /** Cuts both ways. */
  part(a: MemberId, b: MemberId): void {
    this.cut.add(`${a}>${b}`).add(`${b}>${a}`)
  }

  step(member: MemberId, event: ProposerEvent): void {
    this.#queue.push(() => this.#step(member, event))
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) next()
  }

  campaign(member: MemberId): void {
    const { promised } = this.saved(member)
    this.step(member, { type: 'campaign', promised, nowMs: this.nowMs })
  }

  propose(member: MemberId, record: EpochRecord): void {
    this.step(member, { type: 'propose', record })
  }

  tick(...members: MemberId[]): void {
    for (const member of members) this.step(member, { type: 'tick', nowMs: this.nowMs })
  }

  /** Time goes on in heartbeats of the given members. */
  pass(ms: number, ...members: MemberId[]): void {
    for (let left = ms; left > 0; left -= LEASE.heartbeatMs) {
      this.nowMs += Math.min(left, LEASE.heartbeatMs)
      this.tick(...members)
    }
  }

  /** `1 elected`, `1 chosen 2`, `1 deposed` since the last call. */
  told(): string[] {
    return this.#told.splice(0)
  }

  #knownTo(member: MemberId): EpochRecord {
    const record = this.known.get(member)
    if (!record) throw new Error(`no member ${member}`)
    return record
  }

  #step(member: MemberId, event: ProposerEvent): void {
    for (const effect of this.proposer(member).step(event)) this.#carryOut(member, effect)
  }

  #carryOut(member: MemberId, effect: ProposerEffect): void {
    if (effect.type === 'send') {
      const { to, message } = effect
      this.#queue.push(() => this.#ask(member, to, message))
    } else if (effect.type === 'chosen') {
      this.known.set(member, effect.record)
      this.#told.push(`${member} chosen ${effect.record.epoch}`)
    } else this.#told.push(`${member} ${effect.type}`)
  }

  #ask(from: MemberId, to: MemberId, message: RegisterMessage): void {
    const voter = this.voters.get(to)
    if (!voter || this.cut.has(`${from}>${to}`)) return
    const { epoch } = this.#knownTo(to)
    const answer = voter.on(from, message as VoterRequest, epoch, this.nowMs)
    if (answer.save) this.#saved.set(to, answer.save)
    const { reply } = answer
    if (!reply || this.cut.has(`${to}>${from}`)) return
    const event = { type: 'reply', from: to, reply: reply as VoterReply } as const
    this.#queue.push(() => this.#step(from, { ...event, nowMs: this.nowMs }))
  }
}
