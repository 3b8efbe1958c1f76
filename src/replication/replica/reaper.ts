/**
 * The reaper, at the authority: removes orphans that no member has open any more (RULES 27). It
 * asks every live member which of them are closed; an answer `closed` is a promise that the inode
 * is never opened again there. Only when all have promised, and everything they had applied is
 * applied here (their last writes to it), the removal is logged: once, by one member.
 */
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { ORPHANS_PER_QUERY_MAX } from '../message-codec.ts'
import type { OrphanAnswerMessage, OrphanQueryMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'

export interface ReaperComponents {
  readonly self: MemberId
  readonly record: () => EpochRecord
  /** Live members other than this one. */
  readonly others: () => readonly MemberId[]
  readonly orphans: () => readonly Ino[]
  /** Of these, the ones not open here; they will never be opened here again. */
  readonly closeForGood: (inos: readonly Ino[]) => readonly Ino[]
  readonly send: (member: MemberId, message: OrphanQueryMessage) => void
  readonly waitApplied: (vector: Vector) => Promise<void>
  /** Logs the removal of these inodes. */
  readonly reap: (inos: readonly Ino[]) => Promise<void>
}

interface Query {
  readonly number: number
  readonly waiting: Set<MemberId>
  readonly vectors: Vector[]
  closed: Ino[]
}

/** Rounds in a row in which those found open are left out. */
const FRESH_ROUNDS_MAX = 10

export class Reaper {
  readonly #components: ReaperComponents
  #query: Query | undefined
  #last = 0
  /** Found open somewhere in the last rounds: asked again after the others. */
  #stillOpen = new Set<Ino>()
  #freshRounds = 0

  constructor(components: ReaperComponents) {
    this.#components = components
  }

  /** Starts a round when none runs. Call it regularly while this member is live. */
  async round(all = this.#components.orphans()): Promise<void> {
    if (this.#query) return
    if (all.length === 0) return
    const fresh = all.filter((ino) => !this.#stillOpen.has(ino))
    // Where new ones keep coming the others would never have their turn.
    const isTurnOfAll = fresh.length === 0 || ++this.#freshRounds >= FRESH_ROUNDS_MAX
    if (isTurnOfAll) {
      this.#stillOpen = new Set()
      this.#freshRounds = 0
    }
    const asked = (isTurnOfAll ? all : fresh).slice(0, ORPHANS_PER_QUERY_MAX)
    const closed = this.#components.closeForGood(asked)
    for (const ino of asked) this.#stillOpen.add(ino)
    if (closed.length === 0) return
    const others = this.#components.others()
    const query = {
      number: ++this.#last,
      waiting: new Set(others),
      vectors: [],
      closed: [...closed]
    }
    this.#query = query
    const { epoch } = this.#components.record()
    for (const member of others) {
      const { number } = query
      this.#components.send(member, { type: 'orphan-query', epoch, query: number, inos: closed })
    }
    await this.#finishWhenAnswered(query)
  }

  async onAnswer(from: MemberId, message: OrphanAnswerMessage): Promise<void> {
    const query = this.#query
    if (!query || message.query !== query.number || !query.waiting.delete(from)) return
    if (message.epoch !== this.#components.record().epoch) return
    const closed = new Set(message.closed)
    query.closed = query.closed.filter((ino) => closed.has(ino))
    query.vectors.push(message.applied)
    await this.#finishWhenAnswered(query)
  }

  /** Another epoch, or a member is gone: what was asked is asked again. */
  reset(): void {
    this.#query = undefined
    this.#stillOpen = new Set()
  }

  async #finishWhenAnswered(query: Query): Promise<void> {
    if (query.waiting.size > 0) return
    const { epoch } = this.#components.record()
    for (const vector of query.vectors) await this.#components.waitApplied(vector)
    if (this.#query !== query || this.#components.record().epoch !== epoch) return
    this.#query = undefined
    for (const ino of query.closed) this.#stillOpen.delete(ino)
    await this.#components.reap(query.closed)
    if (query.closed.length === ORPHANS_PER_QUERY_MAX) await this.round()
  }
}
