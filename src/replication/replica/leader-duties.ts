/**
 * What a member does as the leader: grants leases, declares lost who is silent beyond its lease,
 * carries out what EpochAuthority decides. It is made when a ballot is won and dropped with it.
 *
 * Invariants: no lease promised here outlives the leader's own; without a lease of its own the
 * leader declares nobody lost (it may be the one that is cut off). The leases an earlier leader has
 * given are over when a ballot is won: they were nested in its own (register/voter.ts). Nobody gets
 * a lease, nor has the leader one, before the first record it makes: somebody may have won a ballot
 * in between, and what it proposed to a minority may still be chosen, with cuts that lack what
 * would be served now.
 */
import { unreachable } from '../../fs/assert.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochAuthority } from '../epoch/epoch-authority.ts'
import type { EpochEffect, EpochEvent } from '../epoch/epoch-event.ts'
import type { LeaseOptions, LeasePromises } from '../lease.ts'
import type { HeartbeatMessage, HelloMessage, SealMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import { isSameRecord } from '../record.ts'
import type { PeerLinks } from './peer-links.ts'

/** How long everybody stays sealed for a joiner, and how long it is not listened to after that. */
const JOINER_PATIENCE_MS = 1500
const JOINER_PAUSE_MS = 5000
/** A live member may take so long to connect to a new leader before it counts as lost. */
const RECONNECT_MS = 500
const REMIND_MS = 1000

export type SelfSeal = Omit<SealMessage, 'type' | 'ballot'>

export interface LeaderComponents {
  readonly self: MemberId
  readonly epochs: EpochAuthority
  readonly promises: LeasePromises
  readonly links: Pick<PeerLinks, 'sendControl'>
  /** It is heard and does not hear this one. */
  readonly isDeaf: (member: MemberId) => boolean
  readonly clock: Clock
  readonly logger: Logger
  /** The newest record hands the lead to this member, and nobody can have led in between. */
  readonly isHandedOver: boolean
  /** What is left of the leader's own lease, margin taken off. */
  readonly leaseLeftMs: () => number
  /** The last epoch this member's durable checkpoint has passed. */
  readonly passedEpoch: () => Epoch | 0
  /** Sends a seal under the leader's ballot. */
  readonly sendSeal: (member: MemberId, seal: SelfSeal) => void
  readonly sealSelf: (seal: SelfSeal) => void
  readonly propose: (record: EpochRecord) => void
  readonly publish: (record: EpochRecord) => void
  /** Notes the member has not acknowledged, for how long it may keep its lease. */
  readonly ownsUpToNotes: (member: MemberId, nowMs: number) => boolean
}

export class LeaderDuties {
  readonly #components: LeaderComponents
  readonly #options: LeaseOptions
  /** Since when everybody waits for a joiner, and whose wish waits until when. */
  readonly #tardySinceMs = new Map<MemberId, number>()
  readonly #joinPausedUntilMs = new Map<MemberId, number>()
  readonly #ledSinceMs: number
  #mayServe: boolean
  #remindedMs: number

  constructor(components: LeaderComponents, options: LeaseOptions) {
    this.#components = components
    this.#options = options
    this.#mayServe = components.isHandedOver
    this.#ledSinceMs = components.clock.monotonicMs()
    this.#remindedMs = this.#ledSinceMs
  }

  /** Members are served under this lead. */
  get mayServe(): boolean {
    return this.#mayServe
  }

  get hasSuccessor(): boolean {
    return this.#components.epochs.hasSuccessor
  }

  /** True while the voters are asked for a record. */
  get hasProposed(): boolean {
    return this.#components.epochs.proposed !== undefined
  }

  /** Rounds used so far, for the next time this incarnation leads. */
  get lastRound(): number {
    return this.#components.epochs.lastRound
  }

  /** True when that record is the one that was proposed here: it is published then. */
  chosen(record: EpochRecord): boolean {
    const { proposed } = this.#components.epochs
    if (!proposed || !isSameRecord(proposed, record)) return false
    this.#mayServe = true
    this.step({ type: 'chosen', epoch: record.epoch })
    return true
  }

  step(event: EpochEvent): void {
    for (const effect of this.#components.epochs.step(event)) this.#carryOut(effect)
  }

  hello(member: MemberId, { writer, coreKey, held }: HelloMessage): void {
    this.step({ type: 'hello', member, writer, coreKey, held })
  }

  /** Grants or renews the lease of a live member. */
  heartbeat(from: MemberId, message: HeartbeatMessage): void {
    const { epochs, promises, links, clock, ownsUpToNotes, isDeaf, leaseLeftMs } = this.#components
    const { record } = epochs
    const nowMs = clock.monotonicMs()
    this.step({ type: 'passed', member: from, epoch: message.checkpointEpoch })
    const isLive = record.live.some((w) => memberOf(w) === from)
    if (!isLive || message.epoch !== record.epoch || epochs.isLost(from)) return
    if (!this.#mayServe || record.authority !== this.#components.self) return
    // Who cannot use a lease gets none: were it promised time until its connection is cut, the others
    // would wait twice as long as for one that is dead.
    if (!ownsUpToNotes(from, nowMs) || isDeaf(from)) return
    const leaseMs = Math.floor(Math.min(this.#options.leaseMs, leaseLeftMs()))
    if (leaseMs <= 0) return
    promises.promise(from, nowMs, leaseMs)
    const { sentMs } = message
    links.sendControl(from, { type: 'lease', epoch: record.epoch, sentMs, leaseMs })
  }

  join(member: MemberId, want: 'live' | 'in-sync' | 'unsealed'): void {
    if (want === 'unsealed') {
      this.step({ type: 'force' })
      return
    }
    if ((this.#joinPausedUntilMs.get(member) ?? 0) > this.#components.clock.monotonicMs()) return
    this.step({ type: 'join', member, want })
  }

  tick(): void {
    const { self, passedEpoch } = this.#components
    const nowMs = this.#components.clock.monotonicMs()
    this.step({ type: 'passed', member: self, epoch: passedEpoch() })
    this.#declareLost(nowMs)
    for (const member of this.#components.epochs.expiring) {
      if (this.#components.promises.isOver(member, nowMs)) this.step({ type: 'idle', member })
    }
    this.#dropTardyJoiners(nowMs)
    if (nowMs - this.#remindedMs < REMIND_MS) return
    this.#remindedMs = nowMs
    this.step({ type: 'remind' })
  }

  #declareLost(nowMs: number): void {
    const { epochs, promises, self, logger, leaseLeftMs } = this.#components
    if (leaseLeftMs() <= 0) return
    for (const member of epochs.awaited) {
      if (member === self || !promises.isOver(member, nowMs)) continue
      // An authority that was replaced had the time of its lease to come back.
      const isLateEnough = nowMs - this.#ledSinceMs >= RECONNECT_MS
      if (!isLateEnough && member !== epochs.record.authority) continue
      logger.warn({ member }, 'member declared lost: its lease is over')
      this.step({ type: 'lost', member })
    }
  }

  #dropTardyJoiners(nowMs: number): void {
    const { epochs, logger } = this.#components
    const tardy = epochs.tardyJoiners
    for (const member of this.#tardySinceMs.keys()) {
      if (!tardy.includes(member)) this.#tardySinceMs.delete(member)
    }
    for (const member of tardy) {
      const sinceMs = this.#tardySinceMs.get(member) ?? nowMs
      this.#tardySinceMs.set(member, sinceMs)
      if (nowMs - sinceMs < JOINER_PATIENCE_MS) continue
      logger.warn({ member }, 'member is too slow to join: the change goes on without it')
      this.#tardySinceMs.delete(member)
      this.#joinPausedUntilMs.set(member, nowMs + JOINER_PAUSE_MS)
      this.step({ type: 'impatient', member })
    }
  }

  #carryOut(effect: EpochEffect): void {
    const { self, sendSeal, sealSelf, propose, publish } = this.#components
    switch (effect.type) {
      case 'seal': {
        const { member, epoch, round, cuts } = effect
        if (member === self) sealSelf({ epoch, round, cuts })
        else sendSeal(member, { epoch, round, cuts })
        break
      }
      case 'propose':
        propose(effect.record)
        break
      case 'publish':
        publish(effect.record)
        break
      default:
        unreachable(effect)
    }
  }
}
