/** `tandemfs mount`: checks what can be checked here, then starts the daemon and waits for it. */
import { ControlClient } from '../../daemon/control-client.ts'
import { launchDaemon } from '../../daemon/launch.ts'
import { UserError } from '../../daemon/user-error.ts'
import { prepareMountPoint } from '../../mounting/mount-point.ts'
import type { CommandContext, MountOptions } from '../command-options.ts'
import { existingVolume } from '../volume-path.ts'

export async function runMount(options: MountOptions, _context: CommandContext): Promise<number> {
  const { stateDir, source } = existingVolume(options.volume, { dir: options.dir })
  await requireNotRunning(options.volume, stateDir)
  const mountPoint = await prepareMountPoint(options.mountPoint, { stateDirectory: stateDir })
  const { settings, foreground, logLevel } = options
  const daemon = { stateDir, mountPoint, source, settings, foreground, logLevel }
  const launched = await launchDaemon(daemon)
  return foreground ? await launched.ended : 0
}

async function requireNotRunning(volume: string, stateDir: string): Promise<void> {
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) return
  client.close()
  throw new UserError('alreadyRunning', {
    what: `mount ${volume}`,
    why: 'the volume is mounted on this machine already',
    remedy: `see 'tandemfs status ${volume}'`
  })
}
