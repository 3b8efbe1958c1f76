/**
 * What a member decides by itself, for the inodes that are delegated to it, and the count of all
 * its processes hold. Owns the queues of delegated inodes.
 */
import { assert } from '../../fs/assert.ts'
import type { InodeLocks, LockWaiter } from '../../fs/lock/inode-locks.ts'
import type { LockOwner } from '../../fs/lock/lock-table.ts'
import { WHOLE_FILE } from '../../fs/lock/range.ts'
import { WaitGraph, waitEdges } from '../../fs/lock/wait-graph.ts'
import type { LockType } from '../../fs/ports/lock-service.ts'
import type { LocalInode, OpenRequest } from './local-inode.ts'
import { AGAIN, DEADLOCK, GRANTED, type LockAsk, type LockDecision } from './lock-client-events.ts'
import type { LockEdge } from './lock-message.ts'

export class DelegatedLocks {
  readonly #graph = new WaitGraph()
  /** Delegated inodes somebody waits at. */
  readonly #queued = new Set<LocalInode>()
  readonly #onGranted: (request: number) => void
  #held = 0

  /** `onGranted` is told of every queued request that is granted. */
  constructor(components: { readonly onGranted: (request: number) => void }) {
    this.#onGranted = components.onGranted
  }

  get held(): number {
    return this.#held
  }

  get hasWaiters(): boolean {
    return this.#queued.size > 0
  }

  /** To be called when time has passed. */
  settleAll(nowMs: number): void {
    for (const inode of this.#queued) this.settle(inode, nowMs)
  }

  /** The request does not wait here any more. */
  dequeue({ inode, waiter, request }: OpenRequest): void {
    if (waiter === undefined) return
    inode.locks.dequeue(waiter.owner, request)
    this.#graph.remove(waiter)
    if (inode.locks.queue.length === 0) this.#queued.delete(inode)
  }

  /** All that wait there, in order; they wait here no longer. */
  takeQueue(inode: LocalInode): LockWaiter[] {
    const queue = inode.locks.clearQueue()
    for (const waiter of queue) this.#graph.remove(waiter)
    this.#queued.delete(inode)
    return queue
  }

  edges(): LockEdge[] {
    const edges: LockEdge[] = []
    for (const { ino, locks } of this.#queued) {
      for (const { waiter, request, holder, serial } of waitEdges(ino, locks)) {
        edges.push({ ino, waiter: waiter.id, request, holder: holder.id, serial })
      }
    }
    return edges
  }

  /** Nothing is held any more. */
  clear(): void {
    this.#held = 0
  }

  /** The decision under a delegation. Undefined: it has to wait. */
  decide(
    inode: LocalInode,
    ask: LockAsk,
    owner: LockOwner,
    nowMs: number
  ): LockDecision | undefined {
    const { locks } = inode
    const { start, end, pid, lock } = ask
    if (lock === 'unlock') {
      this.set(inode, { owner, type: 'unlock', start, end, pid, sinceMs: nowMs })
      this.settle(inode, nowMs)
      return GRANTED
    }
    if (ask.action === 'query') {
      const found = locks.table.conflict(owner, lock, ask)
      if (found === undefined) return GRANTED
      const { type, pid: holder } = found
      const range = { start: found.start, end: found.end }
      const { kind, member } = found.owner
      return { result: 'granted', conflict: { kind, type, ...range, member, pid: holder } }
    }
    if (ask.kind === 'flock') this.#dropOther(inode, owner, lock, nowMs)
    const change = { owner, type: lock, start, end, pid, sinceMs: nowMs }
    if (ask.action === 'try') {
      if (locks.table.conflict(owner, lock, ask) === undefined) this.set(inode, change)
      else {
        this.settle(inode, nowMs)
        return AGAIN
      }
    } else {
      const isAlone = locks.table.count === 0 && locks.queue.length === 0
      const waiter: LockWaiter | undefined = isAlone ? undefined : { ...change, request: 0 }
      if (waiter !== undefined && !locks.isFree(waiter, nowMs)) {
        this.settle(inode, nowMs)
        return this.#graph.closesCircle(waiter, locks) ? DEADLOCK : undefined
      }
      this.set(inode, change)
    }
    this.settle(inode, nowMs)
    return GRANTED
  }

  #dropOther(inode: LocalInode, owner: LockOwner, type: LockType, nowMs: number): void {
    const [held] = inode.locks.table.locksOf(owner)
    if (held === undefined || held.type === type) return
    this.set(inode, { ...WHOLE_FILE, owner, type: 'unlock', pid: 0, sinceMs: nowMs })
  }

  /** Changes what is held, whoever decided it. */
  set(inode: LocalInode, change: Parameters<InodeLocks['table']['set']>[0]): void {
    const { table } = inode.locks
    const before = table.count
    table.set(change)
    this.#held += table.count - before
  }

  enqueue(open: OpenRequest): void {
    const { inode, lockOwner, lock, start, end, pid, request, sinceMs } = open
    assert(lock !== 'unlock', 'an unlock never waits')
    const waiter: LockWaiter = { owner: lockOwner, type: lock, start, end, pid, request, sinceMs }
    open.waiter = waiter
    inode.locks.enqueue(waiter)
    this.#graph.add(waiter, inode.locks)
    this.#queued.add(inode)
  }

  /** Grants what can be granted by now. */
  settle(inode: LocalInode, nowMs: number): void {
    if (inode.locks.queue.length === 0) return
    const before = inode.locks.table.count
    const granted = inode.locks.settle(nowMs)
    this.#held += inode.locks.table.count - before
    for (const waiter of granted) {
      this.#graph.remove(waiter)
      this.#onGranted(waiter.request)
    }
    if (inode.locks.queue.length === 0) this.#queued.delete(inode)
  }
}
