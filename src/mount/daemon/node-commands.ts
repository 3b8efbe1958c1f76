/** What the commands ask of a member that serves: its locks, invitations, changes of the members. */
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { MemberChange } from '../../replication/epoch/member-change.ts'
import { MemberChangeError } from '../../replication/epoch/member-change.ts'
import type { Replica } from '../../replication/replica/replica.ts'
import { VolumeError } from '../../replication/volume/volume-error.ts'
import type { Incarnation } from './incarnation.ts'
import { type LockReport, lockRows } from './lock-report.ts'
import type { InviteRequest } from './node-api.ts'
import { nameOf } from './quorum-status.ts'
import { UserError } from './user-error.ts'

/** Every live member is asked; see `LockReport`. */
export async function lockReport(
  { replica, state }: Incarnation,
  mountPoint: string,
  below: string | undefined
): Promise<LockReport> {
  const { record, self } = replica
  const named = (id: MemberId): string => nameOf(record, id)
  const { rows, silent } = await replica.survey.ask()
  const { locks, omitted } = await lockRows({ rows, state, nameOf: named }, below)
  const away = record.live.map(memberOf).filter((id) => {
    return id !== self && (silent.includes(id) || !replica.peers.connected().includes(id))
  })
  const volume = record.volumeName
  const report = { version: 1, volume, member: named(self), mountPoint, locks, omitted } as const
  return { ...report, silent: away.map(named) }
}

export async function invite(replica: Replica, request: InviteRequest): Promise<string> {
  const { role, ttlMs } = request
  return await replica.invitations.invite({ role, ttlMs })
}

/** Resolves when a record without it is chosen. */
export async function removeMember(replica: Replica, name: string): Promise<void> {
  const change = { kind: 'remove', id: idOf(replica, name) } as const
  await changeMembers(replica, `members remove ${name}`, change)
}

/** `name` null = nobody is the tie-breaker. Resolves when a record that says so is chosen. */
export async function setTieBreaker(replica: Replica, name: string | null): Promise<void> {
  const id = name === null ? {} : { id: idOf(replica, name) }
  await changeMembers(replica, 'members tie-breaker', { kind: 'tie-breaker', ...id })
}

function idOf({ record }: Replica, name: string): MemberId {
  const member = record.members.find((m) => m.name === name)
  if (member) return member.id
  throw new VolumeError('not-found', `members: there is no member named ${name}: see 'members'`)
}

async function changeMembers(replica: Replica, what: string, change: MemberChange): Promise<void> {
  try {
    await replica.changeMembers(change)
  } catch (error) {
    if (!(error instanceof MemberChangeError)) throw error
    const isConflict = error.code === 'conflict'
    const remedy = isConflict
      ? "see 'tandemfs members'; an authority hands over when it is unmounted"
      : "see 'tandemfs status', and try again when there is a majority"
    const exit = isConflict ? 'usage' : 'noAuthority'
    throw new UserError(exit, { what, why: error.message, remedy }, { cause: error })
  }
}
