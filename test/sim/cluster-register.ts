/**
 * Which records the voters have chosen, seen from the outside: a record stands from the moment in
 * which a majority of its voters has it durably, whatever anybody knows of that.
 */
import type { Epoch, MemberId } from '../../src/fs/primitives.ts'
import { type EpochRecord, isSameRecord } from '../../src/replication/record.ts'
import type { VoterState } from '../../src/replication/register/voter.ts'
import { isChosenBy } from '../../src/replication/register/voters.ts'
import { SafetyError } from './cluster-faults.ts'

export class ChosenRecords {
  readonly #accepted = new Map<string, Set<MemberId>>()
  readonly #promised = new Map<MemberId, number>()
  readonly #chosen = new Map<Epoch, EpochRecord>()
  #newest: EpochRecord

  constructor(first: EpochRecord) {
    this.#newest = first
    this.#chosen.set(first.epoch, first)
  }

  /** The record that is chosen with this, if there is one. */
  onSaved(voter: MemberId, { promised, accepted }: VoterState): EpochRecord | undefined {
    if (promised < (this.#promised.get(voter) ?? 0)) {
      throw new SafetyError(`voter ${voter} went back to an earlier promise`)
    }
    this.#promised.set(voter, promised)
    if (!accepted) return undefined
    const { ballot, record } = accepted
    const key = `${ballot}/${record.epoch}`
    const voters = this.#accepted.get(key) ?? new Set<MemberId>()
    this.#accepted.set(key, voters)
    voters.add(voter)
    return isChosenBy(record, (m) => voters.has(m)) ? this.#choose(record) : undefined
  }

  /** A member holds this record for a chosen one. */
  onBelieved(member: MemberId, record: EpochRecord): void {
    const chosen = this.#chosen.get(record.epoch)
    if (chosen && isSameRecord(chosen, record)) return
    throw new SafetyError(`member ${member} takes up a record that was not chosen`)
  }

  #choose(record: EpochRecord): EpochRecord | undefined {
    const before = this.#chosen.get(record.epoch)
    if (before && isSameRecord(before, record)) return undefined
    if (before !== undefined) throw new SafetyError(`two records of epoch ${record.epoch}`)
    if (record.epoch !== this.#newest.epoch + 1) {
      throw new SafetyError(`epoch ${record.epoch} was chosen after ${this.#newest.epoch}`)
    }
    this.#chosen.set(record.epoch, record)
    this.#newest = record
    return record
  }
}
