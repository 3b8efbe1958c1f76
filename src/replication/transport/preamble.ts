/**
 * The first message in each direction of every connection, after the Noise handshake has proven
 * both keys: the dialer says what the connection is for, the listener accepts or names why not.
 * The dialer sends nothing else before the acceptance. Fixed sizes, nothing to allocate for.
 */

export const PROTOCOL_VERSION = 3
export const VOLUME_ID_BYTES = 16

/** What a connection is for: messages, bulk data, hypercore replication, or asking to join. */
export const CONNECTION_KINDS = ['control', 'bulk', 'log', 'join'] as const
export type ConnectionKind = (typeof CONNECTION_KINDS)[number]

export interface Preamble {
  readonly version: number
  readonly kind: ConnectionKind
  /** 16 bytes, hex. */
  readonly volumeId: string
}

export const ANSWERS = [
  'accepted',
  'version',
  'volume',
  'kind',
  'busy',
  'duplicate',
  /** The key was a member's; said without reading anything of it. */
  'removed'
] as const
export type PreambleAnswer = (typeof ANSWERS)[number]

const MAGIC = Buffer.from('tdfs')
const PREAMBLE_BYTES = 4 + 1 + 1 + VOLUME_ID_BYTES
const ANSWER_BYTES = 4 + 1 + 1

export function isVolumeId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text)
}

export function encodePreamble(kind: ConnectionKind, volumeId: string): Buffer {
  const head = Buffer.from([PROTOCOL_VERSION, CONNECTION_KINDS.indexOf(kind) + 1])
  return Buffer.concat([MAGIC, head, Buffer.from(volumeId, 'hex')], PREAMBLE_BYTES)
}

export function decodePreamble(message: Uint8Array): Preamble | undefined {
  if (message.length !== PREAMBLE_BYTES) return undefined
  const buffer = Buffer.from(message.buffer, message.byteOffset, message.length)
  if (!buffer.subarray(0, 4).equals(MAGIC)) return undefined
  const kind = CONNECTION_KINDS[buffer.readUInt8(5) - 1]
  if (kind === undefined) return undefined
  return { version: buffer.readUInt8(4), kind, volumeId: buffer.toString('hex', 6) }
}

export function encodeAnswer(answer: PreambleAnswer): Buffer {
  return Buffer.concat([MAGIC, Buffer.from([PROTOCOL_VERSION, ANSWERS.indexOf(answer)])])
}

export function decodeAnswer(message: Uint8Array): PreambleAnswer | undefined {
  if (message.length !== ANSWER_BYTES) return undefined
  const buffer = Buffer.from(message.buffer, message.byteOffset, message.length)
  if (!buffer.subarray(0, 4).equals(MAGIC)) return undefined
  return ANSWERS[buffer.readUInt8(5)]
}
