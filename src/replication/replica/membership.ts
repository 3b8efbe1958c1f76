/**
 * This member's place in the epochs: says hello, keeps its lease, follows records and seals, asks
 * to become live; at the authority it also carries out what EpochAuthority decides.
 *
 * Phases: `starting` (no word from the authority yet, nothing replayed), `catching-up`, `live`,
 * `sealed` (an epoch change runs), `ended` (this incarnation is over; the owner opens another).
 * Invariants: it serves only while live in the newest record it knows, applied up to that record's
 * cuts (RULES 18); what it holds beyond a cut is never served: it ends with `rebuild` (RULES 19).
 */
import { unreachable } from '../../fs/assert.ts'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { EpochAuthority, EpochEffect, EpochEvent } from '../epoch/epoch-authority.ts'
import type { Lease, LeaseOptions, LeasePromises } from '../lease.ts'
import type {
  HeartbeatMessage,
  HelloMessage,
  JoinMessage,
  LeaseMessage,
  LeaveMessage,
  SealedMessage,
  SealMessage
} from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'
import { vectorJoin } from '../vector.ts'
import type { CatchUp } from './catch-up.ts'
import type { PeerLinks } from './peer-links.ts'

export type Phase = 'starting' | 'catching-up' | 'live' | 'sealed' | 'ended'

/** Why an incarnation is over. `rebuild`: its state holds what the volume does not have. */
export type EndReason = 'expelled' | 'rebuild' | 'removed' | 'isolated'

/** Entries that may be missing when a member asks to become live; the seal closes the rest. */
const JOIN_LAG_MAX = 256
const HELD_WRITERS_MAX = 512
const SETTLE_POLL_MS = 5
const SETTLE_POLLS_MAX = 200
/** How long everybody stays sealed for a joiner, and how long it is not listened to after that. */
const JOINER_PATIENCE_MS = 5000
const JOINER_PAUSE_MS = 30_000

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
  /** Set at the authority. */
  readonly epochs?: EpochAuthority
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
  readonly #hellos = new Set<MemberId>()
  /** At the authority: since when everybody waits for a joiner, and whose wish waits until when. */
  readonly #tardySinceMs = new Map<MemberId, number>()
  readonly #joinPausedUntilMs = new Map<MemberId, number>()
  #phase: Phase = 'starting'
  #timer: Timer | undefined
  #leaseLostMs: number | undefined
  /** The seal being carried out or answered; a newer one replaces it. */
  #sealing = 0
  /** The newest epoch a seal has announced: nothing is served in an earlier one any more. */
  #sealedFor = 0
  /** Set from the first seal of an epoch change until this member serves again. */
  #stopped: Promise<void> | undefined

  constructor(components: MembershipComponents, options: MembershipOptions) {
    this.#components = components
    this.#options = options
  }

  get phase(): Phase {
    return this.#phase
  }

  get isAuthority(): boolean {
    return this.#components.epochs !== undefined
  }

  start(): void {
    const { epochs, promises, clock, replay, self } = this.#components
    if (epochs) {
      replay()
      this.#phase = 'catching-up'
      for (const member of epochs.awaited) {
        if (member !== self) promises.assumePromised(member, clock.monotonicMs())
      }
      this.#helloSelf()
      this.#step({ type: 'join', member: self, want: 'in-sync' })
    }
    this.#tick()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#phase = 'ended'
  }

  /** The right to answer what was read or done: checked at each reply. */
  mayAnswer(): boolean {
    if (this.#phase !== 'live' && this.#phase !== 'sealed') return false
    return this.isAuthority || this.#components.lease.valid(this.#components.clock.monotonicMs())
  }

  leaseLeftMs(): number {
    if (this.isAuthority) return this.#options.leaseMs
    return this.#components.lease.leftMs(this.#components.clock.monotonicMs())
  }

  /** Milliseconds since the member was last heard, or undefined. */
  silentMs(member: MemberId): number | undefined {
    const heard = this.#heardMs.get(member)
    return heard === undefined ? undefined : this.#components.clock.monotonicMs() - heard
  }

  onConnected(member: MemberId): void {
    const { links, writer, coreKey, held, admission, clock } = this.#components
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
  }

  onDisconnected(member: MemberId): void {
    this.#hellos.delete(member)
    this.#components.catchUp.gone(member)
    if (this.isAuthority) this.#step({ type: 'gone', member })
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
    this.#hellos.add(from)
    catchUp.heard(from, message.held)
    logger.info({ from, writer: message.writer, epoch: message.epoch }, 'hello')
    if (!this.isAuthority) return
    links.sendControl(from, { type: 'record', record: admission.record })
    const { writer, coreKey, held } = message
    this.#step({ type: 'hello', member: from, writer, coreKey, held })
    catchUp.pull()
  }

  onHeartbeat(from: MemberId, message: HeartbeatMessage): void {
    const { clock, catchUp, links, admission, promises, ownsUpToNotes } = this.#components
    const now = clock.monotonicMs()
    this.#heardMs.set(from, now)
    catchUp.heard(from, message.applied)
    if (!this.isAuthority || this.#phase === 'ended') return
    const { record } = admission
    const isLive = record.live.some((w) => memberOf(w) === from)
    if (!isLive || message.epoch !== record.epoch || !this.#hellos.has(from)) return
    if (this.#components.epochs?.isLost(from)) return
    if (!ownsUpToNotes(from, now)) return
    const leaseMs = promises.promise(from, now)
    const { sentMs } = message
    links.sendControl(from, { type: 'lease', epoch: record.epoch, sentMs, leaseMs })
  }

  onLease(from: MemberId, message: LeaseMessage): void {
    const { admission, lease } = this.#components
    const { record } = admission
    if (from !== record.authority || message.epoch !== record.epoch) return
    lease.renew(message.sentMs, message.leaseMs)
  }

  onSeal(from: MemberId, message: SealMessage): void {
    const { admission } = this.#components
    if (from !== admission.record.authority || message.epoch <= admission.record.epoch) return
    this.#background(this.#carryOutSeal(message))
  }

  onSealed(from: MemberId, message: SealedMessage): void {
    this.#components.catchUp.heard(from, message.held)
    if (this.isAuthority) this.#step({ ...message, member: from })
  }

  onJoin(from: MemberId, message: JoinMessage): void {
    const { admission, clock } = this.#components
    if (!this.isAuthority || message.epoch !== admission.record.epoch) return
    if ((this.#joinPausedUntilMs.get(from) ?? 0) > clock.monotonicMs()) return
    this.#step({ type: 'join', member: from, want: message.want })
  }

  /**
   * Stops serving and tells the authority, which then need not wait for the end of the lease.
   * The caller has made everything durable before.
   */
  leave(): void {
    const { links, admission, lease } = this.#components
    if (this.#phase !== 'live' || this.isAuthority) return
    this.stop()
    lease.drop()
    const { authority, epoch } = admission.record
    links.sendControl(authority, { type: 'leave', epoch })
  }

  onLeave(from: MemberId, message: LeaveMessage): void {
    const { admission, promises, logger } = this.#components
    if (!this.isAuthority || message.epoch !== admission.record.epoch) return
    logger.info({ from }, 'member leaves')
    promises.forget(from)
    this.#step({ type: 'lost', member: from })
  }

  onRecord(from: MemberId, record: EpochRecord): void {
    const { admission } = this.#components
    if (this.isAuthority || this.#phase === 'ended') return
    const known = admission.record
    if (from !== known.authority || record.volumeId !== known.volumeId) return
    if (record.epoch < known.epoch) return
    if (record.epoch > known.epoch) this.#components.saveRecord(record)
    if (this.#phase === 'starting') this.#firstContact(record)
    else if (record.epoch > known.epoch) this.#install(record)
  }

  /** At the authority: another member list. */
  changeMembers(event: EpochEvent & { type: 'members' }): void {
    this.#step(event)
  }

  #firstContact(record: EpochRecord): void {
    const { admission, replay, onRecord } = this.#components
    if (this.#isBeyondCuts(record)) {
      this.#end('rebuild')
      return
    }
    admission.install(record)
    onRecord(record)
    if (!record.members.some((m) => m.id === this.#components.self)) {
      this.#end('removed')
      return
    }
    replay()
    this.#phase = 'catching-up'
    this.#components.catchUp.pull()
  }

  #install(record: EpochRecord): void {
    const { admission, writer, onRecord, lease, self, catchUp } = this.#components
    const wasLive = admission.record.live.includes(writer)
    if (this.#isBeyondCuts(record)) {
      this.#end('rebuild')
      return
    }
    // The seal of this record is over, also where it is still carried out: it must not limit
    // what comes after.
    if (this.#sealedFor <= record.epoch) this.#sealing++
    admission.install(record)
    onRecord(record)
    if (!record.members.some((m) => m.id === self)) {
      this.#end('removed')
      return
    }
    if (!record.live.includes(writer)) {
      // It may have been live in a record that never reached it; an ended writer never writes.
      const ended = record.writers.some((w) => w.writer === writer && w.finalSeq !== undefined)
      if (wasLive || ended) this.#end('expelled')
      return
    }
    lease.drop()
    catchUp.pull()
    this.#background(this.#serveAtCuts(record))
  }

  async #serveAtCuts(record: EpochRecord): Promise<void> {
    const { waitApplied, admission, serve, logger, links } = this.#components
    await waitApplied(allCuts(record))
    if (this.#phase === 'ended' || admission.record.epoch !== record.epoch) return
    if (this.#sealedFor > record.epoch) return
    this.#sealing++
    this.#stopped = undefined
    this.#phase = 'live'
    this.#leaseLostMs = undefined
    logger.info({ epoch: record.epoch, live: record.live, inSync: record.inSync }, 'serving')
    serve(record)
    for (const member of links.connected()) this.#sendHeartbeat(member)
  }

  async #carryOutSeal({ epoch, round, cuts }: Omit<SealMessage, 'type'>): Promise<void> {
    const { seal, sync, waitApplied, catchUp, admission, links, self } = this.#components
    const { limitIntake } = this.#components
    const sealing = ++this.#sealing
    if (this.#phase === 'starting' || this.#phase === 'ended') return
    this.#sealedFor = Math.max(this.#sealedFor, epoch)
    if (this.#phase === 'live') {
      this.#phase = 'sealed'
      this.#stopped = seal()
    }
    await this.#stopped
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
    const { authority } = admission.record
    const answer = { type: 'sealed', epoch, round, held } as const
    if (authority === self) this.#step({ ...answer, member: self })
    else links.sendControl(authority, answer)
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
    this.#step({ type: 'hello', member: self, writer, coreKey, held: held() })
  }

  #step(event: EpochEvent): void {
    const { epochs } = this.#components
    if (!epochs || this.#phase === 'ended') return
    for (const effect of epochs.step(event)) this.#carryOut(effect)
  }

  #carryOut(effect: EpochEffect): void {
    const { links, self, saveRecord } = this.#components
    switch (effect.type) {
      case 'seal': {
        const { member, ...seal } = effect
        if (member === self) this.#background(this.#carryOutSeal(seal))
        else links.sendControl(member, seal)
        break
      }
      case 'persist':
        saveRecord(effect.record)
        this.#step({ type: 'persisted', epoch: effect.record.epoch })
        break
      case 'publish':
        for (const member of links.connected()) {
          links.sendControl(member, { type: 'record', record: effect.record })
        }
        this.#install(effect.record)
        break
      default:
        unreachable(effect)
    }
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
    this.#declareLost(now)
    this.#dropTardyJoiners(now)
    this.#askToJoin()
    this.#watchIsolation(now)
    catchUp.pull()
  }

  #sendHeartbeat(member: MemberId): void {
    const { links, clock, heartbeat, admission } = this.#components
    const sentMs = Math.floor(clock.monotonicMs())
    const { epoch } = admission.record
    links.sendControl(member, { type: 'heartbeat', epoch, sentMs, ...heartbeat() })
  }

  #declareLost(now: number): void {
    const { epochs, promises, self, logger } = this.#components
    if (!epochs) return
    for (const member of epochs.awaited) {
      if (member === self || !promises.isOver(member, now)) continue
      logger.warn({ member }, 'member declared lost: its lease is over')
      this.#step({ type: 'lost', member })
    }
  }

  #dropTardyJoiners(now: number): void {
    const { epochs, logger } = this.#components
    if (!epochs) return
    const tardy = epochs.tardyJoiners
    for (const member of this.#tardySinceMs.keys()) {
      if (!tardy.includes(member)) this.#tardySinceMs.delete(member)
    }
    for (const member of tardy) {
      const sinceMs = this.#tardySinceMs.get(member) ?? now
      this.#tardySinceMs.set(member, sinceMs)
      if (now - sinceMs < JOINER_PATIENCE_MS) continue
      logger.warn({ member }, 'member is too slow to join: the change goes on without it')
      this.#tardySinceMs.delete(member)
      this.#joinPausedUntilMs.set(member, now + JOINER_PAUSE_MS)
      this.#step({ type: 'impatient', member })
    }
  }

  #askToJoin(): void {
    const { catchUp, links, admission, writer, epochs, self } = this.#components
    if (this.#phase !== 'catching-up' || epochs || catchUp.lag() > JOIN_LAG_MAX) return
    const { record } = admission
    if (record.live.includes(writer) || record.live.some((w) => memberOf(w) === self)) return
    const { authority, epoch } = record
    links.sendControl(authority, { type: 'join', epoch, want: 'in-sync' })
  }

  #watchIsolation(now: number): void {
    if (this.isAuthority || (this.#phase !== 'live' && this.#phase !== 'sealed')) return
    if (this.#components.lease.valid(now)) {
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
