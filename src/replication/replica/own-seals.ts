/**
 * The seals this member is given: it stops serving, takes what is on its way, makes all of it
 * durable and says what that is.
 *
 * Invariants: between the answer to a seal and the next record nothing beyond the answer is
 * admitted of a live writer; the same seal again gets the same answer, which the leader may have
 * used already. A newer seal replaces the one that is carried out; a seal under a
 * lower ballot than one seen before is not obeyed. Nothing is served in an epoch whose successor a
 * seal has announced. RULES 10: what is said to be held is durable here.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { SealedMessage, SealMessage } from '../messages.ts'
import { type Ballot, NO_BALLOT } from '../register/ballot.ts'
import type { Vector } from '../vector.ts'
import { vectorJoin } from '../vector.ts'
import type { CatchUp } from './catch-up.ts'
import type { SelfSeal } from './leader-duties.ts'
import { allCuts } from './record-cuts.ts'

const SETTLE_POLL_MS = 5
const SETTLE_POLLS_MAX = 200
/** When nothing came for so many polls, what is missing went down with its writer. */
const SETTLE_IDLE_POLLS = 30

export interface OwnSealsComponents {
  readonly admission: Admission
  readonly catchUp: Pick<CatchUp, 'pull' | 'lag'>
  readonly clock: Clock
  /** False before the first record of a leader, and when this incarnation is over. */
  readonly mayAnswer: () => boolean
  /** Stops serving if it does; undefined when there is nothing to stop. */
  readonly stopServing: () => Promise<void> | undefined
  readonly sync: () => Promise<Vector>
  readonly waitApplied: (vector: Vector) => Promise<void>
  /** Admits nothing of live writers beyond this, until the next record; undefined lifts it. */
  readonly limitIntake: (limit: Vector | undefined) => void
  /** Asks at once for the slices that entries wait for. */
  readonly fetchSlices: () => void
  readonly answer: (to: MemberId, message: SealedMessage) => void
}

/** Who gave it, under which number, and what was answered. */
interface Given {
  readonly from: MemberId
  readonly round: number
  answer: SealedMessage | undefined
}

export class OwnSeals {
  readonly #components: OwnSealsComponents
  /** The seal being carried out or answered; a newer one replaces it. */
  #current = 0
  #given: Given | undefined
  #ballot: Ballot = NO_BALLOT
  #sinceMs = 0
  /** The newest epoch a seal has announced: nothing is served in an earlier one any more. */
  #announced = 0
  /** Set from the first seal of an epoch change until this member serves again. */
  #stopped: Promise<void> | undefined

  constructor(components: OwnSealsComponents) {
    this.#components = components
  }

  /** A seal is out here and no record has ended it. */
  get isGiven(): boolean {
    return this.#given !== undefined
  }

  /** When the last one came, by the clock of this member. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  /** A seal was given for an epoch after that one. */
  announcedAfter(epoch: number): boolean {
    return this.#announced > epoch
  }

  /** Undefined when the seal is void, carried out or answered already. Rejects with what cannot be made durable. */
  take(from: MemberId, message: SealMessage): Promise<void> | undefined {
    const { ballot, epoch, round } = message
    // The record before it comes on the same connection, ahead of the seal.
    if (epoch !== this.#components.admission.record.epoch + 1) return undefined
    if (ballot < this.#ballot) return undefined
    const given = this.#given
    if (given?.from === from && given.round === round) {
      const { mayAnswer, answer } = this.#components
      if (given.answer && mayAnswer()) answer(from, given.answer)
      return undefined
    }
    this.#ballot = ballot
    return this.carryOut(from, message)
  }

  async carryOut(from: MemberId, { epoch, round, cuts }: SelfSeal): Promise<void> {
    const { stopServing, sync, waitApplied, catchUp, admission, clock } = this.#components
    const { limitIntake, fetchSlices, mayAnswer, answer } = this.#components
    const current = ++this.#current
    if (!mayAnswer()) return
    const given: Given = { from, round, answer: undefined }
    this.#given = given
    this.#sinceMs = clock.monotonicMs()
    this.#announced = Math.max(this.#announced, epoch)
    this.#stopped = stopServing() ?? this.#stopped
    await this.#stopped
    if (current !== this.#current) return
    const first = cuts.size === 0
    limitIntake(first ? undefined : vectorJoin(admission.applied, cuts))
    // Also what ended long ago: a joiner that lacks it must not count as in sync.
    catchUp.pull()
    // Everybody waits for this member.
    fetchSlices()
    await waitApplied(vectorJoin(allCuts(admission.record), cuts))
    if (first) await this.#settled(current)
    if (current !== this.#current) return
    // What is said to be held is all there will be, unless the cuts name more.
    limitIntake(vectorJoin(admission.applied, cuts))
    const durable = await sync()
    if (current !== this.#current || !mayAnswer()) return
    const held = new Map<WriterId, Seq>()
    for (const writer of admission.record.live) held.set(writer, (durable.get(writer) ?? 0) as Seq)
    given.answer = { type: 'sealed', epoch, round, held }
    answer(from, given.answer)
  }

  /**
   * The record of that epoch is here: its seal is over, also where it is still carried out. It must
   * not limit what comes after.
   */
  recordCame(epoch: number): void {
    if (this.#announced > epoch) return
    this.#current++
    this.#given = undefined
  }

  /** This member serves again. */
  served(): void {
    this.#current++
    this.#given = undefined
    this.#stopped = undefined
  }

  /** Nobody else has heard the answer to a seal of that member, and no record comes of it. */
  withdraw(from: MemberId): void {
    if (this.#given?.from !== from) return
    this.#current++
    this.#components.limitIntake(undefined)
  }

  /**
   * Waits a little for entries that are on their way, so that the first answer is the last. What
   * nobody brings for a while is not waited for: it may have ended with its writer.
   */
  async #settled(current: number): Promise<void> {
    const { admission, catchUp, clock } = this.#components
    let last = ''
    let idlePolls = 0
    for (let i = 0; i < SETTLE_POLLS_MAX && idlePolls < SETTLE_IDLE_POLLS; i++) {
      if (current !== this.#current) return
      const waiting = admission.waitingEntries
      const lag = catchUp.lag()
      if (waiting === 0 && lag === 0) return
      const now = `${waiting}/${lag}`
      idlePolls = now === last ? idlePolls + 1 : 0
      last = now
      catchUp.pull()
      await new Promise<void>((resolve) => clock.setTimer(SETTLE_POLL_MS, resolve))
    }
  }
}
