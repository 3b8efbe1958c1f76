/** Makes a new volume with this machine as its first member. */
import { join } from 'node:path'
import crypto from 'hypercore-crypto'
import type { Epoch, MemberId } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import { FRESH_VOTER } from '../register/voter.ts'
import { type HostPort, parseAddress, reachableAddresses } from '../transport/address.ts'
import type { Bootstrap } from '../transport/discovery.ts'
import { VOLUME_ID_BYTES } from '../transport/preamble.ts'
import { createIdentity } from './identity.ts'
import { EMPTY_BOOK } from './invite-book.ts'
import type { DiscoveryOptions } from './invite-code.ts'
import {
  dropStaging,
  makeStaging,
  probeListen,
  publishStaging,
  requireVacant
} from './new-state-directory.ts'
import { NAME_PATTERN } from './shape.ts'
import { VolumeError } from './volume-error.ts'
import { saveInvites, saveRecord, saveSettings, saveVoter, VOLUME_FILES } from './volume-files.ts'

export interface CreateVolumeOptions {
  /** Name of the volume: 1..63 letters, digits, dots, dashes, underscores. */
  readonly name: string
  /** Name of this member, same characters; unique in the volume. */
  readonly memberName: string
  /** Port 0 chooses a free one for good. */
  readonly listen: HostPort
  /** host:port others reach this member at; default: derived from `listen`. */
  readonly addresses?: readonly string[]
  /** Set when discovery was asked for: own DHT nodes, or none named = the public DHT. */
  readonly discovery?: { readonly bootstrap: Bootstrap }
}

/**
 * Creates the state directory `dir` (absent or empty before) with a new identity and the record of
 * epoch 1. Durable on return; on an error nothing is left. Throws VolumeError 'bad-input',
 * 'exists', 'address-in-use', or the system's error.
 */
export async function createVolume(
  dir: string,
  options: CreateVolumeOptions
): Promise<EpochRecord> {
  requireName('volume name', options.name)
  requireName('member name', options.memberName)
  requireAddresses(options.addresses)
  requireVacant(dir)
  const listen = await probeListen(options.listen)
  const staging = makeStaging(dir, { resume: false })
  try {
    const { publicKey } = createIdentity(join(staging, VOLUME_FILES.identity))
    const self = 1 as MemberId
    const record: EpochRecord = {
      version: 1,
      volumeId: crypto.randomBytes(VOLUME_ID_BYTES).toString('hex'),
      volumeName: options.name,
      epoch: 1 as Epoch,
      authority: self,
      members: [
        {
          id: self,
          name: options.memberName,
          publicKey: publicKey.toString('hex'),
          addresses: options.addresses ?? reachableAddresses(listen),
          role: 'data'
        }
      ],
      live: [],
      inSync: [self],
      writers: [],
      history: [],
      forgotten: 0,
      lastWriters: [],
      voters: [[self, 1]],
      votersBefore: [[self, 1]],
      nextMemberId: 2,
      removedKeys: []
    }
    saveRecord(staging, record)
    saveVoter(staging, FRESH_VOTER)
    saveInvites(staging, EMPTY_BOOK)
    const discovery = discoveryOf(options)
    saveSettings(staging, { member: self, listen, ...(discovery ? { discovery } : {}) })
    publishStaging(dir)
    return record
  } catch (error) {
    dropStaging(dir)
    throw error
  }
}

function discoveryOf(options: CreateVolumeOptions): DiscoveryOptions | undefined {
  if (options.discovery === undefined) return undefined
  const { bootstrap } = options.discovery
  return { bootstrap: bootstrap.length === 0 ? 'public' : bootstrap }
}

export function requireName(what: string, name: string): void {
  if (NAME_PATTERN.test(name)) return
  const rule = 'use 1 to 63 letters, digits, dots, dashes, underscores, a letter or digit first'
  throw new VolumeError('bad-input', `${what}: '${name.slice(0, 80)}' is not valid: ${rule}`)
}

export function requireAddresses(addresses: readonly string[] | undefined): void {
  for (const text of addresses ?? []) {
    const address = parseAddress(text)
    if (address === undefined || address.port === 0) {
      throw new VolumeError('bad-input', `address '${text.slice(0, 80)}': is not HOST:PORT`)
    }
  }
}
