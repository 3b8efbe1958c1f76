/** What `status` tells, gathered from the parts of a running node. */

import { incarnationOf } from '../../fs/primitives.ts'
import type { Replica } from '../../replication/replica/replica.ts'
import { memberStatus } from './member-status.ts'
import type { NodeStatus } from './node-api.ts'
import { nameOf, quorumStatus, quorumWarnings } from './quorum-status.ts'

export interface StatusSource {
  readonly replica: Replica
  readonly inodes: number
  readonly locks: NonNullable<NodeStatus['locks']>
  readonly mountPoint: string
  readonly mounted: boolean
  readonly stateDir: string
  readonly uptimeMs: number
  readonly nowMs: number
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
  const quorum = { record, self, connected: replica.peers.connected() }
  return {
    version: 1,
    role: 'data',
    phase: replica.membership.phase,
    volume: { id: record.volumeId, name: record.volumeName },
    member: { id: self, name: own?.name ?? '', incarnation: incarnationOf(replica.writer) },
    mountPoint: source.mountPoint,
    mounted: source.mounted,
    stateDir: source.stateDir,
    pid: process.pid,
    uptimeMs: source.uptimeMs,
    channel: source.channel,
    epoch: record.epoch,
    authority: { id: record.authority, name: authority?.name ?? '', reachable },
    quorum: quorumStatus(quorum),
    leaseLeftMs: Math.floor(replica.membership.leaseLeftMs()),
    lastFailover: lastFailover(replica, source.nowMs),
    catchUp: replica.lags.progress() ?? null,
    members: record.members.map((member) => ({
      ...memberStatus(quorum, member),
      lag: member.id === self ? null : (replica.lags.lagOf(member.id) ?? null),
      roundTripMs: replica.roundTripMs(member.id) ?? null
    })),
    tokens: {
      exclusive: tokens.member.held,
      notes: tokens.member.states,
      waiting: tokens.member.waiting
    },
    locks: source.locks,
    space: { ...replica.space(), inodes: source.inodes },
    damage: replica.damage,
    warnings: [...source.warnings, ...quorumWarnings(quorum)]
  }
}

function lastFailover(replica: Replica, nowMs: number): NodeStatus['lastFailover'] {
  const pause = replica.membership.lastPause
  if (!pause) return null
  const { record } = replica
  const { epoch, authority, authorityBefore, gone, pausedMs, atMs } = pause
  const names = gone.map((id) => nameOf(record, id)).join(', ')
  const parts = gone.length > 0 ? [`${names} lost or left`] : []
  if (authority !== authorityBefore) {
    const [from, to] = [nameOf(record, authorityBefore), nameOf(record, authority)]
    parts.push(`authority ${from} replaced by ${to}`)
  }
  const at = new Date(Date.now() - (nowMs - atMs)).toISOString()
  return { epoch, reason: parts.join(', '), durationMs: pausedMs, at }
}
