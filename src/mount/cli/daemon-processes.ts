/** Daemons as processes: whether one runs, and which. Nothing here can hang on a mount. */
import { readdirSync, readFileSync } from 'node:fs'
import { stateFiles } from '../daemon/state-files.ts'

const POLL_MS = 20
const DAEMON_PROGRAM = '/mount/daemon/main.js'

/** A zombie has ended: when it is reaped is a matter of its parent. */
export function isRunning(pid: number): boolean {
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

/** False when it still runs at the deadline (of performance.now()). */
export async function waitForEnd(pid: number, deadlineMs: number): Promise<boolean> {
  while (isRunning(pid)) {
    if (performance.now() > deadlineMs) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return true
}

interface DaemonProcess {
  readonly pid: number
  readonly stateDir: string
  readonly mountPoint: string
}

/** The daemon that process `pid` is, by how it was called; undefined when it is none. */
function daemonOf(pid: number): DaemonProcess | undefined {
  let args: string[]
  try {
    args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return undefined
  }
  if (!args.some((arg) => arg.endsWith(DAEMON_PROGRAM))) return undefined
  const [stateDir, mountPoint] = args.slice(args.lastIndexOf('--') + 1)
  if (stateDir === undefined || mountPoint === undefined) return undefined
  return { pid, stateDir, mountPoint }
}

/** The process that serves the state directory, if it runs. */
export function daemonServing(stateDir: string): DaemonProcess | undefined {
  let pid: number
  try {
    pid = Number(readFileSync(stateFiles(stateDir).pid, 'utf8').trim())
  } catch {
    return undefined
  }
  if (!Number.isSafeInteger(pid) || pid < 2) return undefined
  const daemon = daemonOf(pid)
  return daemon?.stateDir === stateDir ? daemon : undefined
}

/** The daemon that was started for a mount point, also while nothing is mounted there yet. */
export function daemonFor(mountPoint: string): DaemonProcess | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const daemon = daemonOf(Number(name))
    if (daemon?.mountPoint === mountPoint) return daemon
  }
  return undefined
}
