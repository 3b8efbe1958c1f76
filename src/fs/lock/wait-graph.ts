/**
 * Who waits for whom, to tell a deadlock. Two forms of one question: is there a circle of owners
 * in which each waits for a lock that the next one holds?
 *
 * `WaitGraph` answers it for the waiters of one place, exactly and at once. `findCircle` answers it
 * for a list of edges gathered from several places: edges carry the serial of the held lock and the
 * number of the waiting request, so that what is found in two gatherings, the second begun after
 * the first had ended, was there all the time between and therefore at one moment.
 *
 * Record locks only: Linux never answers EDEADLK to flock. As in Linux an owner is taken for one
 * thread of control; an OFD lock cannot be told from an fcntl lock on the FUSE wire and is treated
 * alike. Only held locks count: who merely stands behind in a queue waits for a bounded time.
 */
import type { Ino } from '../primitives.ts'
import type { InodeLocks, LockWaiter } from './inode-locks.ts'
import { type LockOwner, sameOwner } from './lock-table.ts'

export function ownerKey(owner: LockOwner): string {
  return `${owner.member}/${owner.id}`
}

interface Waiting {
  readonly waiter: LockWaiter
  readonly locks: InodeLocks
}

export class WaitGraph {
  readonly #waiting = new Map<string, Waiting[]>()

  add(waiter: LockWaiter, locks: InodeLocks): void {
    if (waiter.owner.kind !== 'record') return
    const key = ownerKey(waiter.owner)
    const list = this.#waiting.get(key)
    if (list === undefined) this.#waiting.set(key, [{ waiter, locks }])
    else list.push({ waiter, locks })
  }

  remove(waiter: LockWaiter): void {
    if (waiter.owner.kind !== 'record') return
    const key = ownerKey(waiter.owner)
    const list = this.#waiting.get(key)
    const index = list?.findIndex((waiting) => waiting.waiter === waiter) ?? -1
    if (list === undefined || index < 0) return
    list.splice(index, 1)
    if (list.length === 0) this.#waiting.delete(key)
  }

  /** True when the waiter, not added yet, would wait for itself by way of others. */
  closesCircle(waiter: LockWaiter, locks: InodeLocks): boolean {
    if (waiter.owner.kind !== 'record') return false
    const seen = new Set<string>()
    const open: Waiting[] = [{ waiter, locks }]
    for (let waiting = open.pop(); waiting !== undefined; waiting = open.pop()) {
      for (const { owner } of waiting.locks.blockers(waiting.waiter)) {
        if (sameOwner(owner, waiter.owner)) return true
        const key = ownerKey(owner)
        if (seen.has(key)) continue
        seen.add(key)
        open.push(...(this.#waiting.get(key) ?? []))
      }
    }
    return false
  }
}

/** One waiting request and one lock that is in its way. */
export interface WaitEdge {
  readonly ino: Ino
  readonly waiter: LockOwner
  readonly request: number
  readonly holder: LockOwner
  readonly serial: number
}

export function edgeKey(edge: WaitEdge): string {
  return `${edge.waiter.member}/${edge.request}>${edge.ino}/${edge.holder.member}/${edge.serial}`
}

export function waitEdges(ino: Ino, locks: InodeLocks): WaitEdge[] {
  const edges: WaitEdge[] = []
  for (const waiter of locks.queue) {
    if (waiter.owner.kind !== 'record') continue
    for (const { owner, serial } of locks.blockers(waiter)) {
      edges.push({ ino, waiter: waiter.owner, request: waiter.request, holder: owner, serial })
    }
  }
  return edges
}

/** The edges of one circle, or undefined. */
export function findCircle(edges: readonly WaitEdge[]): WaitEdge[] | undefined {
  const from = new Map<string, WaitEdge[]>()
  for (const edge of edges) {
    const key = ownerKey(edge.waiter)
    const list = from.get(key)
    if (list === undefined) from.set(key, [edge])
    else list.push(edge)
  }
  const done = new Set<string>()
  for (const start of from.keys()) {
    const circle = circleFrom(start, from, done)
    if (circle !== undefined) return circle
  }
  return undefined
}

/** Depth first without recursion; `done` are owners from which no circle can be reached. */
function circleFrom(
  start: string,
  from: ReadonlyMap<string, readonly WaitEdge[]>,
  done: Set<string>
): WaitEdge[] | undefined {
  if (done.has(start)) return undefined
  const path: { key: string; next: number }[] = [{ key: start, next: 0 }]
  const onPath = new Map<string, number>([[start, 0]])
  const taken: WaitEdge[] = []
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const edge = from.get(top.key)?.[top.next++]
    if (edge === undefined) {
      done.add(top.key)
      onPath.delete(top.key)
      path.pop()
      taken.pop()
      continue
    }
    const key = ownerKey(edge.holder)
    const back = onPath.get(key)
    if (back !== undefined) return [...taken.slice(back), edge]
    if (done.has(key)) continue
    onPath.set(key, path.length)
    path.push({ key, next: 0 })
    taken.push(edge)
  }
  return undefined
}
