/**
 * This member's place in the epochs: says hello, keeps its lease, follows records and seals, asks
 * to become live. What it does as the leader is in leader-duties.ts, how the leader is found and a
 * record agreed in src/replication/register.
 *
 * Phases: `starting` (no word from a leader yet, nothing replayed), `catching-up`, `live`,
 * `sealed` (an epoch change runs), `ended` (this incarnation is over; the owner opens another).
 * Invariants: it serves only while live in the newest record it knows, applied up to that record's
 * cuts (RULES 18), and answers only under its lease: the authority under its own from the voters,
 * everybody else under the authority's, which is nested in that. What it holds beyond a cut is
 * never served: it ends with `rebuild` (RULES 19).
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { incarnationOf, memberOf } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import { EpochAuthority } from '../epoch/epoch-authority.ts'
import type { MemberChange } from '../epoch/member-change.ts'
import type { Lease, LeaseOptions, LeasePromises } from '../lease.ts'
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
import { type Ballot, NO_BALLOT } from '../register/ballot.ts'
import type { RegisterNode } from '../register/register-node.ts'
import type { Vector } from '../vector.ts'
import { vectorCovers, vectorJoin } from '../vector.ts'
import type { CatchUp } from './catch-up.ts'
import { LeaderDuties, type SelfSeal } from './leader-duties.ts'
import type { PeerLinks } from './peer-links.ts'

export type Phase = 'starting' | 'catching-up' | 'live' | 'sealed' | 'ended'

/** Why an incarnation is over. `rebuild`: its state holds what the volume does not have. */
export type EndReason = 'expelled' | 'rebuild' | 'removed' | 'isolated'

/** What may be missing when a member asks to become live: everybody waits for the rest, sealed. */
const JOIN_LAG_MAX = 256
const JOIN_BYTES_MAX = 4 * 1024 * 1024
const HELD_WRITERS_MAX = 512
const SETTLE_POLL_MS = 5
const SETTLE_POLLS_MAX = 200
/** A seal that nothing follows for so long was given by a leader that is gone. */
const SEALED_PATIENCE_MS = 1500
/** How long a stopping member waits for the record that goes on without it. */
const LEAVE_MS = 3000

/** A change of epoch as this member has lived through it. */
export interface EpochPause {
  readonly epoch: number
  readonly authorityBefore: MemberId
  readonly authority: MemberId
  /** Live before, and no more. */
  readonly gone: readonly MemberId[]
  /** How long nothing was answered here. */
  readonly pausedMs: number
  /** Clock of this member at its end. */
  readonly atMs: number
}

export interface MembershipComponents {
  readonly self: MemberId
  readonly writer: WriterId
  readonly coreKey: string
  readonly links: PeerLinks & { cut(member: MemberId, reason: string): void }
  readonly catchUp: CatchUp
  readonly admission: Admission
  readonly clock: Clock
  readonly logger: Logger
  readonly lease: Lease
  readonly promises: LeasePromises
  readonly register: Pick<
    RegisterNode,
    | 'leads'
    | 'ballot'
    | 'leaseLeftMs'
    | 'start'
    | 'stop'
    | 'known'
    | 'propose'
    | 'resign'
    | 'connected'
  >
  /** What this member holds, before the replay already. */
  readonly held: () => Vector
  readonly heartbeat: () => Omit<HeartbeatMessage, 'type' | 'sentMs' | 'epoch'>
  /** Durable on return. */
  readonly saveRecord: (record: EpochRecord) => void
  /** The record is another one: dialing, durability, logs. */
  readonly onRecord: (record: EpochRecord) => void
  /** Brings the state forward by the journal, without what the record makes void. */
  readonly replay: () => void
  /** Stops serving; resolves when no op runs and all own entries are journaled. */
  readonly seal: () => Promise<void>
  /** Serves in the record's epoch. */
  readonly serve: (record: EpochRecord) => void
  readonly sync: () => Promise<Vector>
  readonly waitApplied: (vector: Vector) => Promise<void>
  /** Admits nothing of live writers beyond this, until the next record; undefined lifts it. */
  readonly limitIntake: (limit: Vector | undefined) => void
  /** Bytes of slices that entries wait for, counted up to `limit`. */
  readonly missingBytes: (limit: number) => number
  /** Notes the member has not acknowledged, for how long it may keep its lease. */
  readonly ownsUpToNotes: (member: MemberId, nowMs: number) => boolean
  readonly onEnded: (reason: EndReason) => void
  readonly onFatal: (error: Error) => void
}

export interface MembershipOptions extends LeaseOptions {
  /** A member without a lease for so long gives up its incarnation: EIO for what waits. */
  readonly isolationMs: number
}

export class Membership {
  readonly #components: MembershipComponents
  readonly #options: MembershipOptions
  readonly #heardMs = new Map<MemberId, number>()
  readonly #hellos = new Map<MemberId, HelloMessage>()
  #phase: Phase = 'starting'
  #duties: LeaderDuties | undefined
  /** Who said last that it leads; it need not stand in a record yet. */
  #leader: MemberId | undefined
  /** The epoch in which this member has led last. */
  #ledEpoch = 0
  #lastRound = 0
  #timer: Timer | undefined
  #leaseLostMs: number | undefined
  /** The seal being carried out or answered; a newer one replaces it. */
  #sealing = 0
  /** Who gave it, under which ballot and number, and whether it is answered. */
  #seal: { readonly from: MemberId; readonly round: number; answered: boolean } | undefined
  #sealBallot: Ballot = NO_BALLOT
  #sealedMs = 0
  /** The newest epoch a seal has announced: nothing is served in an earlier one any more. */
  #sealedFor = 0
  /** Set from the first seal of an epoch change until this member serves again. */
  #stopped: Promise<void> | undefined
  #lastPause: EpochPause | undefined
  /** Set while this member waits for the record that goes on without it. */
  #left: (() => void) | undefined
  /** A record goes on without this member: whoever it served was sealed for that. */
  #isReplaced = false

  constructor(components: MembershipComponents, options: MembershipOptions) {
    this.#components = components
    this.#options = options
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
    const { promises, clock, admission, self, register } = this.#components
    // An earlier incarnation may have led, and have promised a lease just before it ended.
    for (const member of admission.record.live.map(memberOf)) {
      if (member !== self) promises.promise(member, clock.monotonicMs(), this.#options.leaseMs)
    }
    register.start()
    this.#tick()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#phase = 'ended'
    this.#left?.()
  }

  /** The right to answer what was read or done: checked at each reply. */
  mayAnswer(): boolean {
    if (this.#phase !== 'live' && this.#phase !== 'sealed') return false
    return this.leaseLeftMs() > 0
  }

  /** What is left of the right to answer; the authority's own comes from the voters. */
  leaseLeftMs(): number {
    const { admission, self, register, lease, clock } = this.#components
    if (admission.record.authority === self) return register.leaseLeftMs()
    return lease.leftMs(clock.monotonicMs())
  }

  /**
   * It holds all that an fsync has covered, and no lease of another is valid here. A member of the
   * in-sync set lacks what it must have only when its state was damaged or made anew.
   */
  mayCampaign(): boolean {
    const { admission, self, held } = this.#components
    const { record } = admission
    if (this.#phase === 'ended' || this.#left) return false
    if (!record.inSync.includes(self) || this.mayAnswer()) return false
    return vectorCovers(held(), allCuts(record))
  }

  /** Milliseconds since the member was last heard, or undefined. */
  silentMs(member: MemberId): number | undefined {
    const heard = this.#heardMs.get(member)
    return heard === undefined ? undefined : this.#components.clock.monotonicMs() - heard
  }

  onConnected(member: MemberId): void {
    const { links, writer, coreKey, held, admission, clock, register } = this.#components
    if (this.#phase === 'ended') return
    this.#heardMs.set(member, clock.monotonicMs())
    links.sendControl(member, {
      type: 'hello',
      writer,
      coreKey,
      epoch: admission.record.epoch,
      serving: this.#phase === 'live' || this.#phase === 'sealed',
      held: boundedHeld(held(), admission.record)
    })
    this.#sendHeartbeat(member)
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
    const { clock, catchUp } = this.#components
    this.#heardMs.set(from, clock.monotonicMs())
    if (!this.#hellos.has(from)) return
    catchUp.heard(from, message.applied)
    if (this.#phase !== 'ended') this.#duties?.heartbeat(from, message)
  }

  onLease(from: MemberId, message: LeaseMessage): void {
    const { admission, lease } = this.#components
    const { record } = admission
    if (from !== record.authority || message.epoch !== record.epoch) return
    lease.renew(message.sentMs, message.leaseMs)
  }

  onSeal(from: MemberId, message: SealMessage): void {
    const { ballot, epoch, round } = message
    // The record before it comes on the same connection, ahead of the seal.
    if (epoch !== this.#components.admission.record.epoch + 1) return
    if (ballot < this.#sealBallot) return
    const same = this.#seal?.from === from && this.#seal.round === round
    if (same && !this.#seal?.answered) return
    this.#sealBallot = ballot
    this.#background(this.#carryOutSeal(from, message))
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
   * nobody can take over, or after LEAVE_MS: the others find out by themselves. The caller has
   * stopped serving.
   */
  async leave(): Promise<void> {
    const { links, admission, clock, logger, self, register } = this.#components
    if (this.#phase === 'live' && this.#canLeave()) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(LEAVE_MS, () => {
          logger.warn({}, 'stopping without a record that goes on without this member')
          resolve()
        })
        this.#left = () => {
          timer.cancel()
          resolve()
        }
        const { authority, epoch } = admission.record
        if (this.#duties) this.#duties.step({ type: 'leave', member: self })
        else links.sendControl(this.#leader ?? authority, { type: 'leave', epoch })
      })
    }
    this.stop()
    // Else somebody may still answer under a lease given here: it has to run out.
    if (this.#isReplaced) register.resign()
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
    else if (leads && this.#phase === 'live' && !this.mayAnswer()) this.#sendHeartbeat(from)
  }

  /** A majority has accepted this record. */
  onChosen(record: EpochRecord): void {
    const { admission, saveRecord, self } = this.#components
    if (this.#phase === 'ended' || this.#duties?.chosen(record)) return
    if (record.epoch <= admission.record.epoch) return
    // Whoever stops with this record may be the one whose answer the leader still needs: its own
    // word that the record is chosen comes first.
    if (this.#left || !record.members.some((m) => m.id === self)) return
    saveRecord(record)
    if (this.#phase === 'starting') this.#whileStarting(record, false)
    else this.#install(record)
  }

  /** The ballot is won: nobody else leads, and there is no newer record than the one here. */
  onElected(): void {
    const { admission, self, writer, links, register } = this.#components
    if (this.#phase === 'starting') this.#whileStarting(admission.record, true)
    const { record } = admission
    if (this.#currentPhase() === 'ended' || !record.inSync.includes(self)) {
      register.resign()
      return
    }
    const duties = this.#makeDuties(record)
    this.#duties = duties
    for (const member of links.connected()) this.#sendRecord(member)
    for (const [member, hello] of this.#hellos) duties.hello(member, hello)
    this.#helloSelf()
    if (!record.live.includes(writer)) duties.join(self, 'in-sync')
    // Whoever was handed the lead serves in the record that says so; else tokens and locks begin anew.
    const isHandedOver = record.authority === self && this.#ledEpoch !== record.epoch
    const isSealed = this.#sealedFor > record.epoch
    if (!isHandedOver || isSealed || !record.live.includes(writer)) duties.step({ type: 'force' })
    this.#ledEpoch = record.epoch
  }

  onDeposed(): void {
    const duties = this.#duties
    this.#lastRound = duties?.lastRound ?? this.#lastRound
    this.#duties = undefined
    // Nobody but this leader has heard the answer to its own seal, unless a record came of it.
    if (this.#seal?.from !== this.#components.self || duties?.hasProposed) return
    this.#sealing++
    this.#components.limitIntake(undefined)
  }

  /** As the leader at once, else by asking the authority; the record says when it is done. */
  proposeChange(change: MemberChange): void {
    const { links, admission } = this.#components
    if (this.#duties) this.#duties.step({ type: 'members', change })
    else links.sendControl(this.#leader ?? admission.record.authority, { type: 'members', change })
  }

  onMembers({ change }: MembersMessage): void {
    this.#duties?.step({ type: 'members', change })
  }

  #makeDuties(record: EpochRecord): LeaderDuties {
    const { self, promises, links, clock, logger, register, ownsUpToNotes } = this.#components
    return new LeaderDuties(
      {
        self,
        epochs: new EpochAuthority(record, self, { firstRound: this.#lastRound }),
        promises,
        links,
        clock,
        logger,
        leaseLeftMs: () => register.leaseLeftMs(),
        sendSeal: (member, seal) => {
          links.sendControl(member, { type: 'seal', ballot: register.ballot, ...seal })
        },
        sealSelf: (seal) => this.#background(this.#carryOutSeal(self, seal)),
        propose: (next) => register.propose(next),
        publish: (next) => this.#publish(next),
        ownsUpToNotes
      },
      this.#options
    )
  }

  /** Who takes over hears it first. */
  #publish(record: EpochRecord): void {
    const { links, saveRecord } = this.#components
    saveRecord(record)
    this.#ledEpoch = record.epoch
    const connected = links.connected()
    const first = connected.filter((member) => member === record.authority)
    const others = connected.filter((member) => member !== record.authority)
    for (const member of [...first, ...others]) {
      links.sendControl(member, { type: 'record', record, leads: true })
    }
    this.#install(record)
  }

  #sendRecord(member: MemberId): void {
    const { links, admission } = this.#components
    const { record } = admission
    links.sendControl(member, { type: 'record', record, leads: this.#duties !== undefined })
  }

  /** Nothing is replayed before a leader has said which record is the newest. */
  #whileStarting(record: EpochRecord, leads: boolean): void {
    if (!this.#adopt(record) || !leads) return
    this.#components.replay()
    this.#phase = 'catching-up'
    this.#components.catchUp.pull()
  }

  /** Takes the record for the newest; false when it ends this incarnation. */
  #adopt(record: EpochRecord): boolean {
    const { admission, onRecord, self, writer, register, onFatal } = this.#components
    if (this.#isBeyondCuts(record)) {
      this.#end('rebuild')
      return false
    }
    const later = record.writers.find((w) => memberOf(w.writer) === self && w.writer > writer)
    if (later) {
      // RULES 12: a copy or a snapshot of the disk was put back.
      const why = `the volume knows start ${incarnationOf(later.writer)} of this member, the state directory only ${incarnationOf(writer)}`
      onFatal(new Error(`state directory rolled back: ${why}: remove the member and join again`))
      this.stop()
      return false
    }
    admission.install(record)
    onRecord(record)
    register.known(record)
    if (record.members.some((m) => m.id === self)) return true
    this.#end('removed')
    return false
  }

  #install(record: EpochRecord): void {
    const { admission, writer, lease, catchUp } = this.#components
    const before = admission.record
    const wasLive = before.live.includes(writer)
    const stoppedMs = Math.min(this.#sealedMs, this.#leaseLostMs ?? this.#sealedMs, lease.endMs)
    // The seal of this record is over, also where it is still carried out: it must not limit
    // what comes after.
    if (this.#sealedFor <= record.epoch) {
      this.#sealing++
      this.#seal = undefined
    }
    if (!this.#adopt(record)) return
    if (!record.live.includes(writer)) {
      // It may have been live in a record that never reached it; an ended writer never writes.
      const ended = record.writers.some((w) => w.writer === writer && w.finalSeq !== undefined)
      if (this.#left) {
        this.#isReplaced = true
        this.stop()
      } else if (wasLive || ended) this.#end('expelled')
      return
    }
    if (this.#left && !this.#canLeave()) {
      this.stop()
      return
    }
    lease.drop()
    catchUp.pull()
    const background = this.#serveAtCuts(record).then(() => {
      if (wasLive) this.#notePause(before, record, stoppedMs)
    })
    this.#background(background)
  }

  #notePause(before: EpochRecord, record: EpochRecord, stoppedMs: number): void {
    const gone = before.live.filter((w) => !record.live.includes(w)).map(memberOf)
    if (gone.length === 0 && before.authority === record.authority) return
    const atMs = this.#components.clock.monotonicMs()
    const pausedMs = Number.isFinite(stoppedMs) ? Math.round(atMs - stoppedMs) : 0
    const { epoch, authority } = record
    this.#lastPause = {
      epoch,
      authorityBefore: before.authority,
      authority,
      gone,
      pausedMs,
      atMs
    }
  }

  /** Somebody is there to go on with. */
  #canLeave(): boolean {
    const { admission, self } = this.#components
    if (this.#duties) return this.#duties.hasSuccessor
    return admission.record.authority !== self
  }

  async #serveAtCuts(record: EpochRecord): Promise<void> {
    const { waitApplied, admission, serve, logger, links } = this.#components
    await waitApplied(allCuts(record))
    if (this.#phase === 'ended' || admission.record.epoch !== record.epoch) return
    if (this.#sealedFor > record.epoch) return
    this.#sealing++
    this.#seal = undefined
    this.#stopped = undefined
    this.#phase = 'live'
    this.#leaseLostMs = undefined
    logger.info({ epoch: record.epoch, live: record.live, inSync: record.inSync }, 'serving')
    serve(record)
    for (const member of links.connected()) this.#sendHeartbeat(member)
  }

  async #carryOutSeal(from: MemberId, { epoch, round, cuts }: SelfSeal): Promise<void> {
    const { seal, sync, waitApplied, catchUp, admission, links, self, clock } = this.#components
    const { limitIntake } = this.#components
    const sealing = ++this.#sealing
    if (this.#phase === 'starting' || this.#phase === 'ended') return
    const given = { from, round, answered: false }
    this.#seal = given
    this.#sealedMs = clock.monotonicMs()
    this.#sealedFor = Math.max(this.#sealedFor, epoch)
    if (this.#phase === 'live') {
      this.#phase = 'sealed'
      this.#stopped = seal()
    }
    await this.#stopped
    if (sealing !== this.#sealing) return
    const first = cuts.size === 0
    limitIntake(first ? undefined : vectorJoin(admission.applied, cuts))
    // Also what ended long ago: a joiner that lacks it must not count as in sync.
    catchUp.pull()
    await waitApplied(vectorJoin(allCuts(admission.record), cuts))
    if (first) await this.#settled(sealing)
    if (sealing !== this.#sealing) return
    // What is said to be held is all there will be, unless the cuts name more.
    limitIntake(vectorJoin(admission.applied, cuts))
    const durable = await sync()
    if (sealing !== this.#sealing || this.#currentPhase() === 'ended') return
    const held = new Map<WriterId, Seq>()
    for (const writer of admission.record.live) held.set(writer, (durable.get(writer) ?? 0) as Seq)
    given.answered = true
    const answer = { type: 'sealed', epoch, round, held } as const
    if (from === self) this.#duties?.step({ ...answer, member: self })
    else links.sendControl(from, answer)
  }

  /** Waits a little for entries that are on their way, so that the first answer is the last. */
  async #settled(sealing: number): Promise<void> {
    const { admission, catchUp, clock } = this.#components
    for (let i = 0; i < SETTLE_POLLS_MAX; i++) {
      if (sealing !== this.#sealing) return
      if (admission.waitingEntries === 0 && catchUp.lag() === 0) return
      catchUp.pull()
      await new Promise<void>((resolve) => clock.setTimer(SETTLE_POLL_MS, resolve))
    }
  }

  #helloSelf(): void {
    const { self, writer, coreKey, held } = this.#components
    this.#duties?.step({ type: 'hello', member: self, writer, coreKey, held: held() })
  }

  #tick(): void {
    const { clock, catchUp, links, logger } = this.#components
    if (this.#phase === 'ended') return
    const { heartbeatMs, leaseMs, marginMs } = this.#options
    this.#timer = clock.setTimer(heartbeatMs, () => this.#tick())
    const now = clock.monotonicMs()
    for (const member of links.connected()) {
      if (now - (this.#heardMs.get(member) ?? now) > leaseMs + marginMs) {
        logger.warn({ member }, 'member is silent: connection cut')
        links.cut(member, 'silent for longer than a lease')
        continue
      }
      this.#sendHeartbeat(member)
    }
    this.#duties?.tick()
    this.#askToJoin()
    this.#askToUnseal(now)
    this.#watchIsolation(now)
    catchUp.pull()
  }

  #sendHeartbeat(member: MemberId): void {
    const { links, clock, heartbeat, admission } = this.#components
    const sentMs = Math.floor(clock.monotonicMs())
    const { epoch } = admission.record
    links.sendControl(member, { type: 'heartbeat', epoch, sentMs, ...heartbeat() })
  }

  #askToJoin(): void {
    const { catchUp, links, admission, writer, self, missingBytes } = this.#components
    if (this.#phase !== 'catching-up' || this.#duties) return
    // Once sealed it takes nothing more before it is sealed again.
    const isBehind = catchUp.lag() > JOIN_LAG_MAX || missingBytes(JOIN_BYTES_MAX) >= JOIN_BYTES_MAX
    if (isBehind && this.#seal === undefined) return
    const { record } = admission
    if (record.live.includes(writer) || record.live.some((w) => memberOf(w) === self)) return
    const { authority, epoch } = record
    links.sendControl(this.#leader ?? authority, { type: 'join', epoch, want: 'in-sync' })
  }

  /** Who leads now may not know of the seal an earlier leader gave. */
  #askToUnseal(now: number): void {
    const { links, admission } = this.#components
    if (this.#phase !== 'sealed' || now - this.#sealedMs < SEALED_PATIENCE_MS) return
    const { epoch } = admission.record
    if (this.#sealedFor <= epoch) return
    if (this.#duties) {
      this.#duties.join(this.#components.self, 'unsealed')
      return
    }
    for (const member of links.connected()) {
      links.sendControl(member, { type: 'join', epoch, want: 'unsealed' })
    }
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

  /** True when entries were applied that the record says never became part of the volume. */
  #isBeyondCuts(record: EpochRecord): boolean {
    for (const { writer, finalSeq } of record.writers) {
      if (finalSeq === undefined) continue
      if (this.#components.admission.appliedOf(writer) > finalSeq) return true
    }
    return false
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

/** Everything that a member of the record's epoch has applied before it serves. */
function allCuts(record: EpochRecord): Vector {
  const all = new Map<WriterId, Seq>()
  for (const { cuts } of record.history) {
    for (const [writer, seq] of cuts) all.set(writer, Math.max(all.get(writer) ?? 0, seq) as Seq)
  }
  return all
}

/** After many restarts only what can still be cut: a vector in a message is bounded. */
function boundedHeld(held: Vector, record: EpochRecord): Vector {
  if (held.size <= HELD_WRITERS_MAX) return held
  return new Map(record.live.map((writer) => [writer, (held.get(writer) ?? 0) as Seq]))
}
