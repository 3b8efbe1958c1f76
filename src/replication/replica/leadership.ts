/**
 * The terms of this member as the leader: each begins when a ballot is won and ends with it. The
 * duties of a term are in leader-duties.ts.
 *
 * Invariants: no number of a seal is used twice by an incarnation, over all its terms. A member
 * that wins a ballot makes a record before anybody is served under its lead (tokens and locks begin
 * anew with it), unless the newest record hands the lead to it and no voter that promised has
 * promised anything since to a member that can lead in that record.
 */
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import { EpochAuthority } from '../epoch/epoch-authority.ts'
import type { LeaseOptions } from '../lease.ts'
import type { HelloMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import { LeaderDuties, type SelfSeal } from './leader-duties.ts'
import type { MembershipComponents } from './membership-components.ts'

export interface LeadershipComponents
  extends Pick<
    MembershipComponents,
    | 'self'
    | 'writer'
    | 'coreKey'
    | 'links'
    | 'promises'
    | 'isDeaf'
    | 'clock'
    | 'logger'
    | 'held'
    | 'register'
    | 'saveRecord'
    | 'ownsUpToNotes'
    | 'passedEpoch'
  > {
  readonly sealSelf: (seal: SelfSeal) => void
  /** The record is chosen, saved, and sent to everybody else. */
  readonly install: (record: EpochRecord) => void
}

export class Leadership {
  readonly #components: LeadershipComponents
  readonly #options: LeaseOptions
  #duties: LeaderDuties | undefined
  /** The epoch in which this member has led last. */
  #ledEpoch = 0
  #lastRound = 0

  constructor(components: LeadershipComponents, options: LeaseOptions) {
    this.#components = components
    this.#options = options
  }

  /** Undefined while this member does not lead. */
  get duties(): LeaderDuties | undefined {
    return this.#duties
  }

  /**
   * The ballot is won and `record` is the newest. `hellos`: of those who are there. `isSealed`: a
   * seal is out that only another record ends.
   */
  begin(record: EpochRecord, hellos: ReadonlyMap<MemberId, HelloMessage>, isSealed: boolean): void {
    const { self, writer, coreKey, held, links } = this.#components
    const isLive = record.live.includes(writer)
    const isHandedOver = isLive && !isSealed && this.#isHandedOver(record)
    const duties = this.#makeDuties(record, isHandedOver)
    this.#duties = duties
    for (const member of links.connected()) {
      links.sendControl(member, { type: 'record', record, leads: true })
    }
    for (const [member, hello] of hellos) duties.hello(member, hello)
    duties.step({ type: 'hello', member: self, writer, coreKey, held: held() })
    if (!isLive) duties.join(self, 'in-sync')
    if (!isHandedOver) duties.step({ type: 'force' })
    this.#ledEpoch = record.epoch
  }

  /** The ballot is lost or given up. True when a record may come of what was proposed. */
  end(): boolean {
    const duties = this.#duties
    this.#lastRound = duties?.lastRound ?? this.#lastRound
    this.#duties = undefined
    return duties?.hasProposed ?? false
  }

  /**
   * Whoever led before has left with that record: a ballot of a member that is live in it was won,
   * or tried, later.
   */
  #isHandedOver(record: EpochRecord): boolean {
    const { self, register } = this.#components
    if (record.authority !== self || this.#ledEpoch === record.epoch) return false
    return !record.live.some((writer) => register.ownersBefore.has(memberOf(writer)))
  }

  #makeDuties(record: EpochRecord, isHandedOver: boolean): LeaderDuties {
    const { self, links, register, sealSelf } = this.#components
    return new LeaderDuties(
      {
        ...this.#components,
        isHandedOver,
        epochs: new EpochAuthority(record, self, { firstRound: this.#lastRound }),
        leaseLeftMs: () => register.leaseLeftMs(),
        sendSeal: (member, seal) => {
          links.sendControl(member, { type: 'seal', ballot: register.ballot, ...seal })
        },
        sealSelf,
        propose: (next) => register.propose(next),
        publish: (next) => this.#publish(next)
      },
      this.#options
    )
  }

  /** Who takes over hears it first. */
  #publish(record: EpochRecord): void {
    const { links, saveRecord, install } = this.#components
    saveRecord(record)
    this.#ledEpoch = record.epoch
    const connected = links.connected()
    const first = connected.filter((member) => member === record.authority)
    const others = connected.filter((member) => member !== record.authority)
    for (const member of [...first, ...others]) {
      links.sendControl(member, { type: 'record', record, leads: true })
    }
    install(record)
  }
}
