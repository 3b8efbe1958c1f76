/** What a member knows about the locks of one inode: its processes' own, and what they ask for. */
import type { InodeLocks, LockWaiter } from '../../fs/lock/inode-locks.ts'
import type { LockOwner } from '../../fs/lock/lock-table.ts'
import type { LostLock } from '../../fs/ports/lock-service.ts'
import type { Ino } from '../../fs/primitives.ts'
import type { LockAsk } from './lock-client-events.ts'
import type { LockBring, LockHold, LockWaiting } from './lock-message.ts'

export interface OpenRequest extends LockAsk {
  readonly request: number
  readonly inode: LocalInode
  readonly lockOwner: LockOwner
  readonly sinceMs: number
  /** Nobody waits for the answer. */
  readonly silent: boolean
  cancelled: boolean
  /** To be sent with the want; once it was not, the authority does not know it any more. */
  bring: LockBring | undefined
  /** Waits here, under a delegation; undefined: at the authority. */
  waiter: LockWaiter | undefined
}

export interface LocalInode {
  readonly ino: Ino
  readonly locks: InodeLocks
  /** Number of the delegation, 0 = none. */
  delegation: number
  /** Asked of the authority and not answered, in order. */
  readonly open: Map<number, OpenRequest>
}

/** What of the inode is held here, as it is told to the authority. */
export function holdsOf({ ino, locks }: LocalInode, nowMs: number): LockHold[] {
  return locks.table.locks().map(({ owner, type, start, end, pid, sinceMs }) => {
    const ageMs = Math.max(0, Math.round(nowMs - sinceMs))
    return { ino, kind: owner.kind, owner: owner.id, lock: type, start, end, pid, ageMs }
  })
}

export function waitingOf(ino: Ino, waiter: LockWaiter, nowMs: number): LockWaiting {
  const { owner, type, start, end, pid, request, sinceMs } = waiter
  const ageMs = Math.max(0, Math.round(nowMs - sinceMs))
  const span = { ino, kind: owner.kind, owner: owner.id, lock: type, start, end, pid }
  return { ...span, ageMs, request }
}

export function lostOf(ino: Ino, { kind, id }: LockOwner): LostLock {
  return { ino, kind, owner: id }
}
