/** A change of epoch as this member has lived through it: what `status` tells of the last one. */
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'

export interface EpochPause {
  readonly epoch: number
  readonly authorityBefore: MemberId
  readonly authority: MemberId
  /** Live before, and no more. */
  readonly gone: readonly MemberId[]
  /** How long nothing was answered here. */
  readonly pausedMs: number
  /** Clock of this member at its end. */
  readonly atMs: number
}

/** Undefined when nobody was lost and the authority is the same: nothing to tell. */
export function epochPause(
  before: EpochRecord,
  record: EpochRecord,
  { stoppedMs, atMs }: { readonly stoppedMs: number; readonly atMs: number }
): EpochPause | undefined {
  const gone = before.live.filter((w) => !record.live.includes(w)).map(memberOf)
  if (gone.length === 0 && before.authority === record.authority) return undefined
  const pausedMs = Number.isFinite(stoppedMs) ? Math.round(atMs - stoppedMs) : 0
  const { epoch, authority } = record
  return { epoch, authorityBefore: before.authority, authority, gone, pausedMs, atMs }
}
