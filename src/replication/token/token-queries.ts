/**
 * Queries: looking at an inode without taking it from who changes it (RULES 28). A member that is
 * noted asks the authority, which asks the holders what they have applied; when the asker has
 * applied that too, its state has everything that was done before it asked.
 *
 * Invariant: the answer's vector covers every op on the inode that was finished when the query
 * arrived at the authority. Who did one has either released it - then the vector of the inode has it -
 * or holds it still, and is asked. Nothing is promised about what comes later: an answer may be used
 * once, and nothing of it be kept.
 *
 * Owns what is asked and not answered at the authority; what a client has asked is in
 * token-client-queries.ts. Pure, part of the authority's core.
 */
import type { MemberId } from '../../fs/primitives.ts'
import { type Vector, vectorJoin } from '../vector.ts'
import { type ProbedMessage, type QueryMessage, TOKEN_REQUESTS_MAX } from './token-message.ts'
import { EMPTY_VECTOR, type TokenObject } from './token-object.ts'

/** A query whose answer is ready. */
export interface Told {
  readonly member: MemberId
  readonly request: number
  readonly vector: Vector
  readonly idle: boolean
}

interface Pending {
  readonly member: MemberId
  readonly request: number
  readonly missing: Set<MemberId>
  vector: Vector
  idle: boolean
}

export class AuthorityQueries {
  readonly #pending = new Map<number, Pending>()
  readonly #counts = new Map<MemberId, number>()
  #last = 0

  clear(): void {
    this.#pending.clear()
    this.#counts.clear()
  }

  /** True when the member may not have another one. */
  isFull(member: MemberId): boolean {
    return (this.#counts.get(member) ?? 0) >= TOKEN_REQUESTS_MAX
  }

  /** The members to ask, under that number; or the answer when there is nobody to ask. */
  begin(
    member: MemberId,
    { request }: QueryMessage,
    object: TokenObject | undefined
  ): { readonly number: number; readonly holders: readonly MemberId[] } | Told {
    const holders = new Set<MemberId>()
    for (const { holder } of object?.spans ?? []) {
      if (holder !== undefined && holder !== member) holders.add(holder)
    }
    const vector = object?.vector ?? EMPTY_VECTOR
    if (holders.size === 0) return { member, request, vector, idle: true }
    const number = ++this.#last
    this.#pending.set(number, { member, request, missing: holders, vector, idle: true })
    this.#counts.set(member, (this.#counts.get(member) ?? 0) + 1)
    return { number, holders: [...holders] }
  }

  /** The answer, when it was the last that was missing. */
  probed(from: MemberId, { number, vector, idle }: ProbedMessage): Told | undefined {
    const pending = this.#pending.get(number)
    if (pending === undefined || !pending.missing.delete(from)) return undefined
    pending.vector = vectorJoin(pending.vector, vector)
    pending.idle &&= idle
    if (pending.missing.size > 0) return undefined
    this.#pending.delete(number)
    const { member } = pending
    const count = this.#counts.get(member) ?? 0
    if (count > 1) this.#counts.set(member, count - 1)
    else this.#counts.delete(member)
    return pending
  }
}
