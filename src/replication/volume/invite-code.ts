/**
 * The code an administrator carries from a member to a joiner:
 * `tandemfs1-` + base64url of (body, first 4 bytes of its sha256). The body is JSON: small enough
 * to paste, strict to read. The seed in it is the secret; everything else is addressing.
 */
import { createHash } from 'node:crypto'
import type { KeyPair } from '@hyperswarm/secret-stream'
import crypto from 'hypercore-crypto'
import type { MemberInfo } from '../record.ts'
import { parseAddress } from '../transport/address.ts'
import type { Bootstrap } from '../transport/discovery.ts'
import { readAddresses, readVolumeId } from './record-codec.ts'
import {
  readInteger,
  readKey,
  readList,
  readName,
  readObject,
  readOneOf,
  readText,
  ShapeError
} from './shape.ts'
import { VolumeError } from './volume-error.ts'

export const CODE_PREFIX = 'tandemfs1-'
const CODE_MAX_CHARS = 4096
const CHECKSUM_BYTES = 4

/** How the volume's members find each other beside their addresses. */
export interface DiscoveryOptions {
  readonly bootstrap: Bootstrap
}

export interface InviteCode {
  readonly volumeId: string
  readonly volumeName: string
  readonly role: MemberInfo['role']
  /** Wall time, milliseconds since 1970; judged by the clock of who invites. */
  readonly expiresAtMs: number
  readonly inviterKey: string
  /** host:port of the member that invites, in the order to try. */
  readonly addresses: readonly string[]
  /** Present when the volume uses discovery. */
  readonly discovery?: DiscoveryOptions
  /** ed25519 seed of the invitation's key pair, 32 bytes, hex. */
  readonly seed: string
}

export function inviteKeyPair(code: InviteCode): KeyPair {
  return crypto.keyPair(Buffer.from(code.seed, 'hex'))
}

export function formatInviteCode(code: InviteCode): string {
  const body = Buffer.from(
    JSON.stringify({
      v: base64(code.volumeId),
      n: code.volumeName,
      r: code.role,
      e: code.expiresAtMs,
      k: base64(code.inviterKey),
      a: code.addresses,
      ...(code.discovery ? { b: code.discovery.bootstrap } : {}),
      s: base64(code.seed)
    })
  )
  return CODE_PREFIX + Buffer.concat([body, checksum(body)]).toString('base64url')
}

/** Throws VolumeError 'bad-input' that says whether the code is foreign, cut or mistyped. */
export function parseInviteCode(text: string): InviteCode {
  const trimmed = text.trim()
  if (!trimmed.startsWith(CODE_PREFIX)) {
    throw new VolumeError('bad-input', `join code: does not begin with ${CODE_PREFIX}`)
  }
  const encoded = trimmed.slice(CODE_PREFIX.length)
  if (encoded.length > CODE_MAX_CHARS || !/^[A-Za-z0-9_-]*$/.test(encoded)) {
    throw new VolumeError('bad-input', 'join code: contains characters no code has')
  }
  const bytes = Buffer.from(encoded, 'base64url')
  const body = bytes.subarray(0, Math.max(0, bytes.length - CHECKSUM_BYTES))
  if (bytes.length <= CHECKSUM_BYTES || !checksum(body).equals(bytes.subarray(body.length))) {
    throw new VolumeError('bad-input', 'join code: incomplete or mistyped: copy it again')
  }
  try {
    return readCode(JSON.parse(body.toString('utf8')))
  } catch (error) {
    const why = error instanceof ShapeError ? error.message : 'not JSON'
    throw new VolumeError('bad-input', `join code: ${why}`, { cause: error })
  }
}

function readCode(value: unknown): InviteCode {
  const from = readObject(value, 'code', ['v', 'n', 'r', 'e', 'k', 'a', 'b?', 's'])
  const code = {
    volumeId: readVolumeId(hex(from['v'])),
    volumeName: readName(from['n'], 'volume name'),
    role: readOneOf(from['r'], 'role', ['data', 'witness'] as const),
    expiresAtMs: readInteger(from['e'], 'expiry', 0, Number.MAX_SAFE_INTEGER),
    inviterKey: readKey(hex(from['k']), 'authority key'),
    addresses: readAddresses(from['a'], 'addresses'),
    seed: readKey(hex(from['s']), 'seed')
  }
  if (from['b'] === undefined) return code
  return { ...code, discovery: { bootstrap: readBootstrap(from['b'], 'bootstrap') } }
}

export function readBootstrap(value: unknown, what: string): Bootstrap {
  if (value === 'public') return 'public'
  const nodes = readList(value, what, 16, (item, itemWhat) => {
    const text = readText(item, itemWhat, /./, 300)
    const address = parseAddress(text)
    if (address === undefined || address.port === 0) {
      throw new ShapeError(`${itemWhat} is not host:port`)
    }
    return text
  })
  if (nodes.length === 0) throw new ShapeError(`${what} is empty`)
  return nodes
}

function checksum(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, CHECKSUM_BYTES)
}

function base64(hexText: string): string {
  return Buffer.from(hexText, 'hex').toString('base64url')
}

function hex(value: unknown): string | undefined {
  return typeof value === 'string' ? Buffer.from(value, 'base64url').toString('hex') : undefined
}
