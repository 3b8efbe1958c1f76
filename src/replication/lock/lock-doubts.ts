/**
 * What only the last authority knew. A member asserts what its processes were told they hold; an
 * unlock or a downgrade that the last authority has carried out, and whose answer never arrived, is
 * asserted as if it had not happened, while another member may have been given those bytes. Its
 * request is asked again, though. So: where asserted locks conflict, the requests of their owners
 * that weaken them are carried out. Invariant: without a conflict nothing is, since then nobody can
 * have been given anything.
 */
import { commonRange } from '../../fs/lock/range.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { AuthorityInode, LockRequestState } from './authority-inode.ts'

export interface SettledDoubts {
  /** Requests the last authority had granted. */
  readonly settled: ReadonlySet<LockRequestState>
  /** Members whose assertion nothing explains. */
  readonly impossible: ReadonlySet<MemberId>
}

export function settleDoubts(
  inodes: ReadonlyMap<Ino, AuthorityInode>,
  early: readonly LockRequestState[],
  nowMs: number
): SettledDoubts {
  const settled = new Set<LockRequestState>()
  for (const request of early) {
    const { owner, message } = request
    const { lock: type, start, end, pid } = message
    if (type === 'write' || message.action === 'query') continue
    const table = inodes.get(message.ino)?.locks.table
    const isDoubtful = table?.locksOf(owner).some((held) => {
      const common = commonRange(held, message)
      return common !== undefined && table.conflict(owner, held.type, common) !== undefined
    })
    if (table === undefined || !isDoubtful) continue
    // A downgrade explains readers beside it, not a writer.
    if (type === 'read' && table.conflict(owner, 'read', message) !== undefined) continue
    table.set({ owner, type, start, end, pid, sinceMs: nowMs })
    settled.add(request)
  }
  return { settled, impossible: findImpossible(inodes) }
}

function findImpossible(inodes: ReadonlyMap<Ino, AuthorityInode>): Set<MemberId> {
  const members = new Set<MemberId>()
  for (const { locks } of inodes.values()) {
    for (const lock of locks.table.locks()) {
      if (locks.table.conflict(lock.owner, lock.type, lock)) members.add(lock.owner.member)
    }
  }
  return members
}
