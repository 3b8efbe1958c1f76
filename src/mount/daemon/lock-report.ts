/** File locks as `tandemfs locks` shows them: who holds, who waits for whom, and on which path. */
import { readFileSync } from 'node:fs'
import { inodeAt, pathsOf } from '../../fs/locate.ts'
import { rangesOverlap } from '../../fs/lock/range.ts'
import { LOCK_END, type LockRow } from '../../fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { StateStore } from '../../fs/state/state-store.ts'

/** Keeps the answer far below what a control connection takes. */
const ROWS_MAX = 5000

export interface LockParty {
  readonly member: string
  readonly pid: number
}

export interface LockReportRow {
  /** Relative to the mount; null when the file has no name, or it was not found. */
  readonly path: string | null
  readonly ino: number
  readonly kind: 'record' | 'flock'
  readonly type: 'read' | 'write'
  /** First byte, in decimal: it need not fit a number. */
  readonly start: string
  /** Last byte in decimal; null = to the end, however far the file grows. */
  readonly end: string | null
  readonly state: 'held' | 'waiting'
  readonly member: string
  readonly pid: number
  /** Name of the process; null when it is gone. */
  readonly command: string | null
  readonly ageMs: number
  /** Of a held lock: how many requests wait for it. */
  readonly waiters: number
  /** Of a waiting request: the locks in its way. */
  readonly waitsFor: readonly LockParty[]
}

export interface LockReport {
  readonly version: 1
  readonly volume: string
  readonly member: string
  readonly mountPoint: string
  readonly locks: readonly LockReportRow[]
  /** Further locks that are not in the list. */
  readonly omitted: number
  /** Members whose locks are missing, because they cannot be reached. */
  readonly silent: readonly string[]
}

export interface LockReportSource {
  readonly rows: readonly LockRow[]
  readonly state: StateStore
  readonly nameOf: (member: MemberId) => string
}

/** `below`: only that file, or what is below that directory; relative to the mount. */
export async function lockRows(
  source: LockReportSource,
  below: string | undefined
): Promise<{ readonly locks: readonly LockReportRow[]; readonly omitted: number }> {
  const { rows, state } = source
  const wanted = below === undefined || below === '' ? undefined : inodeAt(state, below)
  if (below !== undefined && below !== '' && wanted === undefined) return { locks: [], omitted: 0 }
  const paths = await pathsOf(state, new Set(rows.map((row) => row.ino)))
  const locks: LockReportRow[] = []
  let omitted = 0
  for (const [ino, group] of byInode(rows)) {
    const path = ino === wanted && below !== undefined ? below : (paths.get(ino) ?? null)
    if (wanted !== undefined && ino !== wanted && !path?.startsWith(`${below}/`)) continue
    for (const row of group) {
      if (locks.length < ROWS_MAX) locks.push(reportRow(source, row, group, path))
      else omitted++
    }
  }
  return { locks, omitted }
}

function byInode(rows: readonly LockRow[]): [Ino, readonly LockRow[]][] {
  const groups = new Map<Ino, LockRow[]>()
  for (const row of rows) {
    const group = groups.get(row.ino)
    if (group === undefined) groups.set(row.ino, [row])
    else group.push(row)
  }
  return [...groups].sort(([a], [b]) => a - b)
}

function reportRow(
  { nameOf }: LockReportSource,
  row: LockRow,
  group: readonly LockRow[],
  path: string | null
): LockReportRow {
  const { ino, kind, type, start, end, state, member, pid } = row
  const waiters = group.filter((other) => other.state === 'waiting' && isInTheWay(row, other))
  const blockers = state === 'held' ? [] : group.filter((other) => isInTheWay(other, row))
  return {
    path,
    ino,
    kind,
    type,
    start: String(start),
    end: end === LOCK_END ? null : String(end),
    state,
    member: nameOf(member),
    pid,
    command: row.command ?? null,
    ageMs: Math.round(row.ageMs),
    waiters: waiters.length,
    waitsFor: blockers.map((other) => ({ member: nameOf(other.member), pid: other.pid }))
  }
}

function isInTheWay(held: LockRow, waiting: LockRow): boolean {
  if (held.state !== 'held' || held.kind !== waiting.kind) return false
  if (held.member === waiting.member && held.owner === waiting.owner) return false
  return (held.type === 'write' || waiting.type === 'write') && rangesOverlap(held, waiting)
}

/** What /proc calls the process; undefined when there is none. */
export function commandOf(pid: number): string | undefined {
  if (pid <= 0) return undefined
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
  } catch {
    return undefined
  }
}

export function countLocks(rows: readonly LockRow[]): {
  readonly held: number
  readonly waiting: number
} {
  let waiting = 0
  for (const row of rows) if (row.state === 'waiting') waiting++
  return { held: rows.length - waiting, waiting }
}
