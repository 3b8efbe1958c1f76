/**
 * Leases: the time-bounded right of a member to answer. The authority promises time to a member;
 * the member counts from when it *asked*, the authority from when it *promised*, so the member's
 * lease always ends first. Both use their own monotonic clock (RULES 22); the margin covers drift.
 */
import type { MemberId } from '../fs/primitives.ts'

export interface LeaseOptions {
  readonly leaseMs: number
  /** Taken off at the member, added at the authority. */
  readonly marginMs: number
  readonly heartbeatMs: number
}

export const LEASE_DEFAULTS: LeaseOptions = { leaseMs: 1800, marginMs: 200, heartbeatMs: 300 }

/** A member's own lease. */
export class Lease {
  readonly #marginMs: number
  #endMs = Number.NEGATIVE_INFINITY

  constructor(options: LeaseOptions) {
    this.#marginMs = options.marginMs
  }

  /** The authority answered the heartbeat sent at `sentMs` of the member's clock. */
  renew(sentMs: number, leaseMs: number): void {
    this.#endMs = Math.max(this.#endMs, sentMs + leaseMs)
  }

  /** Given up: the epoch it belonged to is over. */
  drop(): void {
    this.#endMs = Number.NEGATIVE_INFINITY
  }

  /** When the right to answer ends or has ended. */
  get endMs(): number {
    return this.#endMs - this.#marginMs
  }

  leftMs(nowMs: number): number {
    return Math.max(0, this.#endMs - this.#marginMs - nowMs)
  }
}

/** What the authority has promised to the others. */
export class LeasePromises {
  readonly #options: LeaseOptions
  readonly #until = new Map<MemberId, number>()

  constructor(options: LeaseOptions) {
    this.#options = options
  }

  /** Promises time until `leaseMs` from now: no more than the authority's own lease has left. */
  promise(member: MemberId, nowMs: number, leaseMs: number): void {
    const untilMs = nowMs + leaseMs + this.#options.marginMs
    this.#until.set(member, Math.max(this.#until.get(member) ?? untilMs, untilMs))
  }

  isOver(member: MemberId, nowMs: number): boolean {
    return nowMs >= (this.#until.get(member) ?? Number.NEGATIVE_INFINITY)
  }

  leftMs(member: MemberId, nowMs: number): number {
    return Math.max(0, (this.#until.get(member) ?? 0) - nowMs)
  }

  forget(member: MemberId): void {
    this.#until.delete(member)
  }
}
