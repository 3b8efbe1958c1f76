/** `mount.tandemfs` and `umount.tandemfs`: the commands as mount(8) and umount(8) want them. */
import { explainError } from '../daemon/explain-error.ts'
import { parseMountRequest } from '../daemon/mount-options.ts'
import { errorLine } from '../daemon/user-error.ts'
import { canonicalMountPoint } from '../mounting/mount-point.ts'
import { runMount } from './commands/mount.ts'
import { runRemount } from './commands/remount.ts'
import { runUnmount } from './commands/unmount.ts'
import { parseMountHelper, parseUmountHelper } from './helper-arguments.ts'
import { HelperExit, helperExit } from './helper-exit.ts'
import { DEFAULT_DIR, existingVolume } from './volume-path.ts'

const UNMOUNT_LIMIT_MS = 60_000

const silent = { print: () => {} }

/** Resolves with the exit code of mount(8); the error has been printed. */
export function mountHelper(args: readonly string[]): Promise<number> {
  return answered('mount.tandemfs', async (say) => {
    const { volume, mountPoint, lists, sloppy, fake, verbose } = parseMountHelper(args)
    const { settings, remount } = parseMountRequest(lists, { sloppy })
    const done = (what: string): void => {
      if (verbose) say(`${volume} ${what} ${mountPoint}`)
    }
    if (remount) {
      if (!fake) await runRemount({ mountPoint, lists, sloppy })
      done(fake ? 'could be remounted at' : 'remounted at')
      return HelperExit.ok
    }
    const { stateDir } = existingVolume(volume, { dir: DEFAULT_DIR })
    if (fake) {
      canonicalMountPoint(mountPoint)
      done(`(state in ${stateDir}) could be mounted at`)
      return HelperExit.ok
    }
    const common = { dir: DEFAULT_DIR, foreground: false, fstab: false, logLevel: 'info' } as const
    await runMount({ ...common, volume, mountPoint, settings }, silent)
    done('mounted at')
    return HelperExit.ok
  })
}

/** Resolves with the exit code of umount(8); the error has been printed. */
export function umountHelper(args: readonly string[]): Promise<number> {
  return answered('umount.tandemfs', async (say) => {
    const { mountPoint, lazy, verbose } = parseUmountHelper(args)
    const options = { mountPoint, lazy, timeoutMs: UNMOUNT_LIMIT_MS }
    await runUnmount(options, verbose ? { print: say } : silent)
    if (verbose) say(`${mountPoint} unmounted`)
    return HelperExit.ok
  })
}

async function answered(
  program: string,
  run: (say: (text: string) => void) => Promise<number>
): Promise<number> {
  // The daemon breaks its start off when its launcher is gone.
  process.on('SIGINT', () => process.exit(HelperExit.interrupted))
  try {
    return await run((text) => process.stdout.write(`${program}: ${text}\n`))
  } catch (error) {
    const explained = explainError(error, program)
    process.stderr.write(`${errorLine(explained)}\n`)
    return helperExit(explained)
  }
}
