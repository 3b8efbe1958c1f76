/** What the authority knows about one inode that is not simply shared by everybody. */
import { assert } from '../../fs/assert.ts'
import { RANGE_END, type TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'
import { endOf, startOf } from './token-range.ts'

export interface TokenRequest {
  readonly member: MemberId
  readonly request: number
  /** Each inode once, with the strongest mode asked for. */
  readonly wants: readonly TokenWant[]
}

export const EMPTY_VECTOR: Vector = new Map()
/** Requests of one inode looked at in one go; the others follow when one of these ends. */
const FRONT_MAX = 64

/** Bytes [start, end) of an inode, all of which the same is known about. */
export class TokenSpan {
  start: number
  end: number
  /** The member that has it exclusively; every other live member is then in `noted`. */
  holder: MemberId | undefined
  /** Number of the holder's grant. */
  grant = 0
  /** The holder was asked to give this part of its grant up. */
  recalled = false
  /** Members that neither look at it nor cache it until they are granted it. */
  noted = new Set<MemberId>()
  /** Notes on their way: member -> note number. */
  pendingNotes = new Map<MemberId, number>()

  constructor(start: number, end: number) {
    this.start = start
    this.end = end
  }

  /** Cuts the span in two; returns the part from `at` on. */
  split(at: number): TokenSpan {
    const rest = new TokenSpan(at, this.end)
    this.end = at
    rest.holder = this.holder
    rest.grant = this.grant
    rest.recalled = this.recalled
    rest.noted = new Set(this.noted)
    rest.pendingNotes = new Map(this.pendingNotes)
    return rest
  }

  saysTheSameAs(other: TokenSpan): boolean {
    return (
      this.holder === other.holder &&
      this.grant === other.grant &&
      this.recalled === other.recalled &&
      this.noted.size === other.noted.size &&
      this.pendingNotes.size === other.pendingNotes.size &&
      [...this.noted].every((member) => other.noted.has(member)) &&
      [...this.pendingNotes].every(([id, number]) => other.pendingNotes.get(id) === number)
    )
  }
}

export class TokenObject {
  readonly ino: Ino
  /** All of the inode, in order. */
  readonly spans: TokenSpan[] = [new TokenSpan(0, RANGE_END)]
  /** To be applied by whoever is granted what it was noted of: all releases joined (RULES 16). */
  vector: Vector = EMPTY_VECTOR
  /** Requests that want it and wait, in the order of their arrival. */
  readonly queue: TokenRequest[] = []

  constructor(ino: Ino) {
    this.ino = ino
  }

  /** True when nobody would notice its absence. */
  get isBlank(): boolean {
    return this.isIdle && this.spans.every((span) => span.noted.size === 0)
  }

  /** True when nobody holds it, waits for it or is being told about it. */
  get isIdle(): boolean {
    return (
      this.queue.length === 0 &&
      this.spans.every((span) => span.holder === undefined && span.pendingNotes.size === 0)
    )
  }

  /** The spans that make up exactly [start, end), cut where needed. */
  carve(start: number, end: number): TokenSpan[] {
    this.#cutAt(start)
    this.#cutAt(end)
    return this.spans.filter((span) => span.start >= start && span.end <= end)
  }

  #cutAt(at: number): void {
    const index = this.spans.findIndex((span) => span.start < at && span.end > at)
    const span = this.spans[index]
    if (span !== undefined) this.spans.splice(index + 1, 0, span.split(at))
  }

  /** Joins neighbours that say the same. */
  merge(): void {
    let kept = 0
    for (let i = 1; i < this.spans.length; i++) {
      const last = this.spans[kept]
      const span = this.spans[i]
      if (last === undefined || span === undefined) break
      if (last.saysTheSameAs(span)) last.end = span.end
      else this.spans[++kept] = span
    }
    this.spans.length = kept + 1
  }

  /** True when no earlier request in the queue conflicts: the order of arrival is kept. */
  isFirst(request: TokenRequest, want: TokenWant): boolean {
    for (const earlier of this.queue) {
      if (earlier === request) return true
      if (conflicts(wantIn(earlier, this.ino), want)) return false
    }
    assert(false, 'request is not in the queue of its inode')
  }

  /** Requests that no earlier one keeps from being looked at. */
  front(): TokenRequest[] {
    const front: TokenRequest[] = []
    const seen: TokenWant[] = []
    for (const request of this.queue) {
      const want = wantIn(request, this.ino)
      if (!seen.some((earlier) => conflicts(earlier, want))) front.push(request)
      seen.push(want)
      if (seen.length >= FRONT_MAX) break
    }
    return front
  }

  unqueue(request: TokenRequest): void {
    const index = this.queue.indexOf(request)
    assert(index >= 0, 'request is not in the queue of its inode')
    this.queue.splice(index, 1)
  }
}

export function conflicts(a: TokenWant, b: TokenWant): boolean {
  if (a.mode === 'shared' && b.mode === 'shared') return false
  return startOf(a) < endOf(b) && endOf(a) > startOf(b)
}

/** What the request wants of the inode. */
export function wantIn(request: TokenRequest, ino: Ino): TokenWant {
  const want = request.wants.find((each) => each.ino === ino)
  assert(want !== undefined, 'request in the queue of an inode it does not want')
  return want
}
