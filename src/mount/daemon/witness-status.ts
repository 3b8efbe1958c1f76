/** What `status` tells of a witness. */
import type { MemberInfo } from '../../replication/record.ts'
import type { Witness } from '../../replication/witness/witness.ts'
import { memberStatus } from './member-status.ts'
import type { NodeStatus } from './node-api.ts'
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
    members: record.members.map((member) => ({
      ...memberStatus(quorum, member),
      lag: null,
      roundTripMs: witness.roundTripMs(member.id) ?? null
    })),
    tokens: null,
    locks: null,
    space: null,
    damage: [],
    warnings: quorumWarnings(quorum)
  }
}
