/**
 * `tandemfs unmount`: asks the daemon to drain and unmount and waits until it has ended. A mount
 * whose daemon is dead is detached; with --lazy also one whose daemon does not answer.
 */
import { readFileSync } from 'node:fs'
import { ControlClient } from '../../daemon/control-client.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import { UserError } from '../../daemon/user-error.ts'
import { detach } from '../../mounting/unmount.ts'
import type { CommandContext, UnmountOptions } from '../command-options.ts'
import { type MountedVolume, mountAt } from '../find-mounts.ts'

const POLL_MS = 20
const STATUS_LIMIT_MS = 3000

export async function runUnmount(
  options: UnmountOptions,
  context: CommandContext
): Promise<number> {
  const mounted = mountAt(options.mountPoint)
  if (mounted === undefined) {
    throw new UserError('notMounted', {
      what: `unmount ${options.mountPoint}`,
      why: 'no tandemfs volume is mounted there',
      remedy: "see 'tandemfs status'"
    })
  }
  const deadlineMs = performance.now() + options.timeoutMs
  const client = await ControlClient.connect(mounted.stateDir)
  if (client === undefined) return await detachDead(mounted, context)
  try {
    if (await servesElsewhere(client, mounted)) return await detachDead(mounted, context)
    const params = { lazy: options.lazy }
    const { pid } = await client.request('stop', params, { timeoutMs: options.timeoutMs })
    await waitForEnd(pid, deadlineMs, mounted)
    return ExitCode.ok
  } catch (error) {
    if (!isTimeout(error)) throw error
    if (options.lazy) return await detachUnanswered(mounted, error)
    throw new UserError(
      'timeout',
      {
        what: `unmount ${mounted.mountPoint}`,
        why: `not done within ${options.timeoutMs / 1000} s`,
        remedy: 'give it more with --timeout, or detach it with --lazy'
      },
      { cause: error }
    )
  } finally {
    client.close()
  }
}

async function detachDead(mounted: MountedVolume, context: CommandContext): Promise<number> {
  await detach(mounted.mountPoint)
  context.print(`detached ${mounted.mountPoint}; its daemon had ended before`)
  return ExitCode.ok
}

/** The daemon of the state directory is a later one, that mounted the volume at another place. */
async function servesElsewhere(client: ControlClient, mounted: MountedVolume): Promise<boolean> {
  try {
    const status = await client.request('status', {}, { timeoutMs: STATUS_LIMIT_MS })
    return status.mountPoint !== mounted.mountPoint
  } catch (error) {
    // A daemon that cannot answer this may still be able to stop.
    if (error instanceof UserError) return false
    throw error
  }
}

function isTimeout(error: unknown): error is UserError {
  return error instanceof UserError && error.exitCode === ExitCode.timeout
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

/** A zombie has ended: when it is reaped is a matter of its new parent. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch (error) {
    if (error instanceof Error && 'code' in error) {
      if (error.code === 'ENOENT' || error.code === 'ESRCH') return false
    }
    throw error
  }
}

async function waitForEnd(pid: number, deadlineMs: number, mounted: MountedVolume): Promise<void> {
  while (isRunning(pid)) {
    if (performance.now() > deadlineMs) {
      throw new UserError('timeout', {
        what: `unmount ${mounted.mountPoint}`,
        why: `unmounted, but its daemon (process ${pid}) has not ended`,
        remedy: `see daemon.log in ${mounted.stateDir}`
      })
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
