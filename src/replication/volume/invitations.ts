/**
 * The invitations of this member at work: makes codes, answers joiners, carries claims out. A thin
 * shell around invite-book.ts. Invariant: one join at a time; the book is durable before the claim
 * is carried out, and the member stands in the record before the joiner is answered.
 */
import type { KeyPair } from '@hyperswarm/secret-stream'
import crypto from 'hypercore-crypto'
import { assert } from '../../fs/assert.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import { MemberChangeError } from '../epoch/member-change.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'
import type { JoinGate } from '../transport/join-protocol.ts'
import { shortKey } from '../transport/link.ts'
import {
  addInvite,
  decideJoin,
  dropClaim,
  type InviteBook,
  type JoinRefusal,
  type JoinRequest,
  pendingClaims
} from './invite-book.ts'
import { type DiscoveryOptions, formatInviteCode } from './invite-code.ts'
import { decodeJoinRequest, encodeJoinAnswer } from './join-message.ts'
import { ShapeError } from './shape.ts'
import { VolumeError } from './volume-error.ts'

export const INVITE_TTL_MAX_MS = 30 * 24 * 3600 * 1000
const WAITING_MAX = 16
/** Several members may take in a new one at the same time. */
const CLAIMS_MAX = 4

export interface InvitationsComponents {
  readonly keyPair: KeyPair
  readonly record: () => EpochRecord
  readonly book: InviteBook
  /** Makes the book durable before it returns (saveInvites). */
  readonly saveBook: (book: InviteBook) => void
  /**
   * Puts the member into the record; resolves when a record that lists it is chosen. Called again
   * for the same member after a crash or a failure.
   */
  readonly admit: (member: MemberInfo) => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

export interface InvitationsOptions {
  /** Goes into the codes. */
  readonly discovery?: DiscoveryOptions
}

export interface InviteOptions {
  readonly role: MemberInfo['role']
  /** 1 .. INVITE_TTL_MAX_MS. */
  readonly ttlMs: number
}

export class Invitations implements JoinGate {
  readonly #components: InvitationsComponents
  readonly #options: InvitationsOptions
  #book: InviteBook
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(components: InvitationsComponents, options: InvitationsOptions = {}) {
    this.#components = components
    this.#options = options
    this.#book = components.book
  }

  /** Carries out what was decided before a crash; to be called once the record can change. */
  async recover(): Promise<void> {
    await this.#oneAtATime(async () => {
      for (const claim of pendingClaims(this.#components.record(), this.#book)) {
        await this.#components.admit(claim)
      }
    })
  }

  /** Makes a single-use code; it is durable on return. Throws VolumeError 'bad-input'. */
  invite(options: InviteOptions): string {
    const { record, keyPair, saveBook } = this.#components
    const { ttlMs, role } = options
    if (!(ttlMs >= 1 && ttlMs <= INVITE_TTL_MAX_MS)) {
      throw new VolumeError('bad-input', 'invite: the time to live is not from 1 ms to 30 days')
    }
    const current = record()
    const inviterKey = keyPair.publicKey.toString('hex')
    const self = current.members.find((member) => member.publicKey === inviterKey)
    assert(self !== undefined, 'who invites is a member')
    const nowMs = this.#nowMs()
    const expiresAtMs = nowMs + Math.round(ttlMs)
    const seed = crypto.randomBytes(32)
    const publicKey = crypto.keyPair(seed).publicKey.toString('hex')
    const book = addInvite(current, this.#book, { publicKey, role, expiresAtMs }, nowMs)
    if (book === undefined) {
      throw new VolumeError('bad-input', 'invite: too many invitations are open')
    }
    saveBook(book)
    this.#book = book
    return formatInviteCode({
      volumeId: current.volumeId,
      volumeName: current.volumeName,
      role,
      expiresAtMs,
      inviterKey,
      addresses: self.addresses,
      ...(this.#options.discovery ? { discovery: this.#options.discovery } : {}),
      seed: seed.toString('hex')
    })
  }

  knows(key: string): boolean {
    return this.#book.invites.some((invite) => invite.publicKey === key)
  }

  async answer(inviteKey: string, message: Uint8Array): Promise<Uint8Array> {
    const { record, logger } = this.#components
    const { volumeId } = record()
    let request: JoinRequest
    try {
      request = decodeJoinRequest({ volumeId, inviteKey }, message)
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error
      logger.warn({ invite: shortKey(inviteKey), reason: error.message }, 'bad join request')
      return encodeJoinAnswer({ ok: false, reason: 'bad-request' })
    }
    const outcome = await this.#oneAtATime(() => this.#join(inviteKey, request))
    const fields = {
      invite: shortKey(inviteKey),
      key: shortKey(request.memberKey),
      name: request.name
    }
    if (typeof outcome === 'string') {
      logger.warn({ ...fields, reason: outcome }, 'join refused')
      return encodeJoinAnswer({ ok: false, reason: outcome })
    }
    logger.info({ ...fields, member: outcome.id }, 'member joined')
    return encodeJoinAnswer({ ok: true, member: outcome.id, record: record() })
  }

  async #join(inviteKey: string, request: JoinRequest): Promise<MemberInfo | JoinRefusal> {
    for (let attempt = 0; attempt < CLAIMS_MAX; attempt++) {
      const outcome = await this.#claim(inviteKey, request)
      if (outcome !== 'conflict') return outcome
    }
    return 'unavailable'
  }

  /** `conflict`: another member's invitation has got the number or the name first. */
  async #claim(
    inviteKey: string,
    request: JoinRequest
  ): Promise<MemberInfo | JoinRefusal | 'conflict'> {
    const { record, saveBook, admit, logger } = this.#components
    const decision = decideJoin(record(), this.#book, inviteKey, request, this.#nowMs())
    if (decision.type === 'refuse') return decision.reason
    if (decision.type === 'accept') {
      saveBook(decision.book)
      this.#book = decision.book
    }
    const { claim } = decision
    const isMember = () => record().members.some((other) => other.publicKey === claim.publicKey)
    if (isMember()) return claim
    try {
      await admit(claim)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      logger.error({ member: claim.id, reason }, 'new member could not be put into the record')
      if (!(error instanceof MemberChangeError) || error.code !== 'conflict') return 'unavailable'
      const free = dropClaim(this.#book, inviteKey)
      saveBook(free)
      this.#book = free
      return 'conflict'
    }
    assert(isMember(), 'admitted member is not in the record')
    return claim
  }

  /** Runs `work` after everything that was asked for before; refuses when too many wait. */
  async #oneAtATime<T>(work: () => Promise<T>): Promise<T | 'unavailable'> {
    if (this.#waiting >= WAITING_MAX) return 'unavailable'
    this.#waiting += 1
    const before = this.#last
    const mine = before.then(work)
    this.#last = mine.catch(() => {})
    try {
      return await mine
    } finally {
      this.#waiting -= 1
    }
  }

  #nowMs(): number {
    const { sec, nsec } = this.#components.clock.wall()
    return sec * 1000 + Math.floor(nsec / 1e6)
  }
}
