/** `tandemfs witness`: starts the daemon of a member that only votes, or ends it. */
import { ControlClient } from '../../daemon/control-client.ts'
import { launchDaemon } from '../../daemon/launch.ts'
import { DEFAULT_SETTINGS } from '../../daemon/mount-options.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, WitnessOptions } from '../command-options.ts'
import { waitForEnd } from '../daemon-processes.ts'
import { existingVolume, requireRole } from '../volume-path.ts'

const STOP_LIMIT_MS = 20_000

export async function runWitness(
  options: WitnessOptions,
  _context: CommandContext
): Promise<number> {
  const { volume, dir, foreground, logLevel } = options
  const { stateDir, source } = existingVolume(volume, { dir })
  requireRole(stateDir, volume, 'witness')
  if (options.stop) return await stopWitness(volume, stateDir)
  const client = await ControlClient.connect(stateDir)
  if (client) {
    client.close()
    throw new UserError('alreadyRunning', {
      what: `witness ${volume}`,
      why: 'it runs on this machine already',
      remedy: `see 'tandemfs status ${volume}'`
    })
  }
  const launched = await launchDaemon({
    stateDir,
    mountPoint: stateDir,
    source,
    settings: DEFAULT_SETTINGS,
    foreground,
    logLevel,
    witness: true
  })
  return foreground ? await launched.ended : 0
}

async function stopWitness(volume: string, stateDir: string): Promise<number> {
  const what = `witness ${volume}`
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) {
    const remedy = `start it with 'tandemfs witness ${volume}'`
    throw new UserError('notMounted', { what, why: 'it does not run here', remedy })
  }
  try {
    const limit = { timeoutMs: STOP_LIMIT_MS }
    const { pid } = await client.request('stop', { lazy: true }, limit)
    if (await waitForEnd(pid, performance.now() + STOP_LIMIT_MS)) return 0
    const remedy = `see daemon.log in ${stateDir}`
    throw new UserError('timeout', { what, why: `process ${pid} does not end`, remedy })
  } finally {
    client.close()
  }
}
