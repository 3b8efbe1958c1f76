/** `tandemfs status`: asks the daemons of what is mounted, or of one volume. */
import { ControlClient } from '../../daemon/control-client.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import type { NodeStatus } from '../../daemon/node-api.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, StatusOptions } from '../command-options.ts'
import { mountAt, mountedVolumes } from '../find-mounts.ts'
import { formatStatus } from '../status-text.ts'
import { existingVolume } from '../volume-path.ts'

const ANSWER_LIMIT_MS = 5000
const WATCH_INTERVAL_MS = 1000
const CLEAR_SCREEN = '\u001b[H\u001b[2J'

interface Subject {
  readonly name: string
  readonly stateDir: string
  /** Set when this mount was asked for; its daemon may be gone while the mount is there. */
  readonly mountPoint: string | undefined
}

export async function runStatus(options: StatusOptions, context: CommandContext): Promise<number> {
  if (!options.watch) return await showOnce(options, context)
  for (;;) {
    if (process.stdout.isTTY && !options.json) context.print(CLEAR_SCREEN)
    await showOnce(options, context)
    await new Promise((resolve) => setTimeout(resolve, WATCH_INTERVAL_MS))
  }
}

/** Every subject is shown before the first error among them is thrown. */
async function showOnce(options: StatusOptions, context: CommandContext): Promise<number> {
  let code: number = ExitCode.ok
  let firstError: unknown
  const shown: string[] = []
  for (const subject of subjects(options)) {
    try {
      const status = await ask(subject)
      shown.push(options.json ? JSON.stringify(status) : formatStatus(status))
      code = Math.max(code, exitCodeOf(status))
    } catch (error) {
      firstError ??= error
    }
  }
  if (shown.length > 0) context.print(shown.join(options.json ? '\n' : '\n\n'))
  if (firstError !== undefined) throw firstError
  return code
}

/** Not mounted yet is the greater news: nothing of the volume is there to be used. */
function exitCodeOf({ mounted, authority, quorum }: NodeStatus): number {
  if (mounted === false) return ExitCode.notMounted
  const isIsolated = !authority.reachable || quorum.have < quorum.need
  return isIsolated ? ExitCode.noAuthority : ExitCode.ok
}

function subjects(options: StatusOptions): Subject[] {
  const { target, dir } = options
  if (target === undefined) {
    const mounted = mountedVolumes()
    if (mounted.length === 0) {
      throw new UserError('notMounted', {
        what: 'status',
        why: 'no tandemfs volume is mounted on this machine',
        remedy: "mount one with 'tandemfs mount VOLUME MOUNTPOINT'"
      })
    }
    return mounted.map(({ mountPoint, stateDir }) => ({ name: mountPoint, stateDir, mountPoint }))
  }
  const mounted = target.includes('/') ? mountAt(target) : undefined
  if (mounted !== undefined) {
    const { mountPoint, stateDir } = mounted
    return [{ name: mountPoint, stateDir, mountPoint }]
  }
  const { stateDir } = existingVolume(target, { dir })
  return [{ name: target, stateDir, mountPoint: undefined }]
}

async function ask(subject: Subject): Promise<NodeStatus> {
  const client = await ControlClient.connect(subject.stateDir)
  if (client === undefined) throw notServed(subject)
  try {
    const status = await client.request('status', {}, { timeoutMs: ANSWER_LIMIT_MS })
    const elsewhere = subject.mountPoint !== undefined && subject.mountPoint !== status.mountPoint
    if (elsewhere) throw notServed(subject)
    return status
  } finally {
    client.close()
  }
}

function notServed(subject: Subject): UserError {
  if (subject.mountPoint === undefined) {
    return new UserError('notMounted', {
      what: subject.name,
      why: 'not mounted on this machine',
      remedy: `mount it with 'tandemfs mount ${subject.name} MOUNTPOINT'`
    })
  }
  return new UserError('notMounted', {
    what: subject.name,
    why: 'its daemon has ended, the mount is dead',
    remedy: `mount it again with 'tandemfs mount', see daemon.log in ${subject.stateDir}`
  })
}
