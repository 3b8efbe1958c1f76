/**
 * The authority's core of the token protocol: who may change what. Owns the table of inodes that
 * are not simply shared, the waiting requests and the numbers of notes and grants.
 *
 * Invariants:
 * - a byte of an inode has at most one exclusive holder, and while it has one every other live member
 *   has acknowledged a note on it (RULES 17: notes are numbered per member; a grant waits for all);
 * - a member whose note is cleared gets the join of all releases with it (RULES 16);
 * - a request is granted as a whole or not at all, and holds nothing while it waits;
 * - conflicting requests are granted in the order of their arrival, so nobody starves.
 *
 * Releases name their grant number and stale ones are ignored (RULES 18). A new epoch forgets
 * everything: all tokens end with the epoch, and every writer's cut is applied everywhere before
 * the first request of the next. Pure: no clock, no chance, no I/O.
 */
import type { ByteRange, TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { type Vector, vectorJoin } from '../vector.ts'
import type { AuthorityEffect, AuthorityEvent, AuthorityOptions } from './token-authority-events.ts'
import { grantRange, noteRange } from './token-growth.ts'
import {
  type GrantItem,
  type NoteItem,
  type QueryMessage,
  type RecallItem,
  type ReleaseMessage,
  TOKEN_ITEMS_MAX,
  TOKEN_REQUESTS_MAX,
  type ToAuthority,
  type ToClient,
  type WantMessage
} from './token-message.ts'
import { EMPTY_VECTOR, TokenObject, type TokenRequest, type TokenSpan } from './token-object.ts'
import { AuthorityQueries, type Told } from './token-queries.ts'
import { addRange, endOf, rangePart, startOf, strongestWants } from './token-range.ts'

interface MemberState {
  readonly requests: Map<number, TokenRequest>
  lastNote: number
  /** Unacknowledged notes: number -> what they name. */
  readonly notes: Map<number, readonly NoteItem[]>
}

/** How far the table is searched for inodes to clear in one step. */
const CLEAR_SCAN = 64
/** Stands for the number of a note gathered in this step. */
const NOT_SENT = 0

export class TokenAuthority {
  readonly #objectsMax: number
  readonly #spansMax: number
  readonly #members = new Map<MemberId, MemberState>()
  readonly #objects = new Map<Ino, TokenObject>()
  #lastGrant = 0
  #effects: AuthorityEffect[] = []
  /** Gathered in one step, one message for each member. */
  readonly #notes = new Map<MemberId, NoteItem[]>()
  readonly #recalls = new Map<MemberId, RecallItem[]>()
  /** To be looked at again. */
  readonly #changed = new Set<TokenObject>()
  readonly #queries = new AuthorityQueries()
  /** Whose spans were cut. */
  readonly #carved = new Set<TokenObject>()

  constructor(options: AuthorityOptions = {}) {
    this.#objectsMax = options.objectsMax ?? 262_144
    this.#spansMax = options.spansMax ?? 64
  }

  step(event: AuthorityEvent): readonly AuthorityEffect[] {
    this.#effects = []
    switch (event.type) {
      case 'epoch':
        this.#reset(event.members)
        break
      case 'message':
        this.#receive(event.from, event.message)
        break
    }
    this.#settle()
    return this.#effects
  }

  /** Notes sent to a member, and the last one up to which it has acknowledged all (RULES 17). */
  notePosition(member: MemberId): { readonly sent: number; readonly acknowledged: number } {
    const state = this.#members.get(member)
    if (state === undefined) return { sent: 0, acknowledged: 0 }
    const [oldest] = state.notes.keys()
    return { sent: state.lastNote, acknowledged: (oldest ?? state.lastNote + 1) - 1 }
  }

  counts(): { readonly objects: number; readonly held: number; readonly waiting: number } {
    let held = 0
    for (const { spans } of this.#objects.values()) {
      if (spans.some((span) => span.holder !== undefined)) held++
    }
    let waiting = 0
    for (const member of this.#members.values()) waiting += member.requests.size
    return { objects: this.#objects.size, held, waiting }
  }

  #reset(members: readonly MemberId[]): void {
    this.#objects.clear()
    this.#members.clear()
    this.#queries.clear()
    this.#lastGrant = 0
    for (const member of members) {
      this.#members.set(member, { requests: new Map(), lastNote: 0, notes: new Map() })
    }
  }

  #receive(from: MemberId, message: ToAuthority): void {
    const member = this.#members.get(from)
    if (member === undefined) {
      this.#violation(from, 'token message of a member not live')
      return
    }
    switch (message.type) {
      case 'want':
        this.#want(from, member, message)
        break
      case 'cancel':
        this.#cancel(member, message.request)
        break
      case 'release':
        this.#release(from, message)
        break
      case 'note-ack':
        this.#noteAck(from, member, message.number)
        break
      case 'query':
        this.#query(from, message)
        break
      case 'probed':
        this.#tell(this.#queries.probed(from, message))
        break
    }
  }

  #violation(member: MemberId, reason: string): void {
    this.#effects.push({ type: 'violation', member, reason })
  }

  #want(from: MemberId, member: MemberState, message: WantMessage): void {
    if (member.requests.has(message.request)) {
      this.#violation(from, `token request ${message.request} made twice`)
      return
    }
    if (member.requests.size >= TOKEN_REQUESTS_MAX) {
      this.#violation(from, 'too many waiting token requests')
      return
    }
    const wants = strongestWants(message.wants).map((want) => this.#wholeIfScattered(want))
    const request: TokenRequest = { member: from, request: message.request, wants }
    member.requests.set(request.request, request)
    for (const { ino } of wants) this.#objectOf(ino).queue.push(request)
    this.#advance(request)
  }

  #query(from: MemberId, message: QueryMessage): void {
    if (this.#queries.isFull(from)) {
      this.#violation(from, 'too many open token queries')
      return
    }
    const { ino } = message
    const begun = this.#queries.begin(from, message, this.#objects.get(ino))
    if ('vector' in begun) this.#tell(begun)
    else {
      for (const holder of begun.holders) {
        this.#send(holder, { type: 'probe', number: begun.number, ino })
      }
    }
  }

  #tell(told: Told | undefined): void {
    if (told === undefined) return
    const { member, request, vector, idle } = told
    this.#send(member, { type: 'told', request, idle, vector })
  }

  #wholeIfScattered(want: TokenWant): TokenWant {
    const pieces = this.#objects.get(want.ino)?.spans.length ?? 1
    return pieces > this.#spansMax ? { ino: want.ino, mode: want.mode } : want
  }

  /** Unknown numbers are requests granted meanwhile: their client gives the grant back. */
  #cancel(member: MemberState, number: number): void {
    const request = member.requests.get(number)
    if (request !== undefined) this.#forget(member, request)
  }

  #forget(member: MemberState, request: TokenRequest): void {
    member.requests.delete(request.request)
    for (const { ino } of request.wants) {
      const object = this.#objectOf(ino)
      object.unqueue(request)
      this.#changed.add(object)
    }
  }

  #release(from: MemberId, message: ReleaseMessage): void {
    for (const item of message.items) {
      const object = this.#objects.get(item.ino)
      if (object === undefined) continue
      const { grant, left } = item
      const isReleased = (span: TokenSpan) => span.holder === from && span.grant === grant
      if (!object.spans.some(isReleased)) continue
      let freed = false
      for (const span of this.#carve(object, startOf(item), endOf(item))) {
        if (!isReleased(span)) continue
        freed = true
        span.holder = undefined
        span.grant = 0
        span.recalled = false
        if (left === 'none') span.noted.add(from)
      }
      if (!freed) continue
      object.vector =
        object.vector.size === 0 ? message.vector : vectorJoin(object.vector, message.vector)
      this.#changed.add(object)
    }
  }

  #noteAck(from: MemberId, member: MemberState, number: number): void {
    const items = member.notes.get(number)
    if (items === undefined) {
      this.#violation(from, `note ${number} acknowledged, not sent`)
      return
    }
    member.notes.delete(number)
    for (const item of items) {
      const object = this.#objectOf(item.ino)
      for (const span of this.#carve(object, startOf(item), endOf(item))) {
        if (span.pendingNotes.get(from) !== number) continue
        span.pendingNotes.delete(from)
        span.noted.add(from)
      }
      this.#changed.add(object)
    }
  }

  #carve(object: TokenObject, start: number, end: number): TokenSpan[] {
    this.#carved.add(object)
    return object.carve(start, end)
  }

  #objectOf(ino: Ino): TokenObject {
    let object = this.#objects.get(ino)
    if (object === undefined) {
      object = new TokenObject(ino)
      this.#objects.set(ino, object)
    }
    return object
  }

  /** Looks again at everything the step has touched, then sends what it has gathered. */
  #settle(): void {
    for (const object of this.#changed) {
      this.#changed.delete(object)
      for (const request of object.front()) this.#advance(request)
      if (object.isBlank) this.#objects.delete(object.ino)
    }
    for (const [member, items] of this.#notes) this.#sendNotes(member, items)
    this.#notes.clear()
    for (const [to, items] of this.#recalls) {
      for (let i = 0; i < items.length; i += TOKEN_ITEMS_MAX) {
        this.#send(to, { type: 'recall', items: items.slice(i, i + TOKEN_ITEMS_MAX) })
      }
    }
    this.#recalls.clear()
    for (const object of this.#carved) object.merge()
    this.#carved.clear()
    if (this.#objects.size > this.#objectsMax) this.#clearIdle()
  }

  #sendNotes(to: MemberId, items: readonly NoteItem[]): void {
    const member = this.#members.get(to)
    if (member === undefined) return
    for (let i = 0; i < items.length; i += TOKEN_ITEMS_MAX) {
      const part = items.slice(i, i + TOKEN_ITEMS_MAX)
      const number = ++member.lastNote
      member.notes.set(number, part)
      for (const item of part) {
        for (const span of this.#carve(this.#objectOf(item.ino), startOf(item), endOf(item))) {
          if (span.pendingNotes.get(to) === NOT_SENT) span.pendingNotes.set(to, number)
        }
      }
      this.#send(to, { type: 'note', number, items: part })
    }
  }

  #send(to: MemberId, message: ToClient): void {
    this.#effects.push({ type: 'send', to, message })
  }

  /** Grants the request when all is there, else asks for what is missing. */
  #advance(request: TokenRequest): void {
    const member = this.#members.get(request.member)
    // A request may have been granted earlier in the same step.
    if (member?.requests.get(request.request) !== request) return
    for (const want of request.wants) {
      if (!this.#objectOf(want.ino).isFirst(request, want)) return
    }
    let ready = true
    for (const want of request.wants) if (!this.#prepare(request, want)) ready = false
    if (ready) this.#grant(member, request)
  }

  /** Has what stands in the way of that want removed; true when there is nothing. */
  #prepare(request: TokenRequest, want: TokenWant): boolean {
    const object = this.#objectOf(want.ino)
    // Before the cuts of this want: an inode in one piece is given as one.
    const notes = want.mode === 'exclusive' ? noteRange(object, request, want) : undefined
    let ready = true
    for (const span of this.#carve(object, startOf(want), endOf(want))) {
      // The member would take the grant for newer than the note it is still acknowledging.
      if (span.pendingNotes.has(request.member)) ready = false
      if (span.holder !== undefined && span.holder !== request.member) {
        this.#recall(object, span, want.mode === 'shared' ? 'shared' : 'none')
        ready = false
      } else if (notes !== undefined) {
        for (const member of this.#members.keys()) {
          if (member === request.member || span.noted.has(member)) continue
          ready = false
          if (!span.pendingNotes.has(member)) this.#note(object, member, notes)
        }
      } else if (span.recalled) {
        // Its own release is on the way and may leave it nothing: a grant now would contradict it.
        ready = false
      }
    }
    return ready
  }

  #recall(object: TokenObject, span: TokenSpan, left: 'shared' | 'none'): void {
    if (span.recalled || span.holder === undefined) return
    span.recalled = true
    const item = { ino: object.ino, grant: span.grant, left, ...rangePart(span.start, span.end) }
    const items = this.#recalls.get(span.holder)
    if (items === undefined) this.#recalls.set(span.holder, [item])
    else items.push(item)
  }

  /** Notes the member on all of the range that nobody holds. */
  #note(object: TokenObject, member: MemberId, { start, end }: ByteRange): void {
    let ranges: ByteRange[] = []
    for (const span of this.#carve(object, start, end)) {
      if (span.holder !== undefined || span.noted.has(member)) continue
      if (span.pendingNotes.has(member)) continue
      span.pendingNotes.set(member, NOT_SENT)
      ranges = addRange(ranges, span.start, span.end)
    }
    const items = ranges.map((range) => ({
      ino: object.ino,
      ...rangePart(range.start, range.end)
    }))
    const gathered = this.#notes.get(member)
    if (gathered === undefined) this.#notes.set(member, items)
    else gathered.push(...items)
  }

  #grant(member: MemberState, request: TokenRequest): void {
    const items: GrantItem[] = []
    let vector: Vector = EMPTY_VECTOR
    for (const want of request.wants) {
      const { ino, mode } = want
      const object = this.#objectOf(ino)
      if (object.vector.size > 0) {
        vector = vector.size === 0 ? object.vector : vectorJoin(vector, object.vector)
      }
      const { start, end } = grantRange(object, request, want, this.#members.keys())
      const grant = mode === 'exclusive' ? ++this.#lastGrant : 0
      items.push({ ino, mode, grant, ...rangePart(start, end) })
      for (const span of this.#carve(object, start, end)) {
        span.noted.delete(request.member)
        if (mode === 'exclusive') this.#give(span, request.member, grant)
        else if (span.holder !== undefined) items.push(this.#renew(ino, span, request.member))
      }
    }
    this.#forget(member, request)
    this.#send(request.member, { type: 'grant', request: request.request, items, vector })
  }

  #give(span: TokenSpan, member: MemberId, grant: number): void {
    span.holder = member
    span.grant = grant
    span.recalled = false
  }

  /**
   * What its holder asks to look at is granted anew: it may be giving up more than it was asked for,
   * and that release, under the old number, would leave it noted.
   */
  #renew(ino: Ino, span: TokenSpan, member: MemberId): GrantItem {
    const grant = ++this.#lastGrant
    this.#give(span, member, grant)
    return { ino, mode: 'exclusive', grant, ...rangePart(span.start, span.end) }
  }

  /**
   * Takes back the notes on inodes nobody holds, so that they need no memory. What was not applied
   * yet of their vector is waited for by the client before it goes by anything that comes later.
   */
  #clearIdle(): void {
    const inos = new Map<MemberId, Ino[]>()
    const vectors = new Map<MemberId, Vector>()
    let scanned = 0
    for (const object of this.#objects.values()) {
      if (scanned++ >= CLEAR_SCAN || this.#objects.size <= this.#objectsMax) break
      this.#objects.delete(object.ino)
      if (!object.isIdle) {
        this.#objects.set(object.ino, object)
        continue
      }
      const noted = new Set(object.spans.flatMap((span) => [...span.noted]))
      for (const member of noted) {
        const list = inos.get(member)
        if (list === undefined) inos.set(member, [object.ino])
        else list.push(object.ino)
        vectors.set(member, vectorJoin(vectors.get(member) ?? EMPTY_VECTOR, object.vector))
      }
    }
    for (const [member, list] of inos) {
      this.#send(member, {
        type: 'clear',
        inos: list,
        vector: vectors.get(member) ?? EMPTY_VECTOR
      })
    }
  }
}
