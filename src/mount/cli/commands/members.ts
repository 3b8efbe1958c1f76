/** `tandemfs members`: the list from the record file; changes by the running daemon. */
import { loadRecord } from '../../../replication/volume/volume-files.ts'
import { ControlClient } from '../../daemon/control-client.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, MembersOptions } from '../command-options.ts'
import { formatTable } from '../table.ts'
import { existingVolume } from '../volume-path.ts'

const CHANGE_LIMIT_MS = 60_000

export async function runMembers(
  options: MembersOptions,
  context: CommandContext
): Promise<number> {
  const { stateDir } = existingVolume(options.volume, { dir: options.dir })
  const { change } = options
  if (change !== undefined) {
    await changeMembers(options.volume, stateDir, change)
    context.print(describeChange(options.volume, change))
    return 0
  }
  const record = loadRecord(stateDir)
  const rows = record.members.map((member) => [
    String(member.id),
    member.name,
    member.role,
    record.inSync.includes(member.id) ? 'in sync' : 'not in sync',
    member.addresses.join(','),
    `${member.publicKey.slice(0, 16)}`,
    [
      member.id === record.authority ? 'authority' : '',
      member.id === record.tieBreaker ? 'tie-breaker' : ''
    ]
      .filter((mark) => mark !== '')
      .join(', ')
  ])
  context.print(formatTable([['ID', 'NAME', 'ROLE', 'SYNC', 'ADDRESSES', 'KEY', ''], ...rows]))
  return 0
}

type Change = NonNullable<MembersOptions['change']>

function describeChange(volume: string, change: Change): string {
  if (change.kind === 'remove') return `removed ${change.name} from ${volume}`
  if (change.name === null) return `no vote counts twice in ${volume}`
  return `the vote of ${change.name} counts twice in ${volume} where the number of voters is even`
}

async function changeMembers(volume: string, stateDir: string, change: Change): Promise<void> {
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) {
    throw new UserError('notMounted', {
      what: `members ${volume}`,
      why: 'it is not mounted here, and only running members can agree on a change',
      remedy: 'run it on a machine where it is mounted'
    })
  }
  const limit = { timeoutMs: CHANGE_LIMIT_MS }
  try {
    const { name } = change
    if (change.kind === 'tie-breaker') await client.request('setTieBreaker', { name }, limit)
    else await client.request('removeMember', { name: change.name }, limit)
  } finally {
    client.close()
  }
}
