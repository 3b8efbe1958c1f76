/** Locks as rows for people: what the cores know, in one form. */
import type { InodeLocks } from '../../fs/lock/inode-locks.ts'
import type { LockRow } from '../../fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { LockAuthority } from './lock-authority.ts'
import type { LockClient } from './lock-client.ts'

function tableRows(ino: Ino, locks: InodeLocks, nowMs: number): LockRow[] {
  const held = locks.table.locks().map((lock): LockRow => {
    const { owner, type, start, end, pid, sinceMs } = lock
    const { kind, member, id } = owner
    const span = { ino, kind, type, start, end, member, pid, owner: id }
    return { ...span, state: 'held', ageMs: nowMs - sinceMs, waiters: locks.waitersFor(lock) }
  })
  const waiting = locks.queue.map(({ owner, type, start, end, pid, sinceMs }): LockRow => {
    const { kind, member, id } = owner
    const span = { ino, kind, type, start, end, member, pid, owner: id }
    return { ...span, state: 'waiting', ageMs: nowMs - sinceMs, waiters: 0 }
  })
  return [...held, ...waiting]
}

export function clientRows(
  client: LockClient,
  nowMs: number,
  includes: (delegated: boolean) => boolean
): LockRow[] {
  const rows: LockRow[] = []
  for (const { ino, locks, delegated, open } of client.inodes()) {
    if (!includes(delegated)) continue
    rows.push(...tableRows(ino, locks, nowMs))
    for (const { kind, lock, start, end, owner, pid, sinceMs, action } of open) {
      if (lock === 'unlock' || action !== 'wait') continue
      const span = { ino, kind, type: lock, start, end, member: client.member, pid, owner }
      rows.push({ ...span, state: 'waiting', ageMs: nowMs - sinceMs, waiters: 0 })
    }
  }
  return rows
}

/** Of all members, for the inodes that are not delegated. */
export function authorityRows(authority: LockAuthority, nowMs: number): LockRow[] {
  const rows: LockRow[] = []
  for (const { ino, locks, arrived } of authority.inodes()) {
    rows.push(...tableRows(ino, locks, nowMs))
    for (const { owner, message, sinceMs } of arrived) {
      const { lock, start, end, pid, action } = message
      if (lock === 'unlock' || action !== 'wait') continue
      const member: MemberId = owner.member
      const span = { ino, kind: owner.kind, type: lock, start, end, member, pid, owner: owner.id }
      rows.push({ ...span, state: 'waiting', ageMs: nowMs - sinceMs, waiters: 0 })
    }
  }
  return rows
}
