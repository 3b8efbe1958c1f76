/** The files in a state directory that say who this member is and what it belongs to. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { MemberId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { Ballot } from '../register/ballot.ts'
import type { VoterState } from '../register/voter.ts'
import { type CheckedFormat, readChecked, writeChecked } from '../storage/atomic-file.ts'
import { formatAddress, type HostPort, parseAddress } from '../transport/address.ts'
import { type InviteBook, validateBook } from './invite-book.ts'
import { type DiscoveryOptions, readBootstrap } from './invite-code.ts'
import { readMemberId, validateRecord } from './record-codec.ts'
import { readInteger, readObject, readText, ShapeError } from './shape.ts'
import { VolumeError } from './volume-error.ts'

export const VOLUME_FILES = {
  identity: 'identity',
  settings: 'settings',
  record: 'record',
  invites: 'invites',
  voter: 'voter',
  /** While joining only: where this member said it listens. */
  wish: 'wish'
} as const

/** What only this member knows about itself. */
export interface MemberSettings {
  readonly member: MemberId
  readonly listen: HostPort
  /** Set when discovery was asked for. */
  readonly discovery?: DiscoveryOptions
}

const RECORD: CheckedFormat<EpochRecord> = {
  kind: 'record',
  version: 1,
  validate: validateRecord
}
const VOTER: CheckedFormat<VoterState> = {
  kind: 'voter',
  version: 1,
  validate: validateVoter
}
const INVITES: CheckedFormat<InviteBook> = { kind: 'invites', version: 1, validate: validateBook }
const SETTINGS: CheckedFormat<MemberSettings> = {
  kind: 'settings',
  version: 1,
  validate: validateSettings
}

function validateSettings(value: unknown): MemberSettings {
  const from = readObject(value, 'settings', ['member', 'listen', 'bootstrap?'])
  const listen = readListen(from['listen'])
  const settings = { member: readMemberId(from['member'], 'member'), listen }
  if (from['bootstrap'] === undefined) return settings
  return { ...settings, discovery: { bootstrap: readBootstrap(from['bootstrap'], 'bootstrap') } }
}

function readListen(value: unknown): HostPort {
  const listen = parseAddress(readText(value, 'listen', /./, 300))
  if (listen === undefined) throw new ShapeError('listen is not host:port')
  return listen
}

/** Replaces the record of the state directory `dir`; durable on return. */
export function saveRecord(dir: string, record: EpochRecord): void {
  writeChecked(join(dir, VOLUME_FILES.record), RECORD, validateRecord(record))
}

/** Throws VolumeError 'not-found' or 'damaged'. */
export function loadRecord(dir: string): EpochRecord {
  return required(dir, VOLUME_FILES.record, RECORD)
}

/** Durable on return. Throws ShapeError for settings that could not be read back. */
export function saveSettings(dir: string, settings: MemberSettings): void {
  const json = {
    member: settings.member,
    listen: formatAddress(settings.listen),
    ...(settings.discovery ? { bootstrap: settings.discovery.bootstrap } : {})
  }
  validateSettings(json)
  writeChecked<unknown>(join(dir, VOLUME_FILES.settings), SETTINGS, json)
}

/** Throws VolumeError 'not-found' or 'damaged'. */
export function loadSettings(dir: string): MemberSettings {
  return required(dir, VOLUME_FILES.settings, SETTINGS)
}

const WISH: CheckedFormat<HostPort> = {
  kind: 'wish',
  version: 1,
  validate: (value) => {
    const from = readObject(value, 'wish', ['listen'])
    return readListen(from['listen'])
  }
}

export function saveWish(dir: string, listen: HostPort): void {
  writeChecked<unknown>(join(dir, VOLUME_FILES.wish), WISH, { listen: formatAddress(listen) })
}

/** Throws VolumeError 'damaged'. */
export function loadWish(dir: string): HostPort | undefined {
  return optional(dir, VOLUME_FILES.wish, WISH)
}

export function dropWish(dir: string): void {
  rmSync(join(dir, VOLUME_FILES.wish), { force: true })
}

function validateVoter(value: unknown): VoterState {
  const from = readObject(value, 'voter', ['promised', 'ballot?', 'record?'])
  const promised = readInteger(from['promised'], 'promised', 0, Number.MAX_SAFE_INTEGER) as Ballot
  if (from['ballot'] === undefined && from['record'] === undefined) {
    return { promised, accepted: undefined }
  }
  const ballot = readInteger(from['ballot'], 'ballot', 1, promised) as Ballot
  return { promised, accepted: { ballot, record: validateRecord(from['record']) } }
}

/** Replaces what this member's voter has promised and accepted; durable on return. */
export function saveVoter(dir: string, { promised, accepted }: VoterState): void {
  const json = accepted
    ? { promised, ballot: accepted.ballot, record: accepted.record }
    : { promised }
  writeChecked<unknown>(join(dir, VOLUME_FILES.voter), VOTER, json)
}

/** Throws VolumeError 'damaged', also without the file: a voter never guesses what it promised. */
export function loadVoter(dir: string): VoterState {
  const state = optional(dir, VOLUME_FILES.voter, VOTER)
  if (state !== undefined) return state
  const why = 'its voter file is missing, and without it this member could break a promise'
  throw new VolumeError('damaged', `${dir}: ${why}`)
}

/** Replaces the invitations; durable on return. */
export function saveInvites(dir: string, book: InviteBook): void {
  writeChecked(join(dir, VOLUME_FILES.invites), INVITES, book)
}

/** Those this member has given. Throws VolumeError 'damaged'; no file means no invitation. */
export function loadInvites(dir: string): InviteBook {
  return optional(dir, VOLUME_FILES.invites, INVITES) ?? { invites: [] }
}

function required<T>(dir: string, name: string, format: CheckedFormat<T>): T {
  const value = optional(dir, name, format)
  if (value === undefined) throw new VolumeError('not-found', `${dir}: has no ${name} file`)
  return value
}

function optional<T>(dir: string, name: string, format: CheckedFormat<T>): T | undefined {
  try {
    return readChecked(join(dir, name), format)
  } catch (error) {
    throw new VolumeError('damaged', error instanceof Error ? error.message : String(error), {
      cause: error
    })
  }
}
