/**
 * This member's place in the epochs: says hello, keeps its lease, follows records. How it carries
 * out seals is in own-seals.ts, what it asks for in own-wishes.ts, how it goes in departure.ts; what
 * it does as the leader in leader-duties.ts, how the leader is found and a record agreed in
 * src/replication/register.
 *
 * Phases: `starting` (no word from a leader yet, nothing replayed), `catching-up`, `live`,
 * `sealed` (an epoch change runs), `ended` (this incarnation is over; the owner opens another).
 * Invariants: it serves only while live in the newest record it knows, applied up to that record's
 * cuts (RULES 18), and answers only under its lease: the authority under its own from the voters,
 * everybody else under the authority's, which is nested in that. What it holds beyond a cut is
 * never served: it ends with `rebuild` (RULES 19).
 */
import type { MemberId } from '../../fs/primitives.ts'
import { incarnationOf, memberOf } from '../../fs/primitives.ts'
import { Beat } from '../beat.ts'
import type { MemberChange } from '../epoch/member-change.ts'
import type {
  HeartbeatMessage,
  HelloMessage,
  JoinMessage,
  LeaseMessage,
  LeaveMessage,
  MembersMessage,
  RecordMessage,
  SealedMessage,
  SealMessage
} from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import { hasEnded, lastWriterOf } from '../record-history.ts'
import { vectorCovers } from '../vector.ts'
import { VolumeError } from '../volume/volume-error.ts'
import { Departure } from './departure.ts'
import { type EpochPause, epochPause } from './epoch-pause.ts'
import { Heartbeats } from './heartbeats.ts'
import type { LeaderDuties } from './leader-duties.ts'
import { Leadership } from './leadership.ts'
import type { EndReason, MembershipComponents, MembershipOptions } from './membership-components.ts'
import { OwnSeals } from './own-seals.ts'
import { OwnWishes } from './own-wishes.ts'
import { allCuts, boundedHeld, isBeyondCuts } from './record-cuts.ts'

export type Phase = 'starting' | 'catching-up' | 'live' | 'sealed' | 'ended'

export class Membership {
  readonly #components: MembershipComponents
  readonly #options: MembershipOptions
  readonly #heartbeats: Heartbeats
  readonly #seals: OwnSeals
  readonly #leadership: Leadership
  readonly #wishes: OwnWishes
  readonly #departure: Departure
  readonly #hellos = new Map<MemberId, HelloMessage>()
  #phase: Phase = 'starting'
  #isReplaying = false
  /** Who said last that it leads; it need not stand in a record yet. */
  #leader: MemberId | undefined
  readonly #beat: Beat
  #leaseLostMs: number | undefined
  #lastPause: EpochPause | undefined
  /** A chosen record without this member, which whoever leads will bring. */
  #removal: EpochRecord | undefined

  constructor(components: MembershipComponents, options: MembershipOptions) {
    this.#components = components
    this.#options = options
    const { links, clock, logger, heartbeat, admission } = components
    const epoch = () => admission.record.epoch
    this.#heartbeats = new Heartbeats({ links, clock, logger, epoch, heartbeat }, options)
    this.#beat = new Beat({ clock, work: () => this.#tick() }, { periodMs: options.heartbeatMs })
    this.#departure = new Departure({ clock, logger })
    this.#seals = this.#makeSeals()
    this.#leadership = new Leadership(
      {
        ...components,
        sealSelf: (seal) => this.#background(this.#seals.carryOut(components.self, seal)),
        install: (record) => this.#install(record)
      },
      options
    )
    this.#wishes = new OwnWishes({
      ...components,
      record: () => admission.record,
      leader: () => this.#leaderToAsk(),
      seals: this.#seals
    })
  }

  get phase(): Phase {
    return this.#phase
  }

  /** The newest record names this member, and it can prove its lease. */
  get isAuthority(): boolean {
    const { register, admission, self } = this.#components
    return register.leads && admission.record.authority === self
  }

  start(): void {
    const { promises, clock, admission, self } = this.#components
    // An earlier incarnation may have led, and have promised a lease just before it ended.
    for (const member of admission.record.live.map(memberOf)) {
      if (member !== self) promises.promise(member, clock.monotonicMs(), this.#options.leaseMs)
    }
    this.#beat.start()
  }

  stop(): void {
    this.#beat.stop()
    this.#phase = 'ended'
    this.#departure.end()
  }

  /** The right to answer what was read or done: checked at each reply. */
  mayAnswer(): boolean {
    if (this.#phase !== 'live' && this.#phase !== 'sealed') return false
    return this.leaseLeftMs() > 0
  }

  /** What is left of the right to answer; the authority's own comes from the voters. */
  leaseLeftMs(): number {
    const { admission, self, register, lease, clock } = this.#components
    if (admission.record.authority === self) {
      return this.#duties?.mayServe ? register.leaseLeftMs() : 0
    }
    return lease.leftMs(clock.monotonicMs())
  }

  /**
   * It holds all that an fsync has covered, and no lease of another is valid here. A member of the
   * in-sync set lacks what it must have only when its state was damaged or made anew.
   */
  mayCampaign(): boolean {
    const { admission, self, held } = this.#components
    const { record } = admission
    if (this.#phase === 'ended' || this.#departure.isUnderWay) return false
    if (!record.inSync.includes(self) || this.mayAnswer()) return false
    return vectorCovers(held(), allCuts(record)) && !this.#components.lacksData()
  }

  /** Milliseconds since the member was last heard, or undefined. */
  silentMs(member: MemberId): number | undefined {
    return this.#heartbeats.silentMs(member)
  }

  onConnected(member: MemberId): void {
    const { links, writer, coreKey, held, admission, register } = this.#components
    if (this.#phase === 'ended') return
    this.#heartbeats.heard(member)
    links.sendControl(member, {
      type: 'hello',
      writer,
      coreKey,
      epoch: admission.record.epoch,
      serving: this.#phase === 'live' || this.#phase === 'sealed',
      held: boundedHeld(held(), admission.record)
    })
    this.#heartbeats.send(member)
    if (this.#duties) this.#sendRecord(member)
    register.connected()
  }

  onDisconnected(member: MemberId): void {
    this.#hellos.delete(member)
    if (this.#leader === member) this.#leader = undefined
    this.#components.catchUp.gone(member)
    this.#duties?.step({ type: 'gone', member })
  }

  /** The last change in which a live member was lost or another one became the authority. */
  get lastPause(): EpochPause | undefined {
    return this.#lastPause
  }

  /** True when entries may be pushed to that member. */
  knows(member: MemberId): boolean {
    return this.#hellos.has(member)
  }

  onHello(from: MemberId, message: HelloMessage): void {
    const { catchUp, links, admission, logger } = this.#components
    if (memberOf(message.writer) !== from) {
      links.cut(from, 'hello with the writer of another member')
      return
    }
    this.#hellos.set(from, message)
    catchUp.heard(from, message.held)
    logger.info({ from, writer: message.writer, epoch: message.epoch }, 'hello')
    if (!this.#duties) {
      if (message.epoch < admission.record.epoch) this.#sendRecord(from)
      return
    }
    this.#sendRecord(from)
    this.#duties.hello(from, message)
    catchUp.pull()
  }

  onHeartbeat(from: MemberId, message: HeartbeatMessage): void {
    const { catchUp } = this.#components
    this.#heartbeats.heard(from)
    if (!this.#hellos.has(from)) return
    catchUp.heard(from, message.applied)
    if (this.#phase === 'ended') return
    this.#duties?.heartbeat(from, message)
    if (from === this.#components.admission.record.authority) this.#beat.follow()
  }

  onLease(from: MemberId, message: LeaseMessage): void {
    const { admission, lease } = this.#components
    const { record } = admission
    if (from !== record.authority || message.epoch !== record.epoch) return
    lease.renew(message.sentMs, message.leaseMs)
  }

  onSeal(from: MemberId, message: SealMessage): void {
    const carriedOut = this.#seals.take(from, message)
    if (carriedOut) this.#background(carriedOut)
  }

  onSealed(from: MemberId, message: SealedMessage): void {
    this.#components.catchUp.heard(from, message.held)
    this.#duties?.step({ ...message, member: from })
  }

  onJoin(from: MemberId, message: JoinMessage): void {
    if (message.epoch !== this.#components.admission.record.epoch) return
    this.#duties?.join(from, message.want)
  }

  /**
   * Resolves when the volume goes on without this member, with all it has written: then nobody
   * waits for the end of its lease, and another one is the authority if this was it. Also when
   * nobody can take over, or when that takes too long: the others find out by themselves. The
   * caller has stopped serving.
   */
  async leave(): Promise<void> {
    const { links, admission, self, register } = this.#components
    if (this.#phase === 'live' && this.#canLeave()) {
      await this.#departure.begin(() => {
        const { epoch } = admission.record
        if (this.#duties) this.#duties.step({ type: 'leave', member: self })
        else links.sendControl(this.#leaderToAsk(), { type: 'leave', epoch })
      })
    }
    this.stop()
    // Else somebody may still answer under a lease given here: it has to run out.
    if (this.#departure.isReplaced) register.resign()
    else register.stop()
  }

  onLeave(from: MemberId, message: LeaveMessage): void {
    const { admission, logger } = this.#components
    if (!this.#duties || message.epoch !== admission.record.epoch) return
    logger.info({ from }, 'member leaves')
    this.#duties.step({ type: 'leave', member: from })
  }

  onRecord(from: MemberId, { record, leads }: RecordMessage): void {
    const { admission, saveRecord, register } = this.#components
    const known = admission.record
    if (this.#phase === 'ended' || record.volumeId !== known.volumeId) return
    if (record.epoch < known.epoch) return
    if (leads) this.#leader = from
    if (record.epoch > known.epoch) {
      saveRecord(record)
      // What was proposed here is published here, and taken up with that.
      register.known(record)
      if (admission.record.epoch >= record.epoch) return
    }
    if (this.#phase === 'starting') this.#whileStarting(record, leads)
    else if (record.epoch > known.epoch) this.#install(record)
    // Whoever leads from now on gives a lease when it is asked.
    else if (leads && this.#phase === 'live' && !this.mayAnswer()) this.#heartbeats.send(from)
  }

  /** That member refuses this one's key for good. It says so of a chosen record only. */
  onRemoved(by: MemberId): void {
    if (this.#phase === 'ended') return
    this.#components.logger.warn({ by }, 'this member was removed from the volume')
    this.#end('removed')
  }

  /** A majority has accepted this record. */
  onChosen(record: EpochRecord): void {
    const { admission, saveRecord, self } = this.#components
    if (this.#phase === 'ended' || this.#duties?.chosen(record)) return
    if (record.epoch <= admission.record.epoch) return
    // Whoever stops with this record may be the one whose answer the leader still needs: its own
    // word that the record is chosen comes first.
    if (this.#departure.isUnderWay) return
    if (!record.members.some((m) => m.id === self)) {
      this.#removal = record
      return
    }
    saveRecord(record)
    if (this.#phase === 'starting') this.#whileStarting(record, false)
    else this.#install(record)
  }

  /** The state of another member is here: from now on this one has nothing to lose. */
  onStateReceived(): void {
    if (this.#phase === 'starting') this.#end('transferred')
  }

  /** The ballot is won: nobody else leads, and there is no newer record than the one here. */
  onElected(): void {
    const { admission, register } = this.#components
    if (this.#removal && this.#removal.epoch > admission.record.epoch) {
      this.#goWith(this.#removal)
      return
    }
    if (this.#phase === 'starting') this.#whileStarting(admission.record, true)
    // The record it has just finished may leave it out: then it waits for who can lead.
    const mayLead = admission.record.inSync.includes(this.#components.self)
    if (this.#currentPhase() === 'ended' || !mayLead) register.resign()
    else if (this.#currentPhase() !== 'starting') this.#lead()
  }

  /** What was begun by a leader before, and removes this member, was finished here. */
  #goWith(record: EpochRecord): void {
    const { links, saveRecord } = this.#components
    saveRecord(record)
    for (const member of links.connected()) {
      links.sendControl(member, { type: 'record', record, leads: false })
    }
    this.#end('removed')
  }

  #lead(): void {
    const { admission, self, register } = this.#components
    const { record } = admission
    if (!record.inSync.includes(self)) register.resign()
    else this.#leadership.begin(record, this.#hellos, this.#seals.announcedAfter(record.epoch))
  }

  onDeposed(): void {
    // Nobody but this leader has heard the answer to its own seal, unless a record came of it.
    if (!this.#leadership.end()) this.#seals.withdraw(this.#components.self)
  }

  /** As the leader at once, else by asking the authority; the record says when it is done. */
  proposeChange(change: MemberChange): void {
    if (this.#duties) this.#duties.step({ type: 'members', change })
    else this.#components.links.sendControl(this.#leaderToAsk(), { type: 'members', change })
  }

  onMembers({ change }: MembersMessage): void {
    this.#duties?.step({ type: 'members', change })
  }

  /** Who said last that it leads, else whom the record names. */
  #leaderToAsk(): MemberId {
    return this.#leader ?? this.#components.admission.record.authority
  }

  #makeSeals(): OwnSeals {
    const { links, self, seal } = this.#components
    return new OwnSeals({
      ...this.#components,
      mayAnswer: () => this.#phase !== 'starting' && this.#phase !== 'ended',
      stopServing: () => {
        if (this.#phase !== 'live') return undefined
        this.#phase = 'sealed'
        return seal()
      },
      answer: (to, message) => {
        if (to === self) this.#duties?.step({ ...message, member: self })
        else links.sendControl(to, message)
      }
    })
  }

  get #duties(): LeaderDuties | undefined {
    return this.#leadership.duties
  }

  #sendRecord(member: MemberId): void {
    const { links, admission } = this.#components
    const { record } = admission
    links.sendControl(member, { type: 'record', record, leads: this.#duties !== undefined })
  }

  /** Nothing is replayed before a leader has said which record is the newest. */
  #whileStarting(record: EpochRecord, leads: boolean): void {
    const { lacksState, fetchState } = this.#components
    if (!this.#adopt(record) || !leads || this.#isReplaying) return
    if (lacksState(record)) {
      fetchState()
      return
    }
    this.#isReplaying = true
    this.#background(this.#bringForward())
  }

  async #bringForward(): Promise<void> {
    await this.#components.replay()
    if (this.#phase !== 'starting') return
    this.#phase = 'catching-up'
    this.#components.catchUp.pull()
    if (this.#components.register.leads) this.#lead()
  }

  /** Takes the record for the newest; false when it ends this incarnation. */
  #adopt(record: EpochRecord): boolean {
    const { admission, onRecord, self, writer, register, onFatal, lacksState } = this.#components
    const last = lastWriterOf(record, self)
    // RULES 12: a copy or a snapshot of the disk was put back. Each start has a number of its own.
    const isUsed = this.#phase === 'starting' && last === writer
    if (last !== undefined && (last > writer || isUsed)) {
      const starts = `the volume has seen start ${incarnationOf(last)} of this member, it counts ${incarnationOf(writer)}`
      const why = `it was put back to an earlier state (${starts})`
      onFatal(new VolumeError('damaged', `state directory of member ${self}: ${why}`))
      this.stop()
      return false
    }
    const isListed = record.members.some((m) => m.id === self)
    if (isBeyondCuts(record, (each) => admission.appliedOf(each))) {
      this.#end(isListed ? 'rebuild' : 'removed')
      return false
    }
    if (admission.passedEpoch < record.forgotten && !lacksState(record)) {
      this.#end(isListed ? 'outdated' : 'removed')
      return false
    }
    admission.install(record)
    onRecord(record)
    register.known(record)
    if (isListed) return true
    this.#end('removed')
    return false
  }

  #install(record: EpochRecord): void {
    const { admission, writer, lease, catchUp } = this.#components
    const before = admission.record
    const wasLive = before.live.includes(writer)
    const sealedMs = this.#seals.sinceMs
    const stoppedMs = Math.min(sealedMs, this.#leaseLostMs ?? sealedMs, lease.endMs)
    this.#seals.recordCame(record.epoch)
    if (!this.#adopt(record)) return
    if (!record.live.includes(writer)) {
      // It may have been live in a record that never reached it; an ended writer never writes.
      const ended = hasEnded(record, writer)
      if (this.#departure.isUnderWay) {
        this.#departure.replaced()
        this.stop()
      } else if (wasLive || ended) this.#end('expelled')
      return
    }
    if (this.#departure.isUnderWay && !this.#canLeave()) {
      this.stop()
      return
    }
    lease.drop()
    catchUp.pull()
    const background = this.#serveAtCuts(record).then(() => {
      if (!wasLive) return
      const atMs = this.#components.clock.monotonicMs()
      this.#lastPause = epochPause(before, record, { stoppedMs, atMs }) ?? this.#lastPause
    })
    this.#background(background)
  }

  /** Somebody is there to go on with. */
  #canLeave(): boolean {
    const { admission, self } = this.#components
    if (this.#duties) return this.#duties.hasSuccessor
    return admission.record.authority !== self
  }

  async #serveAtCuts(record: EpochRecord): Promise<void> {
    const { waitApplied, admission, serve, logger } = this.#components
    await waitApplied(allCuts(record))
    if (this.#phase === 'ended' || admission.record.epoch !== record.epoch) return
    if (this.#seals.announcedAfter(record.epoch)) return
    this.#seals.served()
    this.#phase = 'live'
    this.#leaseLostMs = undefined
    logger.info({ epoch: record.epoch, live: record.live, inSync: record.inSync }, 'serving')
    serve(record)
    this.#heartbeats.sendAll()
  }

  #tick(): void {
    const { clock, catchUp, register, onBeat } = this.#components
    // Before the question for the lead: it says whom this member hears.
    this.#heartbeats.beat()
    register.beat()
    if (this.#phase === 'ended') return
    this.#duties?.tick()
    if (this.#isReadyToJoin()) this.#wishes.askToJoin()
    this.#askToUnseal()
    this.#watchIsolation(clock.monotonicMs())
    catchUp.pull()
    onBeat()
  }

  /** In sync it must hold everything, in a checkpoint that needs nothing of what is forgotten. */
  #isReadyToJoin(): boolean {
    const { lacksData, passedEpoch, admission } = this.#components
    if (this.#phase !== 'catching-up' || this.#duties || lacksData()) return false
    return passedEpoch() >= admission.record.forgotten
  }

  #askToUnseal(): void {
    if (this.#phase !== 'sealed' || !this.#wishes.missesRecord) return
    if (this.#duties) this.#duties.join(this.#components.self, 'unsealed')
    else this.#wishes.askToUnseal()
  }

  #watchIsolation(now: number): void {
    if (this.#phase !== 'live' && this.#phase !== 'sealed') return
    if (this.mayAnswer()) {
      this.#leaseLostMs = undefined
      return
    }
    this.#leaseLostMs ??= now
    if (now - this.#leaseLostMs >= this.#options.isolationMs) this.#end('isolated')
  }

  #currentPhase(): Phase {
    return this.#phase
  }

  #end(reason: EndReason): void {
    this.#components.logger.warn({ reason }, 'this incarnation is over')
    this.stop()
    this.#components.register.resign()
    this.#components.onEnded(reason)
  }

  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (this.#phase === 'ended') return
      this.#components.onFatal(error instanceof Error ? error : new Error(String(error)))
    })
  }
}
