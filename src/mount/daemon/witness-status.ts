/** What `status` tells of a witness. */
import { memberOf } from '../../fs/primitives.ts'
import type { MemberInfo } from '../../replication/record.ts'
import type { Witness } from '../../replication/witness/witness.ts'
import type { MemberStatus, NodeStatus } from './node-api.ts'
import { nameOf, quorumStatus, quorumWarnings } from './quorum-status.ts'

export interface WitnessFacts {
  readonly self: MemberInfo
  readonly stateDir: string
  readonly uptimeMs: number
}

export function witnessStatus(witness: Witness, facts: WitnessFacts): NodeStatus {
  const { record } = witness
  const { self } = facts
  const connected = witness.connected()
  const members = record.members.map((member): MemberStatus => {
    const isSelf = member.id === self.id
    return {
      id: member.id,
      name: member.name,
      role: member.role,
      self: isSelf,
      authority: record.authority === member.id,
      live: record.live.some((w) => memberOf(w) === member.id),
      inSync: record.inSync.includes(member.id),
      connection: isSelf ? 'self' : connected.includes(member.id) ? 'connected' : 'disconnected',
      address: member.addresses[0] ?? null,
      lag: null,
      roundTripMs: witness.roundTripMs(member.id) ?? null
    }
  })
  const quorum = { record, self: self.id, connected }
  return {
    version: 1,
    role: 'witness',
    phase: 'voting',
    volume: { id: record.volumeId, name: record.volumeName },
    member: { id: self.id, name: self.name, incarnation: 0 },
    mountPoint: null,
    mounted: null,
    stateDir: facts.stateDir,
    pid: process.pid,
    uptimeMs: facts.uptimeMs,
    channel: null,
    epoch: record.epoch,
    authority: {
      id: record.authority,
      name: nameOf(record, record.authority),
      reachable: connected.includes(record.authority)
    },
    quorum: quorumStatus(quorum),
    leaseLeftMs: null,
    lastFailover: null,
    catchUp: null,
    members,
    tokens: null,
    locks: null,
    space: null,
    damage: [],
    warnings: quorumWarnings(quorum)
  }
}
