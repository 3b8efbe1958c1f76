/**
 * Who opens a connection and which of two survives: pure rules, the same at both ends.
 *
 * Of a pair the member with the larger id dials: it joined later, so it knows an address that
 * worked, while the earlier member may be unable to reach it (NAT). Only when that has not led to
 * a connection for a while, the other dials too. When both succeed, the larger id's stays; of two
 * opened by the same side the newer stays, for a side opens a second one only after it lost the
 * first.
 */
import type { MemberId } from '../../fs/primitives.ts'

export const BACKOFF_MIN_MS = 50
export const BACKOFF_MAX_MS = 2000

export function isPreferredDialer(self: MemberId, peer: MemberId): boolean {
  return self > peer
}

export interface Contender {
  /** True when this member opened it. */
  readonly dialed: boolean
}

/** True when `incoming` takes the place of `existing` between `self` and `peer`. */
export function replaces(
  self: MemberId,
  peer: MemberId,
  existing: Contender,
  incoming: Contender
): boolean {
  if (existing.dialed === incoming.dialed) return true
  return incoming.dialed === isPreferredDialer(self, peer)
}

/** Delay before attempt `failures` + 1, doubling, with `chance` in 0..1 spread over +-25 %. */
export function backoffMs(failures: number, chance: number): number {
  const base = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 16))
  return Math.min(BACKOFF_MAX_MS, Math.round(base * (0.75 + chance / 2)))
}
