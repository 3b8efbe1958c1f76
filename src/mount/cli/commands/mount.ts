/** `tandemfs mount`: checks what can be checked here, then starts the daemon and waits for it. */
import path from 'node:path'
import { ControlClient } from '../../daemon/control-client.ts'
import { BEING_UNMOUNTED } from '../../daemon/control-protocol.ts'
import { checkDriver, driverWarnings } from '../../daemon/driver-limits.ts'
import { launchDaemon } from '../../daemon/launch.ts'
import { type MountSettings, parseMountOptions } from '../../daemon/mount-options.ts'
import { UserError } from '../../daemon/user-error.ts'
import { prepareMountPoint } from '../../mounting/mount-point.ts'
import { findMount } from '../../mounting/mountinfo.ts'
import type { CommandContext, MountOptions } from '../command-options.ts'
import { daemonServing, waitForEnd } from '../daemon-processes.ts'
import { entryAt, isOurs } from '../fstab/fstab-file.ts'
import { SystemFiles } from '../fstab/system-files.ts'
import { existingVolume, requireRole } from '../volume-path.ts'

const ANSWER_LIMIT_MS = 5000
const PAUSE_MS = 20

export async function runMount(options: MountOptions, _context: CommandContext): Promise<number> {
  const { stateDir, source } = existingVolume(options.volume, { dir: options.dir })
  const { foreground, logLevel } = options
  const settings = options.fstab ? settingsOfFstab(options.mountPoint) : options.settings
  checkDriver(settings)
  requireRole(stateDir, options.volume, 'data')
  const deadlineMs = performance.now() + settings.mountTimeoutMs
  while (await isEnding(options.volume, stateDir)) await waitUntilEnded(stateDir, deadlineMs)
  const mountPoint = await prepareMountPoint(options.mountPoint, { stateDirectory: stateDir })
  const daemon = { stateDir, mountPoint, source, settings, foreground, logLevel, witness: false }
  const launched = await launchDaemon(daemon)
  for (const line of driverWarnings(settings)) process.stderr.write(`tandemfs: warning: ${line}\n`)
  return foreground ? await launched.ended : 0
}

function settingsOfFstab(mountPoint: string): MountSettings {
  const files = new SystemFiles('/')
  const entry = entryAt(files.readFstab(), path.resolve(mountPoint))
  if (entry !== undefined && isOurs(entry)) return parseMountOptions([entry.options])
  throw new UserError('usage', {
    what: `mount ${mountPoint} --fstab`,
    why: `${files.fstab} has no line of type tandemfs for it`,
    remedy: "make one with 'tandemfs fstab --install'"
  })
}

/**
 * False when no daemon serves the volume, true when one is about to end (somebody has just
 * unmounted it). Throws UserError 'alreadyRunning' when it is mounted.
 */
async function isEnding(volume: string, stateDir: string): Promise<boolean> {
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) return false
  try {
    const limit = { timeoutMs: ANSWER_LIMIT_MS }
    const { mountPoint, phase } = await client.request('status', {}, limit)
    const isUp = phase === 'live' || phase === 'sealed'
    if (mountPoint !== null && isUp && findMount(mountPoint) === undefined) return true
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    if (error.why === BEING_UNMOUNTED) return true
  } finally {
    client.close()
  }
  throw new UserError('alreadyRunning', {
    what: `mount ${volume}`,
    why: 'the volume is mounted on this machine already',
    remedy: `see 'tandemfs status ${volume}'`
  })
}

async function waitUntilEnded(stateDir: string, deadlineMs: number): Promise<void> {
  const daemon = daemonServing(stateDir)
  if (daemon === undefined) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  const isOver = performance.now() > deadlineMs
  if (!isOver && (daemon === undefined || (await waitForEnd(daemon.pid, deadlineMs)))) return
  throw new UserError('timeout', {
    what: `mount ${stateDir}`,
    why: 'its last daemon has been unmounted but does not end',
    remedy: `see daemon.log in ${stateDir}`
  })
}
