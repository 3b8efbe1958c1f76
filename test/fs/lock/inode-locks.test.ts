import test from 'brittle'
import {
  FAIR_MAX_MS,
  FAIR_MIN_MS,
  InodeLocks,
  type LockWaiter
} from '../../../src/fs/lock/inode-locks.ts'
import { LockSerials } from '../../../src/fs/lock/lock-table.ts'
import { findCircle, WaitGraph, waitEdges } from '../../../src/fs/lock/wait-graph.ts'
import type { LockType } from '../../../src/fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../../src/fs/primitives.ts'

let lastRequest = 0

function waiter(id: bigint, type: LockType, start: bigint, end: bigint, sinceMs = 0): LockWaiter {
  const owner = { member: 1 as MemberId, kind: 'record', id } as const
  return { owner, type, start, end, pid: 1, request: ++lastRequest, sinceMs }
}

function unlock(locks: InodeLocks, id: bigint): void {
  const owner = { member: 1 as MemberId, kind: 'record', id } as const
  locks.table.set({ owner, type: 'unlock', start: 0n, end: 99n, pid: 1, sinceMs: 0 })
}

test('inode locks - the order of arrival is kept, compatible requests go together', (t) => {
  const locks = new InodeLocks(new LockSerials())
  locks.grant(waiter(1n, 'write', 0n, 9n), 0)
  const [a, b, c, d] = [
    waiter(2n, 'read', 0n, 4n),
    waiter(3n, 'read', 2n, 9n),
    waiter(4n, 'write', 0n, 9n),
    waiter(5n, 'read', 0n, 9n)
  ]
  for (const each of [a, b, c, d]) locks.enqueue(each)
  t.alike(locks.settle(1), [])
  unlock(locks, 1n)
  t.alike(locks.settle(1), [a, b], 'the last reader stays behind the writer')
  unlock(locks, 2n)
  unlock(locks, 3n)
  t.alike(locks.settle(2), [c])
  unlock(locks, 4n)
  t.alike(locks.settle(3), [d])
  t.absent(locks.queue.length)
})

test('inode locks - patience with an earlier wait ends', (t) => {
  const locks = new InodeLocks(new LockSerials())
  locks.grant(waiter(1n, 'read', 0n, 9n), 0)
  locks.enqueue(waiter(2n, 'write', 0n, 9n, 0))
  const late = waiter(3n, 'read', 0n, 9n, 10)
  locks.enqueue(late)
  t.alike(locks.settle(10 + FAIR_MIN_MS - 1), [])
  t.alike(locks.settle(10 + FAIR_MIN_MS), [late])
  const later = waiter(4n, 'read', 0n, 9n, 60_000)
  locks.enqueue(later)
  t.alike(locks.settle(60_000 + FAIR_MAX_MS - 1), [], 'the wait before it is old')
  t.alike(locks.settle(60_000 + FAIR_MAX_MS), [later])
})

test('inode locks - no patience with one that waits for a lock of the same owner', (t) => {
  const locks = new InodeLocks(new LockSerials())
  locks.grant(waiter(1n, 'write', 0n, 4n), 0)
  locks.enqueue(waiter(2n, 'write', 0n, 9n, 0))
  t.ok(locks.isFree(waiter(1n, 'write', 5n, 9n, 1), 1))
  t.absent(locks.isFree(waiter(3n, 'write', 5n, 9n, 1), 1))
})

test('wait graph - a circle is told to the one that closes it, a chain to nobody', (t) => {
  const serials = new LockSerials()
  const inodes = [0, 1, 2].map(() => new InodeLocks(serials))
  const graph = new WaitGraph()
  inodes.forEach((locks, i) => {
    locks.grant(waiter(BigInt(i), 'write', 0n, 9n), 0)
  })
  const wait = (id: bigint, at: number) => {
    const locks = inodes[at]
    if (locks === undefined) throw new Error('no such inode')
    const waiting = waiter(id, 'read', 0n, 9n)
    const closes = graph.closesCircle(waiting, locks)
    if (closes) return true
    locks.enqueue(waiting)
    graph.add(waiting, locks)
    return false
  }
  t.absent(wait(0n, 1))
  t.absent(wait(1n, 2))
  t.absent(wait(5n, 0), 'outside of it')
  const edges = () => inodes.flatMap((locks, i) => waitEdges(i as Ino, locks))
  t.is(findCircle(edges()), undefined)
  t.ok(wait(2n, 0))
  inodes[0]?.enqueue(waiter(2n, 'read', 0n, 9n))
  t.is(findCircle(edges())?.length, 3)
})
