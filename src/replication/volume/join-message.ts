/**
 * Request and answer of the join protocol as JSON. The request is signed with the new member's
 * key over the volume, the invitation and everything it asks for: nobody can enter a key that is
 * not theirs, and a request cannot be used with another invitation.
 */
import type { KeyPair } from '@hyperswarm/secret-stream'
import crypto from 'hypercore-crypto'
import type { MemberId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import { JOIN_ANSWER_MAX_BYTES, JOIN_REQUEST_MAX_BYTES } from '../transport/join-protocol.ts'
import { JOIN_REFUSALS, type JoinRefusal, type JoinRequest } from './invite-book.ts'
import { readAddresses, readMemberId, validateRecord } from './record-codec.ts'
import { readKey, readName, readObject, readOneOf, readText, ShapeError } from './shape.ts'

export type JoinAnswer =
  | { readonly ok: true; readonly member: MemberId; readonly record: EpochRecord }
  | { readonly ok: false; readonly reason: JoinRefusal }

/** What the request is bound to. */
export interface JoinScope {
  readonly volumeId: string
  /** Public key of the invitation, hex. */
  readonly inviteKey: string
}

export function encodeJoinRequest(
  scope: JoinScope,
  keyPair: KeyPair,
  name: string,
  addresses: readonly string[]
): Buffer {
  const request = { memberKey: keyPair.publicKey.toString('hex'), name, addresses }
  const signature = crypto.sign(signedBytes(scope, request), keyPair.secretKey).toString('hex')
  return Buffer.from(JSON.stringify({ ...request, signature }))
}

/** Throws ShapeError, also when the signature is not the member key's. */
export function decodeJoinRequest(scope: JoinScope, message: Uint8Array): JoinRequest {
  const from = readObject(readJson(message, JOIN_REQUEST_MAX_BYTES), 'request', [
    'memberKey',
    'name',
    'addresses',
    'signature'
  ])
  const request = {
    memberKey: readKey(from['memberKey'], 'memberKey'),
    name: readName(from['name'], 'name'),
    addresses: readAddresses(from['addresses'], 'addresses')
  }
  const signature = readText(from['signature'], 'signature', /^[0-9a-f]{128}$/, 128)
  const valid = crypto.verify(
    signedBytes(scope, request),
    Buffer.from(signature, 'hex'),
    Buffer.from(request.memberKey, 'hex')
  )
  if (!valid) throw new ShapeError('the signature is not the new member key’s')
  return request
}

export function encodeJoinAnswer(answer: JoinAnswer): Buffer {
  return Buffer.from(JSON.stringify(answer))
}

/** Throws ShapeError. */
export function decodeJoinAnswer(message: Uint8Array): JoinAnswer {
  const value = readJson(message, JOIN_ANSWER_MAX_BYTES)
  const { ok } = readObject(value, 'answer', ['ok', 'member?', 'record?', 'reason?'])
  if (ok === true) {
    const from = readObject(value, 'answer', ['ok', 'member', 'record'])
    return {
      ok: true,
      member: readMemberId(from['member'], 'member'),
      record: validateRecord(from['record'])
    }
  }
  const from = readObject(value, 'answer', ['ok', 'reason'])
  return { ok: false, reason: readOneOf(from['reason'], 'reason', JOIN_REFUSALS) }
}

function signedBytes(scope: JoinScope, request: JoinRequest): Buffer {
  const fields = [
    'tandemfs join',
    scope.volumeId,
    scope.inviteKey,
    request.memberKey,
    request.name,
    ...request.addresses
  ]
  return Buffer.from(JSON.stringify(fields))
}

function readJson(message: Uint8Array, maxBytes: number): unknown {
  if (message.length > maxBytes) throw new ShapeError('message is too long')
  try {
    return JSON.parse(Buffer.from(message).toString('utf8'))
  } catch {
    throw new ShapeError('message is not JSON')
  }
}
