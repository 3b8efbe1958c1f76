/**
 * Durability: when an fsync may be answered. A wait names a vector and ends when every member of
 * the in-sync set has acknowledged `durable` for at least that vector (RULES 2, 3). A member that
 * falls away ends a wait only by leaving the in-sync set through a new record.
 */
import type { MemberId } from '../fs/primitives.ts'
import type { Vector } from './vector.ts'
import { vectorCovers, vectorJoin } from './vector.ts'

interface Wait {
  readonly vector: Vector
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Durability {
  readonly #durable = new Map<MemberId, Vector>()
  readonly #waits = new Set<Wait>()
  #inSync: readonly MemberId[]

  constructor(inSync: readonly MemberId[]) {
    this.#inSync = inSync
  }

  setInSync(members: readonly MemberId[]): void {
    this.#inSync = members
    this.#settle()
  }

  acknowledged(member: MemberId, vector: Vector): void {
    this.#durable.set(member, vectorJoin(this.#durable.get(member) ?? new Map(), vector))
    this.#settle()
  }

  durableOf(member: MemberId): Vector {
    return this.#durable.get(member) ?? new Map()
  }

  /** Members of the in-sync set whose acknowledgement is missing for the vector. */
  missing(vector: Vector): MemberId[] {
    return this.#inSync.filter((member) => !vectorCovers(this.durableOf(member), vector))
  }

  wait(vector: Vector): Promise<void> {
    if (this.missing(vector).length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waits.add({ vector, resolve, reject })
    })
  }

  get waiting(): number {
    return this.#waits.size
  }

  fail(error: Error): void {
    for (const wait of this.#waits) wait.reject(error)
    this.#waits.clear()
  }

  #settle(): void {
    for (const wait of this.#waits) {
      if (this.missing(wait.vector).length > 0) continue
      this.#waits.delete(wait)
      wait.resolve()
    }
  }
}
