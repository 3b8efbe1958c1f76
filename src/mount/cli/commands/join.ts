/** `tandemfs join`: makes this machine a member of the volume that a join code is for. */
import path from 'node:path'
import { parseInviteCode } from '../../../replication/volume/invite-code.ts'
import { joinVolume } from '../../../replication/volume/join-volume.ts'
import { commandClock } from '../command-clock.ts'
import type { CommandContext, JoinOptions } from '../command-options.ts'
import { silentLogger } from '../silent-logger.ts'
import { usageError } from '../values.ts'
import { volumePath } from '../volume-path.ts'

const INPUT_MAX_BYTES = 16 * 1024

export async function runJoin(options: JoinOptions, context: CommandContext): Promise<number> {
  const code = options.code === '-' ? await readCode() : options.code
  const { volumeName } = parseInviteCode(code)
  const { stateDir, source } = volumePath(volumeName, { dir: path.resolve(options.dir) })
  const { record, member } = await joinVolume(
    code,
    stateDir,
    {
      clock: commandClock,
      // Loaded only for a code of a volume that uses discovery: nothing else knows of a DHT.
      discover: async (call) => {
        const { dialByDiscovery } = await import('../../../replication/transport/discovery.ts')
        return await dialByDiscovery(call, { clock: commandClock, logger: silentLogger })
      }
    },
    {
      memberName: options.name,
      listen: options.listen,
      ...(options.advertise === undefined ? {} : { addresses: options.advertise })
    }
  )
  const self = record.members.find((candidate) => candidate.id === member)
  context.print(`joined volume ${volumeName}: state in ${stateDir}`)
  context.print(`this is member ${self?.name}, reached at ${self?.addresses.join(', ')}`)
  const next = self?.role === 'witness' ? `witness ${source}` : `mount ${source} MOUNTPOINT`
  context.print(`next: tandemfs ${next}`)
  return 0
}

/** `join -` keeps the code out of the process list. */
async function readCode(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin) {
    text += String(chunk)
    if (text.length > INPUT_MAX_BYTES) {
      throw usageError('join -', 'the input is no join code', 'pipe in what invite printed')
    }
  }
  return text.trim()
}
