/**
 * Makes this machine a member of an existing volume with a join code.
 *
 * The new identity is durable before it is sent, and stays in the staging directory while the
 * outcome is unknown: the same command run again asks with the same key and gets the same answer,
 * so a lost answer costs neither the invitation nor a member id.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyPair } from '@hyperswarm/secret-stream'
import type { Clock } from '../../fs/ports/clock.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'
import { FRESH_VOTER } from '../register/voter.ts'
import { type HostPort, parseAddress, reachableAddresses } from '../transport/address.ts'
import type { DiscoveredLink, DiscoveryCall } from '../transport/discovery.ts'
import { type JoinCall, requestJoin, requestJoinTcp } from '../transport/join-protocol.ts'
import { TransportError } from '../transport/transport-error.ts'
import { requireAddresses, requireName } from './create-volume.ts'
import { createIdentity, loadIdentity } from './identity.ts'
import type { JoinRefusal } from './invite-book.ts'
import {
  type DiscoveryOptions,
  type InviteCode,
  inviteKeyPair,
  parseInviteCode
} from './invite-code.ts'
import { decodeJoinAnswer, encodeJoinRequest, type JoinAnswer } from './join-message.ts'
import {
  dropStaging,
  makeStaging,
  probeListen,
  publishStaging,
  requireVacant,
  stagingPath
} from './new-state-directory.ts'
import { VolumeError } from './volume-error.ts'
import {
  dropWish,
  loadWish,
  saveRecord,
  saveSettings,
  saveVoter,
  saveWish,
  VOLUME_FILES
} from './volume-files.ts'

export interface JoinVolumeComponents {
  readonly clock: Clock
  /**
   * Opens a link to who invites by discovery (dialByDiscovery); used when the code says that the volume
   * uses it and no address answers.
   */
  readonly discover?: (call: DiscoveryCall) => Promise<DiscoveredLink>
}

export interface JoinVolumeOptions {
  /** Name of this member in the volume. */
  readonly memberName: string
  /** Port 0 chooses a free one for good. */
  readonly listen: HostPort
  /** host:port others reach this member at; default: derived from `listen`. */
  readonly addresses?: readonly string[]
  /** For each address tried; default 10,000. */
  readonly timeoutMs?: number
}

export interface JoinedVolume {
  readonly member: MemberId
  readonly record: EpochRecord
}

const REFUSALS: Readonly<Record<JoinRefusal, string>> = {
  expired: 'the invitation has expired: ask for a new one',
  used: 'the invitation was used already: ask for a new one',
  unknown: 'the invitation is not known there: ask for a new one',
  'wrong-volume': 'the invitation is for another volume',
  'name-taken': 'a member of that name exists: choose another with --name',
  'bad-request': 'the request was not understood: do both run the same version?',
  'already-member': 'this key is a member already',
  removed: 'this key was removed from the volume: join with a new state directory',
  full: 'the volume cannot number another member',
  unavailable: 'no majority of the members can add one now: try again'
}

/** The joiner keeps its identity and may ask again with the same code. */
const WORTH_ASKING_AGAIN: readonly JoinRefusal[] = ['unavailable', 'name-taken']

/**
 * Joins with `code` and creates the state directory `dir` (absent or empty before). Durable on
 * return. Throws VolumeError 'bad-input', 'exists', 'address-in-use', 'refused', 'unreachable', or
 * the system's error; except after 'unreachable' and a refusal that may pass, nothing is left.
 */
export async function joinVolume(
  code: string,
  dir: string,
  components: JoinVolumeComponents,
  options: JoinVolumeOptions
): Promise<JoinedVolume> {
  requireName('member name', options.memberName)
  requireAddresses(options.addresses)
  const invite = parseInviteCode(code)
  requireVacant(dir)
  const wish = existsSync(stagingPath(dir)) ? loadWish(stagingPath(dir)) : undefined
  const sameHost = options.listen.port === 0 && wish?.host === options.listen.host
  const listen = await probeListen(sameHost ? wish : options.listen)
  const staging = makeStaging(dir, { resume: existsSync(stagingPath(dir)) })
  let keep = false
  try {
    const identityPath = join(staging, VOLUME_FILES.identity)
    const keyPair = existsSync(identityPath)
      ? loadIdentity(identityPath)
      : createIdentity(identityPath)
    saveWish(staging, listen)
    keep = true
    const addresses = options.addresses ?? reachableAddresses(listen)
    const answer = await ask(invite, keyPair, addresses, components, options)
    keep = !answer.ok && WORTH_ASKING_AGAIN.includes(answer.reason)
    if (!answer.ok) {
      throw new VolumeError('refused', `join ${invite.volumeName}: ${REFUSALS[answer.reason]}`)
    }
    keep = true
    const self = requireOwnMember(answer.record, answer.member, keyPair, invite)
    requireAsWished(self, options.memberName, addresses)
    saveRecord(staging, answer.record)
    saveVoter(staging, FRESH_VOTER)
    const { discovery } = invite
    saveSettings(staging, { member: answer.member, listen, ...(discovery ? { discovery } : {}) })
    dropWish(staging)
    publishStaging(dir)
    return { member: answer.member, record: answer.record }
  } catch (error) {
    if (!keep) dropStaging(dir)
    throw error
  }
}

async function ask(
  invite: InviteCode,
  keyPair: KeyPair,
  addresses: readonly string[],
  components: JoinVolumeComponents,
  options: JoinVolumeOptions
): Promise<JoinAnswer> {
  const pass = inviteKeyPair(invite)
  const scope = { volumeId: invite.volumeId, inviteKey: pass.publicKey.toString('hex') }
  const call: JoinCall = {
    volumeId: invite.volumeId,
    keyPair: pass,
    inviterKey: invite.inviterKey,
    request: encodeJoinRequest(scope, keyPair, options.memberName, addresses),
    timeoutMs: options.timeoutMs ?? 10_000
  }
  const failures: string[] = []
  for (const text of invite.addresses) {
    const to = parseAddress(text)
    if (to === undefined) continue
    try {
      return decodeJoinAnswer(await requestJoinTcp(to, call, components.clock))
    } catch (error) {
      failures.push(explain(text, error))
    }
  }
  if (invite.discovery && components.discover) {
    try {
      return decodeJoinAnswer(await callByDiscovery(invite.discovery, call, components))
    } catch (error) {
      failures.push(explain('discovery', error))
    }
  }
  const why = failures.length > 0 ? failures.join('; ') : 'the code names no address'
  throw new VolumeError('unreachable', `join ${invite.volumeName}: ${why}`)
}

async function callByDiscovery(
  discovery: DiscoveryOptions,
  call: JoinCall,
  components: JoinVolumeComponents
): Promise<Uint8Array> {
  const { discover, clock } = components
  if (discover === undefined) throw new TransportError('unreachable', 'no discovery here')
  const { volumeId, keyPair, inviterKey, timeoutMs } = call
  const { bootstrap } = discovery
  const { link, close } = await discover({
    volumeId,
    bootstrap,
    keyPair,
    inviterKey,
    timeoutMs
  })
  try {
    return await requestJoin(link, call, clock)
  } finally {
    await close()
  }
}

function explain(where: string, error: unknown): string {
  if (!(error instanceof TransportError)) {
    return `${where}: ${error instanceof Error ? error.message : String(error)}`
  }
  switch (error.code) {
    case 'wrong-key':
      return `${where}: another key answers there than the one in the code`
    case 'closed':
      return `${where}: closed the connection: the invitation is not known there any more, or that member does not run`
    default:
      return error.message.startsWith(where) ? error.message : `${where}: ${error.message}`
  }
}

function requireOwnMember(
  record: EpochRecord,
  id: MemberId,
  keyPair: KeyPair,
  invite: InviteCode
): MemberInfo {
  const self = record.members.find((member) => member.id === id)
  const key = keyPair.publicKey.toString('hex')
  if (record.volumeId === invite.volumeId && self?.publicKey === key) return self
  throw new VolumeError('refused', `join ${invite.volumeName}: the answer is about another member`)
}

/** Refuses to go on as somebody else than an earlier run of the command has become. */
function requireAsWished(self: MemberInfo, name: string, addresses: readonly string[]): void {
  if (self.name !== name) {
    const message = `join: an earlier run joined as '${self.name}': run it with --name ${self.name}`
    throw new VolumeError('refused', message)
  }
  if (self.addresses.join() !== addresses.join()) {
    const before = self.addresses.join(', ')
    throw new VolumeError('refused', `join: an earlier run joined with ${before}: listen there`)
  }
}
