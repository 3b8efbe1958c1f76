/** `mount -o remount,...`: other options for a mount that is there, in kernel and daemon. */
import { ControlClient } from '../../daemon/control-client.ts'
import { ExitCode } from '../../daemon/exit-codes.ts'
import {
  formatMountOptions,
  parseMountOptions,
  parseMountRequest
} from '../../daemon/mount-options.ts'
import { assertChangeable, kernelFlags } from '../../daemon/settings.ts'
import { UserError } from '../../daemon/user-error.ts'
import { remount } from '../../mounting/remount.ts'
import { mountAt } from '../find-mounts.ts'

const ANSWER_LIMIT_MS = 10_000

export interface RemountOptions {
  readonly mountPoint: string
  /** Lists of options; what they do not name stays as it is. */
  readonly lists: readonly string[]
  readonly sloppy: boolean
}

/** Throws UserError or MountError; the mount is then as it was. */
export async function runRemount(options: RemountOptions): Promise<number> {
  const { lists, sloppy } = options
  const mounted = mountAt(options.mountPoint)
  const client = mounted && (await ControlClient.connect(mounted.stateDir))
  if (mounted === undefined || client === undefined) {
    throw new UserError('notMounted', {
      what: `remount ${options.mountPoint}`,
      why: mounted ? 'its daemon has ended, the mount is dead' : 'no tandemfs volume is there',
      remedy: "mount it with 'tandemfs mount'"
    })
  }
  const configure = async (text: string | null): Promise<string> => {
    const limit = { timeoutMs: ANSWER_LIMIT_MS }
    return (await client.request('configure', { options: text }, limit)).options
  }
  try {
    const before = parseMountOptions([await configure(null)].filter((list) => list !== ''))
    const { settings } = parseMountRequest(lists, { base: before, sloppy })
    assertChangeable(before, settings)
    await remount(mounted.mountPoint, kernelFlags(settings))
    await configure(formatMountOptions(settings))
    return ExitCode.ok
  } finally {
    client.close()
  }
}
