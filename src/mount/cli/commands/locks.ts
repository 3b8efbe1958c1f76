/** `tandemfs locks`: who holds file locks and who waits, as the daemons of this machine know it. */
import { ControlClient } from '../../daemon/control-client.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import type { LockReport } from '../../daemon/lock-report.ts'
import { UserError } from '../../daemon/user-error.ts'
import type { CommandContext, LocksOptions } from '../command-options.ts'
import { mountAround, mountedVolumes } from '../find-mounts.ts'
import { formatLocks } from '../locks-text.ts'
import { existingVolume } from '../volume-path.ts'

const ANSWER_LIMIT_MS = 30_000

interface Subject {
  readonly name: string
  readonly stateDir: string
  readonly below: string | null
}

/** Every subject is shown before the first error among them is thrown. */
export async function runLocks(options: LocksOptions, context: CommandContext): Promise<number> {
  const shown: string[] = []
  let firstError: unknown
  for (const subject of subjects(options)) {
    try {
      const report = await ask(subject)
      shown.push(options.json ? JSON.stringify(report) : formatLocks(report))
    } catch (error) {
      firstError ??= error
    }
  }
  if (shown.length > 0) context.print(shown.join(options.json ? '\n' : '\n\n'))
  if (firstError !== undefined) throw firstError
  return ExitCode.ok
}

function subjects({ target, dir }: LocksOptions): Subject[] {
  if (target === undefined) {
    const mounted = mountedVolumes()
    if (mounted.length === 0) {
      throw new UserError('notMounted', {
        what: 'locks',
        why: 'no tandemfs volume is mounted on this machine',
        remedy: "mount one with 'tandemfs mount VOLUME MOUNTPOINT'"
      })
    }
    return mounted.map(({ mountPoint, stateDir }) => ({ name: mountPoint, stateDir, below: null }))
  }
  const around = target.includes('/') ? mountAround(target) : undefined
  if (around !== undefined) {
    const { mount, below } = around
    return [{ name: target, stateDir: mount.stateDir, below: below === '' ? null : below }]
  }
  const { stateDir } = existingVolume(target, { dir })
  return [{ name: target, stateDir, below: null }]
}

async function ask({ name, stateDir, below }: Subject): Promise<LockReport> {
  const client = await ControlClient.connect(stateDir)
  if (client === undefined) {
    throw new UserError('notMounted', {
      what: name,
      why: 'no daemon serves it on this machine',
      remedy: `mount it with 'tandemfs mount', see daemon.log in ${stateDir}`
    })
  }
  try {
    return await client.request('locks', { below }, { timeoutMs: ANSWER_LIMIT_MS })
  } finally {
    client.close()
  }
}
