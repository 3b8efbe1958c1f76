/** File locks as text. */
import type { LockReport, LockReportRow } from '../daemon/lock-report.ts'
import { formatDuration, formatTable } from './table.ts'

const HEADING = ['PATH', 'KIND', 'TYPE', 'RANGE', 'STATE', 'AGE', 'MEMBER', 'PROCESS', 'WAITING']

function rangeText({ kind, start, end }: LockReportRow): string {
  return kind === 'flock' ? 'file' : `${start}-${end ?? 'end'}`
}

function waitingText({ state, waiters, waitsFor }: LockReportRow): string {
  if (state === 'held') return waiters === 0 ? '' : `${waiters} for it`
  if (waitsFor.length === 0) return 'for its turn'
  return `for ${waitsFor.map(({ member, pid }) => `${member}:${pid}`).join(', ')}`
}

function lockRow(lock: LockReportRow): string[] {
  return [
    lock.path ?? `(inode ${lock.ino})`,
    lock.kind,
    lock.type,
    rangeText(lock),
    lock.state,
    formatDuration(lock.ageMs),
    lock.member,
    lock.command === null ? String(lock.pid) : `${lock.pid} (${lock.command})`,
    waitingText(lock)
  ]
}

/** Several lines, without a newline at the end. */
export function formatLocks(report: LockReport): string {
  const { volume, mountPoint, locks, omitted, silent } = report
  const title = `${volume} at ${mountPoint}`
  const lines = locks.length === 0 ? [`${title}: no locks`] : [`${title}:`]
  if (locks.length > 0) lines.push(formatTable([HEADING, ...locks.map(lockRow)]))
  if (omitted > 0) lines.push(`and ${omitted} more`)
  if (silent.length > 0) lines.push(`not known: those of ${silent.join(', ')}, not reached`)
  return lines.join('\n')
}
