/**
 * The leader's side of an epoch change. It changes the epoch record in rounds:
 *
 *   seal     every participant stops serving, makes what it holds durable and says what that is
 *   collect  the cuts are fixed; every participant, the leader first, holds up to them, durably
 *   propose  a majority of the voters accepts the new record (src/replication/register)
 *   publish  everybody gets it; each serves again once it has applied up to the cuts
 *
 * The leader is whoever won the ballot last; it becomes the authority of the first record it makes,
 * and stays it until it leaves: then the record names a successor out of the in-sync set.
 *
 * Invariants: the death of an incarnation is an epoch change with a final cut for its writer
 * (RULES 6). A cut is the join of causally closed vectors and names only bytes that the authority
 * and every member of the new in-sync set hold durably before the record is proposed (RULES 3, 9,
 * 10). Only a member of the in-sync set leads, and the authority of a record is in its in-sync set.
 * One change at a time; a wish that comes meanwhile joins the next one. A participant that stops
 * answering is dropped only after the promise of its lease is over (event `lost`); a joiner has no
 * lease and is dropped as soon as somebody loses patience (event `impatient`). Every seal has a
 * number (round), and only the answer to the last seal sent to a member counts: an earlier
 * one may say less than the member holds by now.
 *
 * Pure: events in, effects out.
 */
import { assert, unreachable } from '../../fs/assert.ts'
import type { Epoch, MemberId, WriterId } from '../../fs/primitives.ts'
import { incarnationOf, memberOf } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import { hasEnded } from '../record-history.ts'
import type { Vector } from '../vector.ts'
import { vectorCovers } from '../vector.ts'
import type { EpochEffect, EpochEvent } from './epoch-event.ts'
import type { MemberChange } from './member-change.ts'
import { isMemberChangeDone, memberChangeConflict } from './member-change.ts'
import type { ChangePlan, Present } from './next-record.ts'
import { cutsOf, nextRecord } from './next-record.ts'

/** Rounds of one leader in one incarnation of it; the next one begins behind them. */
const ROUNDS_MAX = 2 ** 24
/** Changes of the member list that wait; who asks asks again. */
const PENDING_CHANGES_MAX = 64

interface Change extends ChangePlan {
  /** The last seal sent to each participant. */
  readonly rounds: Map<MemberId, number>
  readonly held: Map<MemberId, Vector>
  cuts: Vector | undefined
  next: EpochRecord | undefined
  phase: 'seal' | 'collect' | 'propose'
}

export class EpochAuthority {
  readonly #self: MemberId
  #record: EpochRecord
  #change: Change | undefined
  readonly #present = new Map<MemberId, Present>()
  readonly #joins = new Map<MemberId, 'live' | 'in-sync'>()
  readonly #lost = new Set<MemberId>()
  readonly #leaving = new Set<MemberId>()
  /** To be removed, and without a lease. */
  readonly #idle = new Set<MemberId>()
  #membership: MemberChange[] = []
  /** Whatever becomes of the wishes, a record must follow: it ends the seals that are out. */
  #recordDue = false
  #lastRound: number

  /** `firstRound`: above all that this incarnation has used as the leader before. */
  constructor(record: EpochRecord, self: MemberId, options: { readonly firstRound: number }) {
    assert(record.inSync.includes(self), 'only a member of the in-sync set leads')
    this.#record = record
    this.#self = self
    this.#lastRound = options.firstRound
  }

  get record(): EpochRecord {
    return this.#record
  }

  /** The last number used for a seal. */
  get lastRound(): number {
    return this.#lastRound
  }

  /** The record the voters are asked for. */
  get proposed(): EpochRecord | undefined {
    return this.#change?.phase === 'propose' ? this.#change.next : undefined
  }

  get changing(): boolean {
    return this.#change !== undefined
  }

  /** Members whose live writer is neither present nor declared lost: a change waits for them. */
  get awaited(): MemberId[] {
    return this.#record.live
      .map(memberOf)
      .filter((m) => !this.#present.has(m) && !this.#lost.has(m))
  }

  /** Joiners that everybody waits for, sealed: they have not said that they hold what they must. */
  get tardyJoiners(): MemberId[] {
    const change = this.#change
    if (!change || change.phase === 'propose') return []
    return [...change.joining.keys()].filter((member) => {
      if (member === this.#self || this.#liveWriterOf(member) !== undefined) return false
      const held = change.held.get(member)
      return !held || !vectorCovers(held, change.cuts ?? new Map())
    })
  }

  /** Live members to be removed, until their leases are over: outside it could answer under one. */
  get expiring(): MemberId[] {
    const there = this.#removing(this.#membership).filter((m) => this.#present.has(m))
    return there.filter((m) => !this.#idle.has(m) && !this.#lost.has(m))
  }

  /** It gets no lease any more: declared lost or to be removed, and not yet out of the record. */
  isLost(member: MemberId): boolean {
    if (this.#lost.has(member)) return true
    const pending = [...this.#membership, ...(this.#change?.membership ?? [])]
    return this.#removing(pending).includes(member)
  }

  /** Live members other than the leader that those changes remove. */
  #removing(changes: readonly MemberChange[]): MemberId[] {
    return changes.flatMap((change) => {
      const isLive = change.kind === 'remove' && this.#liveWriterOf(change.id) !== undefined
      return isLive && change.id !== this.#self ? [change.id] : []
    })
  }

  step(event: EpochEvent): EpochEffect[] {
    switch (event.type) {
      case 'hello':
        return this.#onHello(event)
      case 'gone':
        return this.#onGone(event.member)
      case 'lost':
        return this.#onLost(event.member)
      case 'join':
        if (!this.#present.has(event.member)) return []
        this.#joins.set(event.member, event.want)
        return this.#begin()
      case 'sealed':
        return this.#onSealed(event)
      case 'passed':
        this.#onPassed(event.member, event.epoch)
        return []
      case 'idle':
        this.#idle.add(event.member)
        return this.#begin()
      case 'impatient':
        return this.#onImpatient(event.member)
      case 'chosen':
        return this.#onChosen(event.epoch)
      case 'members':
        return this.#onMembers(event.change)
      case 'leave':
        if (this.#liveWriterOf(event.member) === undefined) return []
        this.#leaving.add(event.member)
        return this.#begin()
      case 'force':
        this.#recordDue = true
        return this.#begin()
      case 'remind':
        return this.#onRemind()
      default:
        return unreachable(event)
    }
  }

  #onPassed(member: MemberId, epoch: Epoch | 0): void {
    const present = this.#present.get(member)
    if (present) this.#present.set(member, { ...present, passed: epoch })
  }

  #onHello(event: EpochEvent & { type: 'hello' }): EpochEffect[] {
    const { member, writer, coreKey, held } = event
    const before = this.#present.get(member)
    const passed = before?.writer === writer ? before.passed : 0
    this.#present.set(member, { writer, coreKey, held, passed })
    if (!this.#record.live.includes(writer)) this.#lost.delete(member)
    const change = this.#change
    if (!change) return this.#begin()
    // A record is proposed once: what happens meanwhile is for the next one.
    if (!change.participants.has(member) || change.phase === 'propose') return []
    // The connection came back (or a new incarnation took its place) in the middle of a change.
    if (!this.#record.live.includes(writer) && !change.joining.has(member)) return this.#restart()
    // The same process, which then holds at least what it said; in the first round it says it anew.
    if (change.phase === 'seal') change.held.delete(member)
    return [this.#seal(change, member)]
  }

  #onMembers(change: MemberChange): EpochEffect[] {
    const same = (other: MemberChange): boolean => JSON.stringify(other) === JSON.stringify(change)
    const pending = [...this.#membership, ...(this.#change?.membership ?? [])]
    if (pending.length >= PENDING_CHANGES_MAX || pending.some(same)) return []
    if (isMemberChangeDone(this.#record, change)) return []
    // The record may still name the leader before; whoever asks sees the next one.
    if (change.kind === 'remove' && change.id === this.#self) return []
    if (memberChangeConflict(this.#record, change) !== undefined) return []
    this.#membership.push(change)
    return this.#begin()
  }

  /** The same seals again: who carries one out already does not begin anew. */
  #onRemind(): EpochEffect[] {
    const change = this.#change
    if (!change || change.phase === 'propose') return this.#begin()
    const { epoch, cuts, rounds, held } = change
    const effects: EpochEffect[] = []
    for (const member of change.participants) {
      const round = rounds.get(member)
      const answered = held.get(member)
      const isDone = answered !== undefined && (!cuts || vectorCovers(answered, cuts))
      if (round === undefined || isDone || !this.#present.has(member)) continue
      effects.push({ type: 'seal', member, epoch, round, cuts: cuts ?? new Map() })
    }
    return effects
  }

  #onImpatient(member: MemberId): EpochEffect[] {
    if (!this.tardyJoiners.includes(member)) return []
    return this.#restart(member)
  }

  #seal(change: Change, member: MemberId): EpochEffect {
    this.#lastRound++
    const self = this.#present.get(this.#self)
    assert(self !== undefined && this.#lastRound < ROUNDS_MAX, 'no round number to be had')
    const round = incarnationOf(self.writer) * ROUNDS_MAX + this.#lastRound
    change.rounds.set(member, round)
    return { type: 'seal', member, epoch: change.epoch, round, cuts: change.cuts ?? new Map() }
  }

  #onGone(member: MemberId): EpochEffect[] {
    this.#present.delete(member)
    this.#joins.delete(member)
    this.#leaving.delete(member)
    const change = this.#change
    if (!change || change.phase === 'propose') return []
    // What it offered may be part of the cuts, and nobody else may hold it.
    const offered = !change.participants.has(member)
    // A joiner that vanishes is never declared lost: the change goes on without it.
    const joining = change.joining.has(member)
    return offered || joining ? this.#restart() : []
  }

  #onLost(member: MemberId): EpochEffect[] {
    assert(member !== this.#self, 'the leader is not lost to itself')
    this.#present.delete(member)
    this.#joins.delete(member)
    if (this.#liveWriterOf(member) !== undefined) this.#lost.add(member)
    if (this.#change?.participants.has(member) && this.#change.phase !== 'propose') {
      return this.#restart()
    }
    return this.#begin()
  }

  /** Begins again, without the joiner `dropped`. */
  #restart(dropped?: MemberId): EpochEffect[] {
    const change = this.#change
    // It may have said its wish again meanwhile.
    if (dropped !== undefined) this.#joins.delete(dropped)
    if (change) {
      for (const [member, want] of change.joining) {
        if (this.#present.has(member) && member !== dropped) this.#joins.set(member, want)
      }
      this.#membership = [...change.membership, ...this.#membership]
    }
    this.#change = undefined
    return this.#begin()
  }

  #liveWriterOf(member: MemberId): WriterId | undefined {
    return this.#record.live.find((w) => memberOf(w) === member)
  }

  /** Live writers whose incarnation has ended: another one of the member is there, or it is lost. */
  #ended(): WriterId[] {
    return this.#record.live.filter((writer) => {
      const member = memberOf(writer)
      if (this.#lost.has(member)) return true
      const present = this.#present.get(member)
      return present !== undefined && present.writer !== writer
    })
  }

  #begin(): EpochEffect[] {
    if (this.#change) return []
    const removed = new Set(this.#membership.filter((c) => c.kind === 'remove').map((c) => c.id))
    const ended = this.#ended()
    const wanted = [...this.#joins].filter(([member, want]) => this.#isNews(member, want))
    const leaving = this.#leavers()
    const wishes = ended.length + wanted.length + leaving.size + this.#membership.length
    if (wishes === 0 && !this.#recordDue) return []
    // A live member that is neither there nor lost may still hold its lease: wait for either.
    if (this.awaited.length > 0 || this.expiring.length > 0) return []
    const self = this.#present.get(this.#self)
    if (!self) return []
    // After a restart its own writer joins in the same change: no record without the leader.
    if (!this.#record.live.includes(self.writer) && !this.#joins.has(this.#self)) return []
    const participants = new Set<MemberId>([this.#self])
    for (const writer of this.#record.live) {
      if (!ended.includes(writer)) participants.add(memberOf(writer))
    }
    const joining = new Map<MemberId, 'live' | 'in-sync'>()
    for (const [member, want] of wanted) {
      if (removed.has(member)) continue
      joining.set(member, want)
      participants.add(member)
    }
    const epoch = (this.#record.epoch + 1) as Epoch
    const change: Change = {
      epoch,
      participants,
      joining,
      leaving,
      membership: this.#membership,
      rounds: new Map(),
      held: new Map(),
      cuts: undefined,
      next: undefined,
      phase: 'seal'
    }
    this.#change = change
    this.#joins.clear()
    this.#membership = []
    this.#recordDue = true
    return [...participants].map((member) => this.#seal(change, member))
  }

  /** Who leaves with this change; the leader only where somebody can take its place. */
  #leavers(): Set<MemberId> {
    const leaving = new Set([...this.#leaving].filter((m) => this.#present.has(m)))
    if (leaving.has(this.#self) && this.#successor(leaving) === undefined) {
      leaving.delete(this.#self)
    }
    return leaving
  }

  /** An in-sync member that stays and is there. */
  #successor(leaving: ReadonlySet<MemberId>): MemberId | undefined {
    const ended = this.#ended()
    return this.#record.live
      .filter((writer) => !ended.includes(writer))
      .map(memberOf)
      .find((m) => this.#present.has(m) && this.#record.inSync.includes(m) && !leaving.has(m))
  }

  /** True when the leader can leave to somebody. */
  get hasSuccessor(): boolean {
    return this.#successor(new Set([...this.#leaving, this.#self])) !== undefined
  }

  #isNews(member: MemberId, want: 'live' | 'in-sync'): boolean {
    const present = this.#present.get(member)
    if (!present) return false
    if (!this.#record.members.some((m) => m.id === member && m.role === 'data')) return false
    // More may have been forgotten since it said its wish. The leader was in sync all the time.
    if (member !== this.#self && present.passed < this.#record.forgotten) return false
    if (!this.#record.live.includes(present.writer)) return this.#canWrite(present.writer)
    return want === 'in-sync' && !this.#record.inSync.includes(member)
  }

  /** A writer that ended never writes again (RULES 19). */
  #canWrite(writer: WriterId): boolean {
    return !hasEnded(this.#record, writer)
  }

  #onSealed({ member, epoch, round, held }: EpochEvent & { type: 'sealed' }): EpochEffect[] {
    const change = this.#change
    if (!change || change.epoch !== epoch || change.rounds.get(member) !== round) return []
    if (change.phase === 'propose') return []
    change.held.set(member, held)
    const everybody = [...change.participants]
    if (change.phase === 'seal') {
      if (!everybody.every((m) => change.held.has(m))) return []
      const cuts = cutsOf(this.#record, change.held.values(), this.#present)
      change.cuts = cuts
      change.phase = 'collect'
      return [
        ...everybody
          .filter((m) => !vectorCovers(change.held.get(m) ?? new Map(), cuts))
          .map((m) => this.#seal(change, m)),
        ...this.#collected(change)
      ]
    }
    return this.#collected(change)
  }

  #collected(change: Change): EpochEffect[] {
    const cuts = change.cuts ?? new Map()
    for (const member of change.participants) {
      if (!vectorCovers(change.held.get(member) ?? new Map(), cuts)) return []
    }
    change.phase = 'propose'
    change.next = nextRecord(this.#record, this.#self, change, cuts, this.#present)
    return [{ type: 'propose', record: change.next }]
  }

  #onChosen(epoch: Epoch): EpochEffect[] {
    const change = this.#change
    assert(change?.phase === 'propose' && change.epoch === epoch, 'chosen is another record')
    const record = change.next
    assert(record !== undefined, 'chosen before it was made')
    this.#record = record
    this.#change = undefined
    this.#recordDue = false
    this.#idle.clear()
    for (const member of change.leaving) this.#leaving.delete(member)
    // Whoever leaves hands over: what is still wished is for the next leader.
    if (change.leaving.has(this.#self)) return [{ type: 'publish', record }]
    for (const member of this.#lost) {
      if (this.#liveWriterOf(member) === undefined) this.#lost.delete(member)
    }
    return [{ type: 'publish', record }, ...this.#begin()]
  }
}
