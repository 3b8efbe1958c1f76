/**
 * `tandemfs unmount`: asks the daemon to drain and unmount and waits until it has ended. Every state
 * of the daemon has its end here: one that has only begun breaks its start off; the mount of a dead
 * one is detached; one that does not answer at all (stopped, or stuck in its disk) is ended like a
 * crash, from which its journal brings everything back.
 */
import { ControlClient } from '../../daemon/control-client.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import { UserError } from '../../daemon/user-error.ts'
import { abortConnection, detach } from '../../mounting/unmount.ts'
import type { CommandContext, UnmountOptions } from '../command-options.ts'
import { daemonFor, daemonServing, waitForEnd } from '../daemon-processes.ts'
import { canonicalPath, type MountedVolume, mountAt } from '../find-mounts.ts'

/** A daemon that says nothing for so long counts as frozen; a busy one answers much sooner. */
const SILENCE_MS = 6000
const KILLED_LIMIT_MS = 2000

interface Target {
  readonly mountPoint: string
  readonly stateDir: string
  /** Undefined while the daemon has not mounted yet. */
  readonly mounted: MountedVolume | undefined
}

export async function runUnmount(
  options: UnmountOptions,
  context: CommandContext
): Promise<number> {
  const target = find(options.mountPoint)
  const { mounted, stateDir } = target
  const deadlineMs = performance.now() + options.timeoutMs
  const client = await connect(stateDir)
  if (client === undefined) {
    const daemon = daemonServing(stateDir) ?? daemonFor(target.mountPoint)
    if (daemon) return await endWithoutSocket(target, daemon.pid, context)
    return mounted ? await detachDead(mounted, context) : ExitCode.ok
  }
  if (client === 'silent') return await endSilent(target, context)
  try {
    const state = await probe(client, target)
    if (state === 'elsewhere' && mounted) return await detachDead(mounted, context)
    if (state === 'silent') return await endSilent(target, context)
    const params = { lazy: options.lazy }
    const { pid } = await client.request('stop', params, { timeoutMs: options.timeoutMs })
    if (await waitForEnd(pid, deadlineMs)) return ExitCode.ok
    throw new UserError('timeout', {
      what: `unmount ${target.mountPoint}`,
      why: `unmounted, but its daemon (process ${pid}) has not ended`,
      remedy: `see daemon.log in ${stateDir}`
    })
  } catch (error) {
    if (!isTimeout(error)) throw error
    if (options.lazy && mounted) return await detachUnanswered(mounted, error)
    throw notDone(target, options, error)
  } finally {
    client.close()
  }
}

function find(path: string): Target {
  const mounted = mountAt(path)
  if (mounted) return { mountPoint: mounted.mountPoint, stateDir: mounted.stateDir, mounted }
  const daemon = daemonFor(canonicalPath(path))
  if (daemon) {
    const { mountPoint, stateDir } = daemon
    return { mountPoint, stateDir, mounted: undefined }
  }
  throw new UserError('notMounted', {
    what: `unmount ${path}`,
    why: 'no tandemfs volume is mounted there',
    remedy: "see 'tandemfs status'"
  })
}

/** Undefined when nobody listens. */
async function connect(stateDir: string): Promise<ControlClient | 'silent' | undefined> {
  try {
    return await ControlClient.connect(stateDir)
  } catch (error) {
    if (isTimeout(error)) return 'silent'
    throw error
  }
}

/** Whether the daemon answers, and whether it is the one of this mount. */
async function probe(
  client: ControlClient,
  target: Target
): Promise<'here' | 'elsewhere' | 'silent'> {
  try {
    const status = await client.request('status', {}, { timeoutMs: SILENCE_MS })
    return status.mountPoint === target.mountPoint ? 'here' : 'elsewhere'
  } catch (error) {
    if (isTimeout(error)) return 'silent'
    // A daemon that cannot answer this may still be able to stop.
    if (error instanceof UserError) return 'here'
    throw error
  }
}

async function detachDead(mounted: MountedVolume, context: CommandContext): Promise<number> {
  await detach(mounted.mountPoint)
  context.print(`detached ${mounted.mountPoint}; its daemon had ended before`)
  return ExitCode.ok
}

/** It does not listen yet, or somebody removed its socket: a signal asks it the same. */
async function endWithoutSocket(
  target: Target,
  pid: number,
  context: CommandContext
): Promise<number> {
  process.kill(pid, 'SIGTERM')
  if (await waitForEnd(pid, performance.now() + SILENCE_MS)) return ExitCode.ok
  return await endFrozen(target, pid, context)
}

async function endSilent(target: Target, context: CommandContext): Promise<number> {
  const daemon = daemonServing(target.stateDir)
  if (daemon) return await endFrozen(target, daemon.pid, context)
  throw new UserError('timeout', {
    what: `unmount ${target.mountPoint}`,
    why: 'its daemon does not answer, and which process it is cannot be found',
    remedy: `see daemon.pid and daemon.log in ${target.stateDir}`
  })
}

async function endFrozen(target: Target, pid: number, context: CommandContext): Promise<number> {
  const { mountPoint, mounted } = target
  if (mounted) {
    // Whoever waits for an answer of it gets an error now; then nothing holds the mount.
    await abortConnection(mountPoint, mounted.minor)
    if (mountAt(mountPoint)?.minor === mounted.minor) await detach(mountPoint)
  }
  process.kill(pid, 'SIGKILL')
  if (await waitForEnd(pid, performance.now() + KILLED_LIMIT_MS)) {
    context.print(`detached ${mountPoint}; its daemon did not answer and was ended`)
    return ExitCode.ok
  }
  throw new UserError('timeout', {
    what: `unmount ${mountPoint}`,
    why: `unmounted, but its daemon (process ${pid}) does not end even when it is killed`,
    remedy: 'look at the disk of its state directory'
  })
}

function isTimeout(error: unknown): error is UserError {
  return error instanceof UserError && error.exitCode === ExitCode.timeout
}

function notDone(target: Target, { timeoutMs }: UnmountOptions, cause: UserError): UserError {
  const what = `unmount ${target.mountPoint}`
  if (target.mounted && mountAt(target.mountPoint)?.minor !== target.mounted.minor) {
    const why = `unmounted, but its daemon has not ended: ${cause.why}`
    const remedy = `see daemon.log in ${target.stateDir}`
    return new UserError('timeout', { what, why, remedy }, { cause })
  }
  const why = `not done within ${timeoutMs / 1000} s`
  const remedy = 'give it more with --timeout, or detach it with --lazy'
  return new UserError('timeout', { what, why, remedy }, { cause })
}

async function detachUnanswered(mounted: MountedVolume, error: UserError): Promise<number> {
  if (mountAt(mounted.mountPoint)?.minor === mounted.minor) await detach(mounted.mountPoint)
  throw new UserError(
    'timeout',
    {
      what: `unmount ${mounted.mountPoint}`,
      why: 'detached, but its daemon did not end',
      remedy: `see daemon.pid and daemon.log in ${mounted.stateDir}`
    },
    { cause: error }
  )
}
