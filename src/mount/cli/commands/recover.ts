/**
 * `tandemfs recover`: goes on with what this member has when too many of the others are gone for
 * good. Without --accept-loss it only says what that would mean.
 */
import { ControlClient } from '../../daemon/control-client.ts'
import { carryOutRecovery, planRecovery, type RecoveryPlan } from '../../daemon/recover-volume.ts'
import { StateLock } from '../../daemon/state-lock.ts'
import { UserError } from '../../daemon/user-error.ts'
import { commandClock } from '../command-clock.ts'
import type { CommandContext, RecoverOptions } from '../command-options.ts'
import { silentLogger } from '../silent-logger.ts'
import { existingVolume, requireRole } from '../volume-path.ts'

export async function runRecover(
  options: RecoverOptions,
  context: CommandContext
): Promise<number> {
  const { volume, dir, acceptLoss } = options
  const { stateDir, source } = existingVolume(volume, { dir })
  requireRole(stateDir, volume, 'data')
  const client = await ControlClient.connect(stateDir)
  if (client) {
    client.close()
    throw new UserError('alreadyRunning', {
      what: `recover ${volume}`,
      why: 'it is mounted here',
      remedy: 'unmount it first; while a majority can be reached there is nothing to recover'
    })
  }
  const lock = StateLock.acquire(stateDir)
  try {
    const plan = await planRecovery(stateDir, { clock: commandClock, logger: silentLogger })
    for (const line of describe(plan)) context.print(line)
    if (!acceptLoss) {
      throw new UserError('usage', {
        what: `recover ${volume}`,
        why: 'nothing was changed',
        remedy: `say 'tandemfs recover ${volume} --accept-loss' if the others will never come back`
      })
    }
    carryOutRecovery(stateDir, plan)
  } finally {
    lock.release()
  }
  context.print(`next: tandemfs mount ${source} MOUNTPOINT, then invite new members`)
  return 0
}

function describe({ before, after, wasInSync, missingBytes }: RecoveryPlan): string[] {
  const [self] = after.members
  const others = before.members.filter((member) => member.id !== self?.id)
  const names = others.map((member) => member.name).join(', ') || 'nobody'
  const inSync = before.members.filter((member) => before.inSync.includes(member.id))
  return [
    `${self?.name} goes on alone with what it has, from epoch ${before.epoch} on`,
    `removed for good, their keys refused: ${names}`,
    wasInSync
      ? 'it was in sync: of what fsync has acknowledged nothing is lost that it knows of'
      : `it was NOT in sync (${inSync.map((member) => member.name).join(', ')} was): whatever was written since it fell behind is lost, also what fsync has acknowledged`,
    'what the others wrote and it never received is lost',
    ...(missingBytes === 0
      ? []
      : [`${missingBytes} bytes of files never came here: reading them will fail with EIO`])
  ]
}
