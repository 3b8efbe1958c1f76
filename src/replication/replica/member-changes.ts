/**
 * Changes of the member list that somebody waits for: proposed to the leader, again and again while
 * it may be another one, and done with the record. Every wait has an end.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { MemberChange } from '../epoch/member-change.ts'
import {
  isMemberChangeDone,
  MemberChangeError,
  memberChangeConflict
} from '../epoch/member-change.ts'
import type { EpochRecord } from '../record.ts'

export interface MemberChangesComponents {
  readonly record: () => EpochRecord
  /** Hands the change to the leader; a record that contains it follows. */
  readonly propose: (change: MemberChange) => void
  readonly clock: Clock
}

interface Wait {
  readonly change: MemberChange
  readonly endMs: number
  readonly resolve: () => void
  readonly reject: (error: MemberChangeError) => void
}

const PROPOSE_AGAIN_MS = 500
const WAIT_MS = 20_000

export class MemberChanges {
  readonly #components: MemberChangesComponents
  #waits: Wait[] = []
  #timer: Timer | undefined
  #stopped = false

  constructor(components: MemberChangesComponents) {
    this.#components = components
  }

  /** Resolves when the record with that change is chosen. Rejects with a MemberChangeError. */
  make(change: MemberChange): Promise<void> {
    const { clock, propose } = this.#components
    return new Promise((resolve, reject) => {
      const endMs = clock.monotonicMs() + WAIT_MS
      this.#waits.push({ change, endMs, resolve, reject })
      this.settle()
      if (this.#waits.length > 0) propose(change)
      this.#arm()
    })
  }

  /** Call when the record is another one. */
  settle(): void {
    const record = this.#components.record()
    const nowMs = this.#components.clock.monotonicMs()
    const waits = this.#waits
    this.#waits = []
    for (const wait of waits) {
      const conflict = memberChangeConflict(record, wait.change)
      if (isMemberChangeDone(record, wait.change)) wait.resolve()
      else if (conflict !== undefined) wait.reject(new MemberChangeError('conflict', conflict))
      else if (this.#stopped || nowMs >= wait.endMs) wait.reject(unavailable())
      else this.#waits.push(wait)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.settle()
  }

  #arm(): void {
    if (this.#timer || this.#stopped || this.#waits.length === 0) return
    this.#timer = this.#components.clock.setTimer(PROPOSE_AGAIN_MS, () => {
      this.#timer = undefined
      this.settle()
      for (const { change } of this.#waits) this.#components.propose(change)
      this.#arm()
    })
  }
}

function unavailable(): MemberChangeError {
  return new MemberChangeError('unavailable', 'no majority of the voters agreed in time')
}
