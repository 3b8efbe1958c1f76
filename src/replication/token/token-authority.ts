/**
 * The authority's core of the token protocol: who may change what. Owns the table of inodes that
 * are not simply shared, the waiting requests and the numbers of notes and grants.
 *
 * Invariants:
 * - an inode has at most one exclusive holder, and while it has one every other live member has
 *   acknowledged a note on it (RULES 17: notes are numbered per member; a grant waits for all);
 * - a member whose note is cleared gets the join of all releases with it (RULES 16);
 * - a request is granted as a whole or not at all, and holds nothing while it waits;
 * - conflicting requests are granted in the order of their arrival, so nobody starves.
 *
 * Releases name their grant number and stale ones are ignored (RULES 18). A new epoch forgets
 * everything: all tokens end with the epoch, and every writer's cut is applied everywhere before
 * the first request of the next. Pure: no clock, no chance, no I/O.
 */
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { type Vector, vectorJoin } from '../vector.ts'
import {
  type GrantItem,
  type RecallItem,
  type ReleaseMessage,
  TOKEN_ITEMS_MAX,
  TOKEN_REQUESTS_MAX,
  type ToAuthority,
  type ToClient,
  type WantMessage
} from './token-message.ts'
import { EMPTY_VECTOR, strongestWants, TokenObject, type TokenRequest } from './token-object.ts'

export type AuthorityEvent =
  /** A new epoch with these live members, the authority's own among them. */
  | { readonly type: 'epoch'; readonly members: readonly MemberId[] }
  | { readonly type: 'message'; readonly from: MemberId; readonly message: ToAuthority }

export type AuthorityEffect =
  | { readonly type: 'send'; readonly to: MemberId; readonly message: ToClient }
  /** That member breaks the protocol: cut it off. */
  | { readonly type: 'violation'; readonly member: MemberId; readonly reason: string }

export interface AuthorityOptions {
  /** Inodes to keep in the table; beyond it those that nobody holds are cleared (soft). */
  readonly objectsMax?: number
}

interface MemberState {
  readonly requests: Map<number, TokenRequest>
  lastNote: number
  /** Unacknowledged notes: number -> inodes. */
  readonly notes: Map<number, readonly Ino[]>
}

/** How far the table is searched for inodes to clear in one step. */
const CLEAR_SCAN = 64

export class TokenAuthority {
  readonly #objectsMax: number
  readonly #members = new Map<MemberId, MemberState>()
  readonly #objects = new Map<Ino, TokenObject>()
  #lastGrant = 0
  #effects: AuthorityEffect[] = []
  /** Gathered in one step, one message for each member. */
  readonly #notes = new Map<MemberId, Ino[]>()
  readonly #recalls = new Map<MemberId, RecallItem[]>()
  readonly #changed = new Set<TokenObject>()

  constructor(options: AuthorityOptions = {}) {
    this.#objectsMax = options.objectsMax ?? 262_144
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
    for (const object of this.#objects.values()) if (object.holder !== undefined) held++
    let waiting = 0
    for (const member of this.#members.values()) waiting += member.requests.size
    return { objects: this.#objects.size, held, waiting }
  }

  #reset(members: readonly MemberId[]): void {
    this.#objects.clear()
    this.#members.clear()
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
    const wants = strongestWants(message.wants)
    const request: TokenRequest = { member: from, request: message.request, wants }
    member.requests.set(request.request, request)
    for (const { ino } of wants) this.#objectOf(ino).queue.push(request)
    this.#advance(request)
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
    for (const { ino, grant, left } of message.items) {
      const object = this.#objects.get(ino)
      if (object === undefined || object.holder !== from || object.grant !== grant) continue
      object.holder = undefined
      object.recalled = false
      object.vector =
        object.vector.size === 0 ? message.vector : vectorJoin(object.vector, message.vector)
      if (left === 'none') object.noted.add(from)
      this.#changed.add(object)
    }
  }

  #noteAck(from: MemberId, member: MemberState, number: number): void {
    const inos = member.notes.get(number)
    if (inos === undefined) {
      this.#violation(from, `note ${number} acknowledged, not sent`)
      return
    }
    member.notes.delete(number)
    for (const ino of inos) {
      const object = this.#objectOf(ino)
      object.pendingNotes.delete(from)
      object.noted.add(from)
      this.#changed.add(object)
    }
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
    for (const [member, inos] of this.#notes) this.#sendNotes(member, inos)
    this.#notes.clear()
    for (const [to, items] of this.#recalls) {
      for (let i = 0; i < items.length; i += TOKEN_ITEMS_MAX) {
        this.#send(to, { type: 'recall', items: items.slice(i, i + TOKEN_ITEMS_MAX) })
      }
    }
    this.#recalls.clear()
    if (this.#objects.size > this.#objectsMax) this.#clearIdle()
  }

  #sendNotes(to: MemberId, inos: readonly Ino[]): void {
    const member = this.#members.get(to)
    if (member === undefined) return
    for (let i = 0; i < inos.length; i += TOKEN_ITEMS_MAX) {
      const part = inos.slice(i, i + TOKEN_ITEMS_MAX)
      const number = ++member.lastNote
      member.notes.set(number, part)
      for (const ino of part) this.#objectOf(ino).pendingNotes.set(to, number)
      this.#send(to, { type: 'note', number, inos: part })
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
    for (const { ino, mode } of request.wants) {
      if (!this.#objectOf(ino).isFirst(request, mode)) return
    }
    let ready = true
    for (const { ino, mode } of request.wants) {
      const object = this.#objectOf(ino)
      // The member would take the grant for newer than the note it is still acknowledging.
      if (object.pendingNotes.has(request.member)) ready = false
      if (object.holder !== undefined && object.holder !== request.member) {
        this.#recall(object, object.holder, mode === 'shared' ? 'shared' : 'none')
        ready = false
      } else if (mode === 'exclusive') {
        if (!this.#othersNoted(object, request.member)) ready = false
      } else if (object.recalled) {
        // Its own release is on the way and may leave it nothing: a grant now would contradict it.
        ready = false
      }
    }
    if (ready) this.#grant(member, request)
  }

  #recall(object: TokenObject, holder: MemberId, left: 'shared' | 'none'): void {
    if (object.recalled) return
    object.recalled = true
    const item: RecallItem = { ino: object.ino, grant: object.grant, left }
    const items = this.#recalls.get(holder)
    if (items === undefined) this.#recalls.set(holder, [item])
    else items.push(item)
  }

  #othersNoted(object: TokenObject, newcomer: MemberId): boolean {
    let all = true
    for (const member of this.#members.keys()) {
      if (member === newcomer || object.noted.has(member)) continue
      all = false
      if (object.pendingNotes.has(member)) continue
      // The number follows when the notes of this step are sent.
      object.pendingNotes.set(member, 0)
      const inos = this.#notes.get(member)
      if (inos === undefined) this.#notes.set(member, [object.ino])
      else inos.push(object.ino)
    }
    return all
  }

  #grant(member: MemberState, request: TokenRequest): void {
    const items: GrantItem[] = []
    let vector: Vector = EMPTY_VECTOR
    for (const { ino, mode } of request.wants) {
      const object = this.#objectOf(ino)
      if (object.vector.size > 0) {
        vector = vector.size === 0 ? object.vector : vectorJoin(vector, object.vector)
      }
      object.noted.delete(request.member)
      if (mode === 'exclusive') {
        object.holder = request.member
        object.grant = ++this.#lastGrant
        object.recalled = false
      }
      items.push({ ino, mode, grant: mode === 'exclusive' ? object.grant : 0 })
    }
    this.#forget(member, request)
    this.#send(request.member, { type: 'grant', request: request.request, items, vector })
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
      for (const member of object.noted) {
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
