/** A node's status as text. */
import type { MemberStatus, NodeStatus } from '../daemon/node-api.ts'
import { oneLine } from '../daemon/user-error.ts'
import { formatBytes, formatDuration, formatTable } from './table.ts'

function mountText({ mountPoint, mounted }: NodeStatus): string {
  if (mountPoint === null) return 'nothing: this is a witness'
  return mounted ? mountPoint : `${mountPoint}: NOT MOUNTED, it starts or stops`
}

function authorityText(status: NodeStatus): string {
  const { authority, member } = status
  if (authority.id === member.id) return 'this member is the authority'
  return `authority ${authority.name} (${authority.reachable ? 'reachable' : 'NOT REACHABLE'})`
}

function leaseText({ leaseLeftMs }: NodeStatus): string {
  if (leaseLeftMs === null) return 'not needed'
  return leaseLeftMs > 0 ? `${formatDuration(leaseLeftMs)} left` : 'RUN OUT, nothing is answered'
}

function quorumText({ quorum }: NodeStatus): string {
  const { voters, have, need } = quorum
  const names = voters.map(({ name, weight, reachable }) => {
    return `${name}${weight > 1 ? ` (counts ${weight} times)` : ''}${reachable ? '' : ' (away)'}`
  })
  const verdict = have >= need ? '' : ', NO MAJORITY'
  return `${names.join(', ')}: ${have} reachable, ${need} needed${verdict}`
}

function failoverText({ lastFailover }: NodeStatus): string {
  if (lastFailover === null) return 'none since the start'
  const { at, reason, durationMs, epoch } = lastFailover
  return `${at}: ${reason}; paused ${formatDuration(durationMs)} (epoch ${epoch})`
}

function catchUpText({ entriesLeft, bytesLeft, secondsLeft }: CatchUpStatus): string {
  const eta = secondsLeft === null ? '' : `, about ${secondsLeft} s`
  return `${entriesLeft} entries (${formatBytes(bytesLeft)}) left${eta}`
}

type CatchUpStatus = NonNullable<NodeStatus['catchUp']>

function channelText(channel: NonNullable<NodeStatus['channel']>): string {
  return channel.reason === null ? channel.kind : `${channel.kind} (${channel.reason})`
}

function lagText(lag: MemberStatus['lag']): string {
  if (lag === null) return '-'
  if (lag.entries === 0) return '0'
  return `${lag.entries} (${formatBytes(lag.bytes)}, ${lag.seconds} s)`
}

function memberRow(member: MemberStatus): string[] {
  const isData = member.role === 'data'
  const marks = [member.self ? 'this one' : '', member.authority ? 'authority' : '']
  return [
    member.name,
    member.role,
    isData ? (member.live ? 'live' : 'away') : '-',
    isData ? (member.inSync ? 'in sync' : 'not in sync') : '-',
    member.connection === 'self' ? '-' : member.connection,
    lagText(member.lag),
    member.roundTripMs === null ? '-' : `${member.roundTripMs.toFixed(2)} ms`,
    member.address ?? '-',
    marks.filter((mark) => mark !== '').join(', ')
  ]
}

/** What a witness has not. */
function dataFacts({ space, tokens, locks, channel, catchUp }: NodeStatus): string[][] {
  if (!space || !tokens || !locks) return []
  const available = `${formatBytes(space.availableBytes)} available`
  return [
    ...(catchUp ? [['catch-up', catchUpText(catchUp)]] : []),
    ['tokens', `${tokens.exclusive} exclusive, ${tokens.notes} noted, ${tokens.waiting} waiting`],
    ['locks', `${locks.held} held, ${locks.waiting} waiting`],
    ['space', `${available} of ${formatBytes(space.totalBytes)}, ${space.inodes} inodes`],
    ...(channel ? [['channel', channelText(channel)]] : [])
  ]
}

/** Several lines, without a newline at the end. */
export function formatStatus(status: NodeStatus): string {
  const { volume, member } = status
  const facts = [
    ['volume', `${volume.name} (${volume.id})`],
    ['mounted at', mountText(status)],
    ['member', `${member.name} (${member.id}), incarnation ${member.incarnation}, ${status.phase}`],
    ['epoch', `${status.epoch}, ${authorityText(status)}`],
    ['voters', quorumText(status)],
    ['lease', leaseText(status)],
    ['failover', failoverText(status)],
    ...dataFacts(status),
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
