/** `tandemfs create`: a new volume with this machine as its first member. */
import { createVolume } from '../../../replication/volume/create-volume.ts'
import type { CommandContext, CreateOptions } from '../command-options.ts'
import { memberNameOfHost } from '../member-name.ts'
import { usageError } from '../values.ts'
import { volumePath } from '../volume-path.ts'

export async function runCreate(options: CreateOptions, context: CommandContext): Promise<number> {
  const { volume, dir, listen, advertise, bootstrap } = options
  if (volume.includes('/')) {
    throw usageError(`create '${volume}'`, 'a volume name has no slash', 'give the folder by --dir')
  }
  const { stateDir, source } = volumePath(volume, { dir })
  const record = await createVolume(stateDir, {
    name: volume,
    memberName: memberNameOfHost(),
    listen,
    ...(advertise === undefined ? {} : { addresses: advertise }),
    ...(bootstrap === undefined ? {} : { discovery: { bootstrap } })
  })
  const [self] = record.members
  context.print(`created volume ${volume}: state in ${stateDir}`)
  context.print(`this is member ${self?.name}, reached at ${self?.addresses.join(', ')}`)
  context.print(`next: tandemfs mount ${source} MOUNTPOINT`)
  return 0
}
