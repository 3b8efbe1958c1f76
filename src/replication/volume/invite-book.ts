/**
 * The invitations a member has given and the decision who may join. Pure: no clock, chance, I/O.
 *
 * A join has one point of decision: the book with the invitation's `claim` written durably. The
 * claim names the whole new member, so a crash right after it loses nothing: the claim is carried
 * out again until the record lists the member (or has removed it). Invariants: an invitation
 * gets at most one claim that is carried out, for ever; the same joiner asking again gets the same answer; no id is
 * given to two members; a name is given once.
 */
import type { MemberId } from '../../fs/primitives.ts'
import { MEMBER_MAX } from '../../fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'
import { readMember } from './record-codec.ts'
import {
  readInteger,
  readKey,
  readList,
  readObject,
  readOneOf,
  requireUnique,
  ShapeError
} from './shape.ts'

export const INVITES_MAX = 1000
/** Expired and used invitations are remembered this long, to say why they are refused. */
export const INVITE_MEMORY_MS = 30 * 24 * 3600 * 1000

export interface Invite {
  /** Public half of the invitation's key, hex; the seed is not kept. */
  readonly publicKey: string
  readonly role: MemberInfo['role']
  readonly expiresAtMs: number
  /** The member this invitation was used for. */
  readonly claim?: MemberInfo
}

export interface InviteBook {
  readonly invites: readonly Invite[]
}

export const EMPTY_BOOK: InviteBook = { invites: [] }

export interface JoinRequest {
  /** Public key of the new member, hex. */
  readonly memberKey: string
  readonly name: string
  readonly addresses: readonly string[]
}

export const JOIN_REFUSALS = [
  'expired',
  'used',
  'unknown',
  'wrong-volume',
  'name-taken',
  'bad-request',
  'already-member',
  'removed',
  'full',
  'unavailable'
] as const
export type JoinRefusal = (typeof JOIN_REFUSALS)[number]

export type JoinDecision =
  | { readonly type: 'refuse'; readonly reason: JoinRefusal }
  /** Decided before: carry out `claim` if it is not, and answer. */
  | { readonly type: 'again'; readonly claim: MemberInfo }
  /** Write `book` durably, then carry out `claim`, then answer. */
  | { readonly type: 'accept'; readonly claim: MemberInfo; readonly book: InviteBook }

export function decideJoin(
  record: EpochRecord,
  book: InviteBook,
  inviteKey: string,
  request: JoinRequest,
  nowMs: number
): JoinDecision {
  const invite = book.invites.find((candidate) => candidate.publicKey === inviteKey)
  if (invite === undefined) return refuse('unknown')
  if (record.removedKeys.includes(request.memberKey)) return refuse('removed')
  if (invite.claim !== undefined) {
    if (invite.claim.publicKey !== request.memberKey) return refuse('used')
    return { type: 'again', claim: invite.claim }
  }
  if (nowMs >= invite.expiresAtMs) return refuse('expired')
  const pending = pendingClaims(record, book)
  const taken = [...record.members, ...pending]
  if (taken.some((member) => member.publicKey === request.memberKey)) {
    return refuse('already-member')
  }
  if (taken.some((member) => member.name === request.name)) return refuse('name-taken')
  const id = pending.reduce((next, claim) => Math.max(next, claim.id + 1), record.nextMemberId)
  if (id > MEMBER_MAX) return refuse('full')
  const claim: MemberInfo = {
    id: id as MemberId,
    name: request.name,
    publicKey: request.memberKey,
    addresses: [...request.addresses],
    role: invite.role
  }
  const invites = book.invites.map((other) => (other === invite ? { ...invite, claim } : other))
  return { type: 'accept', claim, book: { invites } }
}

function refuse(reason: JoinRefusal): JoinDecision {
  return { type: 'refuse', reason }
}

/** Claims that were decided but stand in no record yet, in the order of their ids. */
export function pendingClaims(record: EpochRecord, book: InviteBook): MemberInfo[] {
  const settled = new Set([
    ...record.members.map((member) => member.publicKey),
    ...record.removedKeys
  ])
  const claims: MemberInfo[] = []
  for (const { claim } of book.invites) {
    if (claim !== undefined && !settled.has(claim.publicKey)) claims.push(claim)
  }
  return claims.sort((a, b) => a.id - b.id)
}

/** The book with that invitation free again: its claim cannot be carried out any more. */
export function dropClaim(book: InviteBook, inviteKey: string): InviteBook {
  const invites = book.invites.map((invite) => {
    if (invite.publicKey !== inviteKey) return invite
    const { claim: _, ...free } = invite
    return free
  })
  return { invites }
}

/** The book with one more invitation, without those that are long over; undefined when full. */
export function addInvite(
  record: EpochRecord,
  book: InviteBook,
  invite: Invite,
  nowMs: number
): InviteBook | undefined {
  const pending = new Set(pendingClaims(record, book).map((claim) => claim.publicKey))
  const kept = book.invites.filter(
    (old) =>
      nowMs < old.expiresAtMs + INVITE_MEMORY_MS ||
      (old.claim !== undefined && pending.has(old.claim.publicKey))
  )
  if (kept.length >= INVITES_MAX) return undefined
  return { invites: [...kept, invite] }
}

/** Throws ShapeError. */
export function validateBook(value: unknown): InviteBook {
  const from = readObject(value, 'invites', ['invites'])
  const invites = readList(from['invites'], 'invites', INVITES_MAX, readInvite)
  requireUnique(
    invites.map((invite) => invite.publicKey),
    'invitation'
  )
  return { invites }
}

function readInvite(value: unknown, what: string): Invite {
  const from = readObject(value, what, ['publicKey', 'role', 'expiresAtMs', 'claim?'])
  const invite = {
    publicKey: readKey(from['publicKey'], `${what}.publicKey`),
    role: readOneOf(from['role'], `${what}.role`, ['data', 'witness'] as const),
    expiresAtMs: readInteger(from['expiresAtMs'], `${what}.expiresAtMs`, 0, 2 ** 52)
  }
  if (from['claim'] === undefined) return invite
  const claim = readMember(from['claim'], `${what}.claim`)
  if (claim.role !== invite.role) throw new ShapeError(`${what}.claim has another role`)
  return { ...invite, claim }
}
