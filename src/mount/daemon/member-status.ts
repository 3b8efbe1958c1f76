/** What any member, a witness too, tells of another one in `status`. */
import { memberOf } from '../../fs/primitives.ts'
import type { MemberInfo } from '../../replication/record.ts'
import type { MemberStatus } from './node-api.ts'
import type { QuorumSource } from './quorum-status.ts'

export function memberStatus(
  { record, self, connected }: QuorumSource,
  { id, name, role, addresses }: MemberInfo
): Omit<MemberStatus, 'lag' | 'roundTripMs'> {
  const isSelf = id === self
  return {
    id,
    name,
    role,
    self: isSelf,
    authority: record.authority === id,
    live: record.live.some((writer) => memberOf(writer) === id),
    inSync: record.inSync.includes(id),
    connection: isSelf ? 'self' : connected.includes(id) ? 'connected' : 'disconnected',
    address: addresses[0] ?? null
  }
}
