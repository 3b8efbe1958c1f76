/**
 * Gathers wait edges of all members to find deadlocks that pass through delegations. A circle that
 * touches several members has at least two waiters at the authority, so with fewer nobody is asked.
 * The first gathering may mix moments; an edge that is in the second too was there between the two
 * (RULES 32). Pure: time comes with the calls.
 */
import { edgeKey, findCircle, type WaitEdge, waitEdges } from '../../fs/lock/wait-graph.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { AuthorityInode } from './authority-inode.ts'
import type { LockEdgesMessage } from './lock-message.ts'

/** A wait of that age makes the authority look for deadlocks. */
const SUSPECT_MS = 50
/** Looks again while waits last: the last edge may have come up inside a delegation. */
const AGAIN_MS = 300

export class LockRounds {
  #round = 0
  /** Members whose edges are still to come; undefined when no gathering is under way. */
  #missing: Set<MemberId> | undefined
  #edges: WaitEdge[] = []
  /** Keys of the edges of the first gathering when this is the second. */
  #first: ReadonlySet<string> | undefined
  #wantsSecond = false
  #lastMs = Number.NEGATIVE_INFINITY
  /** Waiters that a gathering has covered, by their age: all that waited since before. */
  #coveredMs = Number.NEGATIVE_INFINITY

  /** A circle was found and has to be looked at once more, at once. */
  get wantsSecond(): boolean {
    return this.#wantsSecond
  }

  /** The number of the gathering to begin now, if one is due. */
  next(queued: Iterable<AuthorityInode>, nowMs: number): number | undefined {
    if (this.#missing !== undefined) return undefined
    if (!this.#wantsSecond && !this.#isDue(queued, nowMs)) return undefined
    if (!this.#wantsSecond) this.#first = undefined
    this.#wantsSecond = false
    this.#lastMs = nowMs
    return ++this.#round
  }

  begin(round: number, members: Iterable<MemberId>): void {
    this.#round = round
    this.#missing = new Set(members)
    this.#edges = []
  }

  /** Takes what a member says; true when all have said theirs. */
  edges(from: MemberId, message: LockEdgesMessage): boolean {
    if (this.#missing === undefined || message.round !== this.#round) return false
    for (const { ino, waiter, request, holder, serial } of message.edges) {
      this.#edges.push({
        ino,
        waiter: { member: from, kind: 'record', id: waiter },
        request,
        holder: { member: from, kind: 'record', id: holder },
        // Counted at the delegate: never equal to a serial of the tables here.
        serial: -serial
      })
    }
    if (message.last) this.#missing.delete(from)
    return this.#missing.size === 0
  }

  /** At the end of a gathering: the wait to end, if the circle was there in both. */
  judge(queued: Iterable<AuthorityInode>, nowMs: number): WaitEdge | undefined {
    this.#missing = undefined
    const own = [...queued].flatMap(({ ino, locks }) => waitEdges(ino, locks))
    const edges = [...this.#edges, ...own]
    this.#edges = []
    const first = this.#first
    this.#first = undefined
    if (first === undefined) {
      if (findCircle(edges) === undefined) this.#coveredMs = nowMs - SUSPECT_MS
      else {
        this.#first = new Set(edges.map(edgeKey))
        this.#wantsSecond = true
      }
      return undefined
    }
    const both = edges.filter((edge) => first.has(edgeKey(edge)))
    const circle = findCircle(both)
    const keys = new Set(own.map(edgeKey))
    return circle?.findLast((edge) => keys.has(edgeKey(edge)))
  }

  #isDue(queued: Iterable<AuthorityInode>, nowMs: number): boolean {
    let waiters = 0
    let suspect = false
    for (const { locks } of queued) {
      for (const { owner, sinceMs } of locks.queue) {
        if (owner.kind !== 'record') continue
        waiters++
        if (nowMs - sinceMs >= SUSPECT_MS && sinceMs > this.#coveredMs) suspect = true
      }
    }
    if (waiters < 2) return false
    return suspect || nowMs - this.#lastMs >= AGAIN_MS
  }
}
