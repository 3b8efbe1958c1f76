/** A node's status as text. */
import type { MemberStatus, NodeStatus } from '../daemon/node-api.ts'
import { oneLine } from '../daemon/user-error.ts'
import { formatBytes, formatDuration, formatTable } from './table.ts'

function authorityText(status: NodeStatus): string {
  const { authority, member } = status
  if (authority.id === member.id) return 'this member is the authority'
  return `authority ${authority.name} (${authority.reachable ? 'reachable' : 'NOT REACHABLE'})`
}

function leaseText(leaseLeftMs: number | null): string {
  if (leaseLeftMs === null) return 'not needed'
  return leaseLeftMs > 0 ? `${formatDuration(leaseLeftMs)} left` : 'RUN OUT, nothing is answered'
}

function channelText(channel: NodeStatus['channel']): string {
  return channel.reason === null ? channel.kind : `${channel.kind} (${channel.reason})`
}

function memberRow(member: MemberStatus): string[] {
  const marks = [member.self ? 'this one' : '', member.authority ? 'authority' : '']
  return [
    member.name,
    member.role,
    member.live ? 'live' : 'away',
    member.inSync ? 'in sync' : 'not in sync',
    member.connection === 'self' ? '-' : member.connection,
    member.lagEntries === null ? '-' : String(member.lagEntries),
    member.roundTripMs === null ? '-' : `${member.roundTripMs.toFixed(1)} ms`,
    member.address ?? '-',
    marks.filter((mark) => mark !== '').join(', ')
  ]
}

/** Several lines, without a newline at the end. */
export function formatStatus(status: NodeStatus): string {
  const { volume, member, space, tokens, locks } = status
  const facts = [
    ['volume', `${volume.name} (${volume.id})`],
    ['mounted at', status.mountPoint],
    ['member', `${member.name} (${member.id}), incarnation ${member.incarnation}`],
    ['epoch', `${status.epoch}, ${authorityText(status)}`],
    ['lease', leaseText(status.leaseLeftMs)],
    ['tokens', `${tokens.exclusive} exclusive, ${tokens.notes} noted, ${tokens.waiting} waiting`],
    ['locks', `${locks.held} held, ${locks.waiting} waiting`],
    [
      'space',
      `${formatBytes(space.availableBytes)} available of ${formatBytes(space.totalBytes)}, ${space.inodes} inodes`
    ],
    ['channel', channelText(status.channel)],
    ['daemon', `process ${status.pid}, up ${formatDuration(status.uptimeMs)}`],
    ['state', status.stateDir]
  ]
  const heading = ['MEMBER', 'ROLE', 'LIVE', 'SYNC', 'CONNECTION', 'LAG', 'PING', 'ADDRESS', '']
  const members = formatTable([heading, ...status.members.map(memberRow)])
  const notes = [
    ...status.damage.map((text) => `DAMAGE: ${oneLine(text)}`),
    ...status.warnings.map((text) => `warning: ${oneLine(text)}`)
  ]
  return [formatTable(facts), '', members, ...notes].join('\n')
}
