/** What `status` tells, gathered from the parts of a running node. */

import type { Seq } from '../../fs/primitives.ts'
import { incarnationOf, memberOf } from '../../fs/primitives.ts'
import type { MemberInfo } from '../../replication/record.ts'
import type { Replica } from '../../replication/replica/replica.ts'
import type { MemberStatus, NodeStatus } from './node-api.ts'

export interface StatusSource {
  readonly replica: Replica
  readonly inodes: number
  readonly locks: NodeStatus['locks']
  readonly mountPoint: string
  readonly stateDir: string
  readonly uptimeMs: number
  readonly channel: NodeStatus['channel']
  readonly warnings: readonly string[]
}

export function nodeStatus(source: StatusSource): NodeStatus {
  const { replica } = source
  const { record, self } = replica
  const authority = record.members.find((m) => m.id === record.authority)
  const own = record.members.find((m) => m.id === self)
  const leads = record.authority === self
  const reachable = leads || replica.peers.connected().includes(record.authority)
  const tokens = replica.tokenStatus()
  return {
    version: 1,
    volume: { id: record.volumeId, name: record.volumeName },
    member: { id: self, name: own?.name ?? '', incarnation: incarnationOf(replica.writer) },
    mountPoint: source.mountPoint,
    stateDir: source.stateDir,
    pid: process.pid,
    uptimeMs: source.uptimeMs,
    channel: source.channel,
    epoch: record.epoch,
    authority: { id: record.authority, name: authority?.name ?? '', reachable },
    leaseLeftMs: leads ? null : Math.floor(replica.membership.leaseLeftMs()),
    members: record.members.map((member) => memberStatus(replica, member)),
    tokens: {
      exclusive: tokens.member.held,
      notes: tokens.member.states,
      waiting: tokens.member.waiting
    },
    locks: source.locks,
    space: { ...replica.space(), inodes: source.inodes },
    damage: replica.damage,
    warnings: [...source.warnings, ...warningsOf(replica)]
  }
}

function memberStatus(replica: Replica, member: MemberInfo): MemberStatus {
  const { record, self } = replica
  const isSelf = member.id === self
  const connected = replica.peers.connected().includes(member.id)
  const held = replica.catchUp.heldBy(member.id)
  let lagEntries: number | null = isSelf ? 0 : null
  if (!isSelf && held) {
    lagEntries = 0
    for (const writer of record.live) {
      const applied = replica.admission.appliedOf(writer)
      lagEntries += Math.max(0, applied - (held.get(writer) ?? (0 as Seq)))
    }
  }
  return {
    id: member.id,
    name: member.name,
    role: member.role,
    self: isSelf,
    authority: record.authority === member.id,
    live: record.live.some((w) => memberOf(w) === member.id),
    inSync: record.inSync.includes(member.id),
    connection: isSelf ? 'self' : connected ? 'connected' : 'disconnected',
    address: member.addresses[0] ?? null,
    lagEntries,
    roundTripMs: null
  }
}

function warningsOf(replica: Replica): string[] {
  const { record, self } = replica
  const warnings: string[] = []
  const data = record.members.filter((m) => m.role === 'data')
  const leader = record.members.find((m) => m.id === record.authority)?.name ?? ''
  if (data.length === 1) warnings.push('one data member: there is no second copy')
  else if (record.inSync.length === 1) {
    warnings.push('one member is in sync: fsync has no second copy until another has caught up')
  }
  if (data.length > 1 && record.authority !== self) {
    warnings.push(`losing member ${leader} (the authority) stops this one until it is back`)
  }
  return warnings
}
