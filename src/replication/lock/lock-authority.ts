/**
 * The authority's core of the lock protocol: decides about the locks of every inode that more than
 * one member uses, and says who decides about the others.
 *
 * Invariants:
 * - an inode is either delegated to one member or decided here, and while it is asked back it is
 *   decided nowhere else than at its delegate;
 * - a delegation is given only to a member that holds and waits for all there is on the inode;
 * - every want gets one answer, or the delegation of its inode;
 * - the token request a want carries is made exactly when the want is answered as granted, before
 *   the answer is sent; nothing about a lock depends on what comes of it;
 * - nothing is decided in an epoch before every live member has asserted what it holds (RULES 6,
 *   18); what only the last authority knew is settled by `settleDoubts`;
 * - EDEADLK goes to one waiter of a circle that was complete at one moment, never else: circles
 *   within the tables here are seen at once, those through delegations by two gatherings of all
 *   edges, begun when somebody has waited for 50 ms (RULES 32, see wait-graph).
 *
 * Pure: no clock, no chance, no I/O; time comes with the events.
 */
import { assert } from '../../fs/assert.ts'
import type { LockWaiter } from '../../fs/lock/inode-locks.ts'
import { type LockOwner, LockSerials } from '../../fs/lock/lock-table.ts'
import { WaitGraph } from '../../fs/lock/wait-graph.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { AuthorityInode, type LockRequestState } from './authority-inode.ts'
import type {
  LockAuthorityEffect,
  LockAuthorityEvent,
  LockAuthorityOptions
} from './lock-authority-events.ts'
import { settleDoubts } from './lock-doubts.ts'
import {
  LOCK_REQUESTS_MAX,
  LOCKS_HELD_MAX,
  type LockAssertMessage,
  type LockHold,
  type LockResult,
  type LockToAuthority,
  type LockToClient,
  type LockWantMessage,
  type LockYieldMessage
} from './lock-message.ts'
import { LockRounds } from './lock-rounds.ts'

interface MemberState {
  readonly requests: Map<number, LockRequestState>
  asserted: boolean
}

export class LockAuthority {
  readonly #sharedMax: number
  readonly #aloneRequests: number
  readonly #members = new Map<MemberId, MemberState>()
  readonly #inodes = new Map<Ino, AuthorityInode>()
  /** Inodes somebody waits at. */
  readonly #queued = new Set<AuthorityInode>()
  /** Inodes that are shared and on which nothing is held, the oldest first. */
  readonly #empty = new Set<AuthorityInode>()
  #serials = new LockSerials()
  #graph = new WaitGraph()
  #rounds = new LockRounds()
  #lastDelegation = 0
  /** Members that have not asserted yet. */
  #missing = 0
  /** Asked before all have asserted, in order of arrival. */
  #early: LockRequestState[] = []
  #effects: LockAuthorityEffect[] = []

  constructor(options: LockAuthorityOptions = {}) {
    this.#sharedMax = options.sharedMax ?? 4096
    this.#aloneRequests = options.aloneRequests ?? 8
  }

  /** True while `tick` events are wanted, some 25 ms apart. */
  get needsTick(): boolean {
    return this.#queued.size > 0
  }

  step(event: LockAuthorityEvent): readonly LockAuthorityEffect[] {
    this.#effects = []
    switch (event.type) {
      case 'epoch':
        this.#reset(event.members)
        break
      case 'message':
        this.#receive(event.from, event.message, event.nowMs)
        break
      case 'tick':
        for (const inode of this.#queued) this.#settle(inode, event.nowMs)
        this.#collect(event.nowMs)
        break
    }
    return this.#effects
  }

  inodes(): Iterable<AuthorityInode> {
    return this.#inodes.values()
  }

  counts(): { inodes: number; delegated: number; waiting: number; unasserted: number } {
    let delegated = 0
    for (const inode of this.#inodes.values()) if (inode.delegate !== undefined) delegated++
    let waiting = 0
    for (const member of this.#members.values()) waiting += member.requests.size
    return { inodes: this.#inodes.size, delegated, waiting, unasserted: this.#missing }
  }

  #reset(members: readonly MemberId[]): void {
    this.#members.clear()
    this.#inodes.clear()
    this.#queued.clear()
    this.#empty.clear()
    this.#serials = new LockSerials()
    this.#graph = new WaitGraph()
    this.#rounds = new LockRounds()
    this.#lastDelegation = 0
    this.#early = []
    for (const member of members)
      this.#members.set(member, { requests: new Map(), asserted: false })
    this.#missing = this.#members.size
  }

  #receive(from: MemberId, message: LockToAuthority, nowMs: number): void {
    const member = this.#members.get(from)
    if (member === undefined) {
      this.#violation(from, 'lock message of a member not live')
    } else if (message.type === 'assert') {
      this.#assert(from, member, message, nowMs)
    } else if (message.type === 'want') {
      this.#want(from, member, message, nowMs)
    } else if (message.type === 'cancel') {
      this.#cancel(member, message.request, nowMs)
    } else if (!member.asserted) {
      this.#violation(from, `lock message ${message.type} before all locks were asserted`)
    } else if (message.type === 'yield') {
      this.#yielded(from, message, nowMs)
    } else if (this.#rounds.edges(from, message)) {
      this.#judge(nowMs)
    }
  }

  #violation(member: MemberId, reason: string): void {
    this.#effects.push({ type: 'violation', member, reason })
  }

  #send(to: MemberId, message: LockToClient): void {
    this.#effects.push({ type: 'send', to, message })
  }

  #inodeOf(ino: Ino): AuthorityInode {
    let inode = this.#inodes.get(ino)
    if (inode === undefined) {
      inode = new AuthorityInode(ino, this.#serials)
      this.#inodes.set(ino, inode)
    }
    return inode
  }

  // The start of an epoch

  #assert(from: MemberId, member: MemberState, message: LockAssertMessage, nowMs: number): void {
    if (member.asserted) {
      this.#violation(from, 'locks asserted twice')
      return
    }
    for (const hold of message.holds) this.#hold(from, hold, nowMs)
    if (!message.last) return
    member.asserted = true
    if (--this.#missing === 0) this.#begin(nowMs)
  }

  #hold(member: MemberId, hold: LockHold, nowMs: number): void {
    const { kind, owner: id, lock: type, start, end, pid, ageMs } = hold
    const owner: LockOwner = { member, kind, id }
    const { table } = this.#inodeOf(hold.ino).locks
    table.set({ owner, type, start, end, pid, sinceMs: nowMs - ageMs })
  }

  /** All have asserted: from here on there are answers. */
  #begin(nowMs: number): void {
    const early = this.#early
    this.#early = []
    const { settled, impossible } = settleDoubts(this.#inodes, early, nowMs)
    for (const member of impossible) {
      this.#violation(member, 'asserts a lock that conflicts with a lock of another member')
    }
    for (const request of settled) this.#answer(request, 'granted', true)
    for (const request of early) if (!settled.has(request)) this.#admit(request, nowMs)
  }

  // Requests

  #want(from: MemberId, member: MemberState, message: LockWantMessage, nowMs: number): void {
    if (member.requests.has(message.request)) {
      this.#violation(from, `lock request ${message.request} made twice`)
      return
    }
    if (message.lock === 'unlock' && message.action === 'query') {
      this.#violation(from, 'lock query of an unlock')
      return
    }
    if (member.requests.size >= LOCK_REQUESTS_MAX) {
      this.#violation(from, 'too many open lock requests')
      return
    }
    const owner: LockOwner = { member: from, kind: message.kind, id: message.owner }
    const request: LockRequestState = { owner, message, sinceMs: nowMs, waiter: undefined }
    member.requests.set(message.request, request)
    if (this.#missing > 0) this.#early.push(request)
    else this.#admit(request, nowMs)
  }

  #admit(request: LockRequestState, nowMs: number): void {
    const { member } = request.owner
    const inode = this.#inodeOf(request.message.ino)
    if (inode.delegate === member) {
      // It was asked before the delegation arrived there, and is decided there.
      this.#forget(request)
      return
    }
    if (request.cancelled) {
      this.#answer(request, 'cancelled')
      this.#keepOrForget(inode)
      return
    }
    if (inode.delegate !== undefined) {
      inode.arrived.push(request)
      if (!inode.recalled) {
        inode.recalled = true
        this.#send(inode.delegate, {
          type: 'recall',
          ino: inode.ino,
          delegation: inode.delegation
        })
      }
      return
    }
    inode.count(member)
    if (inode.streak >= (inode.shared ? this.#aloneRequests : 1) && inode.isAlone(member)) {
      this.#delegate(inode, member, request)
    } else {
      this.#serve(inode, request, nowMs)
    }
  }

  #delegate(inode: AuthorityInode, member: MemberId, request: LockRequestState): void {
    this.#forget(request)
    for (const waiter of inode.locks.clearQueue()) {
      this.#graph.remove(waiter)
      this.#members.get(member)?.requests.delete(waiter.request)
    }
    this.#queued.delete(inode)
    this.#empty.delete(inode)
    inode.locks.table.clear()
    inode.delegate = member
    inode.delegation = ++this.#lastDelegation
    inode.recalled = false
    this.#send(member, { type: 'delegate', ino: inode.ino, delegation: inode.delegation })
  }

  #serve(inode: AuthorityInode, request: LockRequestState, nowMs: number): void {
    const { locks } = inode
    const { owner, message } = request
    const { action, lock, start, end, pid } = message
    if (lock === 'unlock') {
      locks.table.set({ owner, type: 'unlock', start, end, pid, sinceMs: nowMs })
      this.#answer(request, 'granted', locks.queue.length > 0)
      this.#settle(inode, nowMs)
      return
    }
    const change = { owner, type: lock, start, end, pid, sinceMs: nowMs }
    if (locks.table.count >= LOCKS_HELD_MAX && action !== 'query') {
      this.#answer(request, 'no-locks')
    } else if (action === 'query') {
      this.#answerQuery(inode, request)
    } else if (action === 'try') {
      const found = locks.attempt(change)
      const contended = found !== undefined || locks.queue.length > 0
      this.#answer(request, found === undefined ? 'granted' : 'again', contended)
    } else {
      const waiter: LockWaiter = { ...change, request: message.request }
      if (locks.isFree(waiter, nowMs)) {
        locks.grant(waiter, nowMs)
        this.#answer(request, 'granted', locks.queue.length > 0)
      } else if (this.#graph.closesCircle(waiter, locks)) {
        this.#answer(request, 'deadlock')
      } else {
        this.#enqueue(inode, request, waiter)
      }
    }
    this.#settle(inode, nowMs)
  }

  #answerQuery(inode: AuthorityInode, request: LockRequestState): void {
    const { owner, message } = request
    assert(message.lock !== 'unlock', 'a query of an unlock')
    const found = inode.locks.table.conflict(owner, message.lock, message)
    this.#forget(request)
    let conflict: (LockToClient & { readonly type: 'conflict' })['conflict']
    if (found !== undefined) {
      const { type, start, end, pid } = found
      const { kind, member } = found.owner
      conflict = { kind, type, start, end, member, pid }
    }
    this.#send(owner.member, { type: 'conflict', request: message.request, conflict })
  }

  #enqueue(inode: AuthorityInode, request: LockRequestState, waiter: LockWaiter): void {
    request.waiter = waiter
    inode.locks.enqueue(waiter)
    this.#graph.add(waiter, inode.locks)
    this.#queued.add(inode)
  }

  #answer(request: LockRequestState, result: LockResult, contended = false): void {
    this.#forget(request)
    const { owner, message } = request
    const { member } = owner
    const { ino, bring } = message
    if (result === 'granted' && bring !== undefined) {
      this.#effects.push({ type: 'bring', member, ino, bring })
    }
    this.#send(member, { type: 'answer', request: message.request, result, contended })
  }

  #forget({ owner, message }: LockRequestState): void {
    this.#members.get(owner.member)?.requests.delete(message.request)
  }

  #settle(inode: AuthorityInode, nowMs: number): void {
    for (const waiter of inode.locks.settle(nowMs)) {
      this.#graph.remove(waiter)
      const request = this.#members.get(waiter.owner.member)?.requests.get(waiter.request)
      assert(request !== undefined, 'a waiter without request')
      this.#answer(request, 'granted', true)
    }
    if (inode.locks.queue.length === 0) this.#queued.delete(inode)
    this.#keepOrForget(inode)
  }

  /** An inode that was shared lately is remembered, so that it is not delegated to and fro. */
  #keepOrForget(inode: AuthorityInode): void {
    this.#empty.delete(inode)
    if (!inode.isBlank) return
    if (!inode.shared) {
      this.#inodes.delete(inode.ino)
      return
    }
    this.#empty.add(inode)
    if (this.#empty.size <= this.#sharedMax) return
    const [oldest] = this.#empty
    assert(oldest !== undefined, 'no oldest of many')
    this.#empty.delete(oldest)
    this.#inodes.delete(oldest.ino)
  }

  /** Unknown numbers are answered already, or decided by the delegate that asked. */
  #cancel(member: MemberState, number: number, nowMs: number): void {
    const request = member.requests.get(number)
    if (request === undefined) return
    const inode = this.#inodeOf(request.message.ino)
    if (request.waiter !== undefined) {
      inode.locks.dequeue(request.owner, number)
      this.#graph.remove(request.waiter)
    } else if (this.#missing > 0) {
      // It may have been granted in the last epoch: that is settled first.
      request.cancelled = true
      return
    } else {
      const index = inode.arrived.indexOf(request)
      assert(index >= 0, 'an open request is nowhere')
      inode.arrived.splice(index, 1)
    }
    this.#answer(request, 'cancelled')
    this.#settle(inode, nowMs)
  }

  // Delegations

  #yielded(from: MemberId, message: LockYieldMessage, nowMs: number): void {
    const inode = this.#inodes.get(message.ino)
    if (inode?.delegate !== from || inode.delegation !== message.delegation) {
      this.#violation(from, `delegation ${message.delegation} yielded, not held`)
      return
    }
    for (const hold of message.holds) this.#hold(from, { ...hold, ino: message.ino }, nowMs)
    inode.yielded.push(...message.waiters)
    if (inode.yielded.length > LOCK_REQUESTS_MAX || inode.locks.table.count > 2 * LOCKS_HELD_MAX) {
      this.#violation(from, 'too much yielded')
      return
    }
    if (!message.last) return
    inode.delegate = undefined
    inode.recalled = false
    const arrived = inode.arrived.splice(0)
    if (arrived.length > 0) inode.shared = true
    for (const { request, lock, kind, owner: id, pid, start, end, ageMs } of inode.yielded.splice(
      0
    )) {
      const member = this.#members.get(from)
      const owner: LockOwner = { member: from, kind, id }
      const span = { ino: inode.ino, kind, owner: id, pid, start, end }
      const want: LockWantMessage = { type: 'want', request, action: 'wait', lock, ...span }
      const sinceMs = nowMs - ageMs
      const state: LockRequestState = { owner, message: want, sinceMs, waiter: undefined }
      if (member === undefined || member.requests.has(request)) {
        this.#violation(from, `lock request ${request} made twice`)
        continue
      }
      member.requests.set(request, state)
      this.#enqueue(inode, state, { owner, type: lock, start, end, pid, request, sinceMs })
    }
    this.#settle(inode, nowMs)
    for (const request of arrived) this.#admit(request, nowMs)
  }

  // Deadlocks through delegations

  #collect(nowMs: number): void {
    const round = this.#rounds.next(this.#queued, nowMs)
    if (round === undefined) return
    this.#rounds.begin(round, this.#members.keys())
    for (const member of this.#members.keys()) this.#send(member, { type: 'collect', round })
  }

  /** A gathering is complete: answers the victim there is, or begins the second gathering. */
  #judge(nowMs: number): void {
    const victim = this.#rounds.judge(this.#queued, nowMs)
    if (victim !== undefined) {
      const request = this.#members.get(victim.waiter.member)?.requests.get(victim.request)
      if (request?.waiter !== undefined) {
        const inode = this.#inodeOf(request.message.ino)
        inode.locks.dequeue(request.owner, victim.request)
        this.#graph.remove(request.waiter)
        this.#answer(request, 'deadlock')
        this.#settle(inode, nowMs)
      }
    }
    if (this.#rounds.wantsSecond) this.#collect(nowMs)
  }
}
