/**
 * The epoch record as JSON, on disk and between members. Reading is strict: a record that does
 * not hold together (an authority that is no member, two writers of one member, an id that could
 * be given twice) is refused as a whole.
 */
import { unreachable } from '../../fs/assert.ts'
import type { Epoch, MemberId, Seq, WriterId } from '../../fs/primitives.ts'
import { INCARNATION_MAX, MEMBER_MAX, memberOf } from '../../fs/primitives.ts'
import type { MemberChange } from '../epoch/member-change.ts'
import type { EpochCuts, EpochRecord, MemberInfo, VoterWeight, WriterInfo } from '../record.ts'
import { lastWritersWith } from '../record-history.ts'
import { ADDRESS_MAX_CHARS, parseAddress } from '../transport/address.ts'
import { VOLUME_ID_BYTES } from '../transport/preamble.ts'
import {
  type JsonObject,
  readInteger,
  readKey,
  readList,
  readName,
  readObject,
  readOneOf,
  readText,
  requireUnique,
  ShapeError
} from './shape.ts'

/** Fits one control message with room to spare. */
export const RECORD_TEXT_MAX_BYTES = 4 * 1024 * 1024
export const ADDRESSES_MAX = 16
const WRITERS_MAX = 20_000
const HISTORY_MAX = 20_000
const REMOVED_MAX = MEMBER_MAX
const MAX = Number.MAX_SAFE_INTEGER

const RECORD_FIELDS = [
  'version',
  'volumeId',
  'volumeName',
  'epoch',
  'authority',
  'members',
  'live',
  'inSync',
  'writers',
  'history',
  'forgotten?',
  'lastWriters?',
  'voters',
  'votersBefore',
  'tieBreaker?',
  'nextMemberId',
  'removedKeys'
]

export function formatRecord(record: EpochRecord): string {
  return JSON.stringify(record)
}

/** Throws ShapeError. */
export function parseRecord(text: string): EpochRecord {
  if (text.length > RECORD_TEXT_MAX_BYTES) throw new ShapeError('record is too long')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ShapeError('record is not JSON')
  }
  return validateRecord(value)
}

/** Throws ShapeError. */
export function validateRecord(value: unknown): EpochRecord {
  const from = readObject(value, 'record', RECORD_FIELDS)
  readInteger(from['version'], 'version', 1, 1)
  const writers = readList(from['writers'], 'writers', WRITERS_MAX, readWriter)
  const record: EpochRecord = {
    version: 1,
    volumeId: readVolumeId(from['volumeId']),
    volumeName: readName(from['volumeName'], 'volumeName'),
    epoch: readEpoch(from['epoch'], 'epoch'),
    authority: readMemberId(from['authority'], 'authority'),
    members: readList(from['members'], 'members', MEMBER_MAX, readMember),
    live: readList(from['live'], 'live', MEMBER_MAX, readWriterId),
    inSync: readList(from['inSync'], 'inSync', MEMBER_MAX, readMemberId),
    writers,
    history: readList(from['history'], 'history', HISTORY_MAX, readEpochCuts),
    ...readForgotten(from, writers),
    voters: readList(from['voters'], 'voters', MEMBER_MAX, readVoter),
    votersBefore: readList(from['votersBefore'], 'votersBefore', MEMBER_MAX, readVoter),
    ...(from['tieBreaker'] === undefined
      ? {}
      : { tieBreaker: readMemberId(from['tieBreaker'], 'tieBreaker') }),
    nextMemberId: readInteger(from['nextMemberId'], 'nextMemberId', 2, MEMBER_MAX + 1),
    removedKeys: readList(from['removedKeys'], 'removedKeys', REMOVED_MAX, readKey)
  }
  requireConsistent(record)
  return record
}

function requireConsistent(record: EpochRecord): void {
  const ids = record.members.map((member) => member.id)
  const keys = record.members.map((member) => member.publicKey)
  requireUnique(ids, 'member id')
  requireUnique(keys, 'member key')
  requireUnique(
    record.members.map((member) => member.name),
    'member name'
  )
  requireUnique(record.removedKeys, 'removed key')
  requireUnique(record.live.map(memberOf), 'live writer of a member')
  requireUnique(record.inSync, 'in-sync member')
  requireUnique(
    record.writers.map((info) => info.writer),
    'writer'
  )
  const members = new Set(ids)
  const voting = record.voters.map(([id]) => id)
  requireUnique(voting, 'voter')
  requireUnique(
    record.votersBefore.map(([id]) => id),
    'voter before'
  )
  if (voting.length === 0) throw new ShapeError('nobody votes')
  const named = [record.authority, ...record.inSync, ...record.live.map(memberOf), ...voting]
  if (record.tieBreaker !== undefined) named.push(record.tieBreaker)
  for (const id of named) {
    if (!members.has(id)) throw new ShapeError(`member ${id} is named but not listed`)
  }
  for (const id of ids) {
    if (id >= record.nextMemberId) throw new ShapeError(`nextMemberId is not above member ${id}`)
  }
  for (const key of record.removedKeys) {
    if (keys.includes(key)) throw new ShapeError('a removed key is listed as a member')
  }
  if (record.forgotten >= record.epoch) throw new ShapeError('the record forgets itself')
  const known = new Set(record.writers.map((info) => info.writer))
  for (const writer of record.live) {
    if (!known.has(writer)) throw new ShapeError(`live writer ${writer} is not listed`)
  }
}

/** Throws ShapeError. */
export function parseMemberChange(text: string): MemberChange {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ShapeError('member change is not JSON')
  }
  const from = readObject(value, 'change', ['kind', 'member?', 'id?'])
  const kind = readOneOf(from['kind'], 'kind', ['add', 'remove', 'tie-breaker'] as const)
  switch (kind) {
    case 'add':
      return { kind, member: readMember(from['member'], 'member') }
    case 'remove':
      return { kind, id: readMemberId(from['id'], 'id') }
    case 'tie-breaker':
      return from['id'] === undefined ? { kind } : { kind, id: readMemberId(from['id'], 'id') }
    default:
      return unreachable(kind)
  }
}

export function readVolumeId(value: unknown): string {
  return readText(value, 'volumeId', /^[0-9a-f]{32}$/, VOLUME_ID_BYTES * 2)
}

export function readMember(value: unknown, what: string): MemberInfo {
  const from = readObject(value, what, ['id', 'name', 'publicKey', 'addresses', 'role'])
  return {
    id: readMemberId(from['id'], `${what}.id`),
    name: readName(from['name'], `${what}.name`),
    publicKey: readKey(from['publicKey'], `${what}.publicKey`),
    addresses: readAddresses(from['addresses'], `${what}.addresses`),
    role: readOneOf(from['role'], `${what}.role`, ['data', 'witness'])
  }
}

export function readAddresses(value: unknown, what: string): string[] {
  return readList(value, what, ADDRESSES_MAX, (item, itemWhat) => {
    const text = readText(item, itemWhat, /./, ADDRESS_MAX_CHARS)
    const address = parseAddress(text)
    if (address === undefined || address.port === 0) {
      throw new ShapeError(`${itemWhat} is not host:port`)
    }
    return text
  })
}

/** Records of versions that forgot nothing lack both. */
function readForgotten(
  from: JsonObject,
  writers: readonly WriterInfo[]
): Pick<EpochRecord, 'forgotten' | 'lastWriters'> {
  const [epoch, last] = [from['forgotten'], from['lastWriters']]
  const forgotten = epoch === undefined ? 0 : (readInteger(epoch, 'forgotten', 0, MAX) as Epoch | 0)
  const listed = writers.map((info) => info.writer)
  const lastWriters =
    last === undefined
      ? lastWritersWith({ lastWriters: [] }, listed)
      : readList(last, 'lastWriters', MEMBER_MAX, readWriterId)
  requireUnique(lastWriters.map(memberOf), 'last writer of a member')
  for (const writer of lastWritersWith({ lastWriters }, listed)) {
    if (!lastWriters.includes(writer))
      throw new ShapeError(`writer ${writer} is behind the last one`)
  }
  return { forgotten, lastWriters }
}

function readWriter(value: unknown, what: string): WriterInfo {
  const from = readObject(value, what, ['writer', 'coreKey', 'finalSeq?'])
  const writer = readWriterId(from['writer'], `${what}.writer`)
  const coreKey = readKey(from['coreKey'], `${what}.coreKey`)
  const finalSeq = from['finalSeq']
  if (finalSeq === undefined) return { writer, coreKey }
  return { writer, coreKey, finalSeq: readSeq(finalSeq, `${what}.finalSeq`) }
}

function readVoter(value: unknown, what: string): VoterWeight {
  if (!Array.isArray(value) || value.length !== 2) throw new ShapeError(`${what} is not a pair`)
  return [readMemberId(value[0], what), readInteger(value[1], `${what} weight`, 1, 2)]
}

function readEpochCuts(value: unknown, what: string): EpochCuts {
  const from = readObject(value, what, ['epoch', 'cuts'])
  const cuts = readList(from['cuts'], `${what}.cuts`, WRITERS_MAX, (item, itemWhat) => {
    if (!Array.isArray(item) || item.length !== 2) throw new ShapeError(`${itemWhat} is not a pair`)
    return [readWriterId(item[0], itemWhat), readSeq(item[1], itemWhat)] as const
  })
  return { epoch: readEpoch(from['epoch'], `${what}.epoch`), cuts }
}

function readEpoch(value: unknown, what: string): Epoch {
  return readInteger(value, what, 1, Number.MAX_SAFE_INTEGER) as Epoch
}

function readSeq(value: unknown, what: string): Seq {
  return readInteger(value, what, 0, Number.MAX_SAFE_INTEGER) as Seq
}

export function readMemberId(value: unknown, what: string): MemberId {
  return readInteger(value, what, 1, MEMBER_MAX) as MemberId
}

function readWriterId(value: unknown, what: string): WriterId {
  const unit = INCARNATION_MAX + 1
  const writer = readInteger(value, what, unit + 1, (MEMBER_MAX + 1) * unit - 1)
  if (writer % unit === 0) throw new ShapeError(`${what} has no incarnation`)
  return writer as WriterId
}
