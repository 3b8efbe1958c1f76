/** What the lock authority knows about one inode: its locks, or to whom they are delegated. */
import { InodeLocks, type LockWaiter } from '../../fs/lock/inode-locks.ts'
import type { LockOwner, LockSerials } from '../../fs/lock/lock-table.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { LockWaiting, LockWantMessage } from './lock-message.ts'

/** A request that has no answer yet. */
export interface LockRequestState {
  readonly owner: LockOwner
  readonly message: LockWantMessage
  readonly sinceMs: number
  /** In the queue of its inode. */
  waiter: LockWaiter | undefined
  /** Cancelled before anything could be decided. */
  cancelled?: boolean
}

export class AuthorityInode {
  readonly ino: Ino
  /** Empty while delegated. */
  readonly locks: InodeLocks
  /** The member that decides. */
  delegate: MemberId | undefined
  delegation = 0
  recalled = false
  /** Requests of others that wait for the delegation to come back. */
  readonly arrived: LockRequestState[] = []
  /** Parts of what its delegate waited for, until the last has come. */
  readonly yielded: LockWaiting[] = []
  /** More than one member has asked for it, since it was heard of. */
  shared = false
  /** Requests in a row of one member, and which. */
  streak = 0
  #lastMember: MemberId | undefined

  constructor(ino: Ino, serials: LockSerials) {
    this.ino = ino
    this.locks = new InodeLocks(serials)
  }

  count(member: MemberId): void {
    this.streak = this.#lastMember === member ? this.streak + 1 : 1
    this.#lastMember = member
  }

  /** True when all that is held and waited for is that member's. */
  isAlone(member: MemberId): boolean {
    return (
      this.locks.table.owners().every((owner) => owner.member === member) &&
      this.locks.queue.every(({ owner }) => owner.member === member)
    )
  }

  /** True when nobody would notice its absence. */
  get isBlank(): boolean {
    return this.delegate === undefined && this.locks.isBlank && this.arrived.length === 0
  }
}
