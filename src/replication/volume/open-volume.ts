/** Reads what a state directory says about this member and its volume. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyPair } from '@hyperswarm/secret-stream'
import type { EpochRecord, MemberInfo } from '../record.ts'
import type { VoterState } from '../register/voter.ts'
import { loadIdentity } from './identity.ts'
import type { InviteBook } from './invite-book.ts'
import { VolumeError } from './volume-error.ts'
import {
  loadInvites,
  loadRecord,
  loadSettings,
  loadVoter,
  type MemberSettings,
  VOLUME_FILES
} from './volume-files.ts'

export interface OpenedVolume {
  readonly keyPair: KeyPair
  readonly settings: MemberSettings
  /** The last record this member made durable. */
  readonly record: EpochRecord
  readonly self: MemberInfo
  readonly invites: InviteBook
  readonly voter: VoterState
}

/** Throws VolumeError 'not-found', 'damaged', or 'refused' when this member was removed. */
export function openVolume(dir: string): OpenedVolume {
  if (!existsSync(join(dir, VOLUME_FILES.record))) {
    throw new VolumeError('not-found', `${dir}: is not the state directory of a volume`)
  }
  const keyPair = loadIdentity(join(dir, VOLUME_FILES.identity))
  const settings = loadSettings(dir)
  const record = loadRecord(dir)
  const key = keyPair.publicKey.toString('hex')
  const self = record.members.find((member) => member.publicKey === key)
  if (self === undefined) {
    if (record.removedKeys.includes(key)) {
      throw new VolumeError('refused', `${dir}: this member was removed from the volume`)
    }
    throw new VolumeError('damaged', `${dir}: the identity is not that of a member in the record`)
  }
  if (self.id !== settings.member) {
    throw new VolumeError('damaged', `${dir}: settings and record name different members`)
  }
  return { keyPair, settings, record, self, invites: loadInvites(dir), voter: loadVoter(dir) }
}
