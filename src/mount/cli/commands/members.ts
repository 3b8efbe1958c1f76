/** `tandemfs members`: the list from the running daemon or the record file; removal by the daemon. */
import { loadRecord } from '../../../replication/volume/volume-files.ts'
import { ControlClient } from '../../daemon/control-client.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, MembersOptions } from '../command-options.ts'
import { formatTable } from '../table.ts'
import { existingVolume } from '../volume-path.ts'

const REMOVE_LIMIT_MS = 60_000

export async function runMembers(
  options: MembersOptions,
  context: CommandContext
): Promise<number> {
  const { stateDir } = existingVolume(options.volume, { dir: options.dir })
  if (options.remove !== undefined) {
    await removeMember(options.volume, stateDir, options.remove)
    context.print(`removed ${options.remove} from ${options.volume}`)
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
    member.id === record.authority ? 'authority' : ''
  ])
  context.print(formatTable([['ID', 'NAME', 'ROLE', 'SYNC', 'ADDRESSES', 'KEY', ''], ...rows]))
  return 0
}

async function removeMember(volume: string, stateDir: string, name: string): Promise<void> {
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) {
    throw new UserError('notMounted', {
      what: `remove ${name}`,
      why: `${volume} is not mounted here, and only a running authority can remove a member`,
      remedy: 'mount it at the authority and remove the member there'
    })
  }
  try {
    await client.request('removeMember', { name }, { timeoutMs: REMOVE_LIMIT_MS })
  } finally {
    client.close()
  }
}
