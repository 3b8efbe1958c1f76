/**
 * Starts the daemon process and waits until it says that it is ready, or why it is not. In the
 * background it gets its own session, `/` as working directory and the log file as its outputs.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type DaemonArguments, formatDaemonArguments } from './daemon-arguments.ts'
import { ExitCode } from './exit-codes.ts'
import { fromControlError } from './explain-error.ts'
import { type HandBack, parseHandBack } from './hand-back.ts'
import { stateFiles } from './state-files.ts'
import { UserError } from './user-error.ts'

/** fsync, hashing and name lookups must not queue behind each other on libuv's four threads. */
const THREADPOOL_SIZE = 12
/**
 * glibc gives every thread an arena of its own and moves the bounds from which on memory is given
 * back at once upwards as it goes: both hold on to what was needed at the peak. A message with a slice
 * stays below them: new pages for each of them cost more than its encryption.
 */
const MALLOC = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: String(2 * 1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(8 * 1024 * 1024)
} as const
/** Half of Node's default: short-lived garbage of requests is collected sooner. */
const YOUNG_HEAP_MIB = 8
/**
 * Baseline code and type feedback from the first call on: a daemon that serves a few hundred requests
 * now and then would run most of them in the interpreter, at twice the time. Costs 5 MiB.
 *
 * Young objects are collected by the thread that runs JavaScript alone: of so small a heap little
 * lives, and to wake helpers and to wait for them, with the processors in use, takes longer than the work.
 */
const DATA_FLAGS = [
  '--enable-source-maps',
  '--expose-gc',
  '--always-sparkplug',
  '--no-lazy-feedback-allocation',
  '--no-parallel-scavenge',
  `--max-semi-space-size=${YOUNG_HEAP_MIB}`
]
/** A witness keeps a record of some kilobytes; source maps alone would cost it 10 MiB. */
const WITNESS_FLAGS = ['--max-semi-space-size=1', '--lite-mode', '--max-old-space-size=48']
const KILL_AFTER_MS = 10_000

export interface LaunchOptions {
  /** The program to run; the daemon's main.js unless given. */
  readonly program?: string
}

export interface LaunchedDaemon {
  readonly pid: number
  /** Exit code of a daemon in the foreground, when it has ended. */
  readonly ended: Promise<number>
}

/** Rejects with the daemon's own UserError, or UserError 'timeout'; the daemon has ended then. */
export async function launchDaemon(
  daemon: DaemonArguments,
  options: LaunchOptions = {}
): Promise<LaunchedDaemon> {
  const child = start(
    daemon,
    options.program ?? fileURLToPath(new URL('./main.js', import.meta.url))
  )
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code) => resolve(code ?? ExitCode.internal))
  })
  if (daemon.foreground) forwardSignals(child)
  const answer = await waitForAnswer(child, daemon)
  if (answer.kind === 'failed') {
    await ended
    throw fromControlError(answer.error)
  }
  if (!daemon.foreground) {
    if (child.connected) child.disconnect()
    child.unref()
  }
  return { pid: answer.pid, ended }
}

function start(daemon: DaemonArguments, program: string): ChildProcess {
  const args = [
    ...(daemon.witness ? WITNESS_FLAGS : DATA_FLAGS),
    program,
    ...formatDaemonArguments(daemon)
  ]
  const env = {
    ...process.env,
    UV_THREADPOOL_SIZE: String(daemon.witness ? 1 : THREADPOOL_SIZE),
    ...MALLOC
  }
  if (daemon.foreground) {
    return spawn(process.execPath, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }
  const log = openSync(stateFiles(daemon.stateDir).log, 'a', 0o600)
  try {
    const stdio = ['ignore', log, log, 'ipc'] as const
    return spawn(process.execPath, args, { env, cwd: '/', detached: true, stdio: [...stdio] })
  } finally {
    closeSync(log)
  }
}

/** In the foreground the daemon stops when this process is told to; then both end. */
function forwardSignals(child: ChildProcess): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill('SIGTERM'))
  }
}

async function waitForAnswer(child: ChildProcess, daemon: DaemonArguments): Promise<HandBack> {
  const { mountTimeoutMs } = daemon.settings
  const what = `${daemon.witness ? 'witness' : 'mount'} ${daemon.mountPoint}`
  const remedy = `see ${stateFiles(daemon.stateDir).log}`
  return await new Promise<HandBack>((resolve, reject) => {
    let late = false
    let killTimer: NodeJS.Timeout | undefined
    const deadline = setTimeout(() => {
      late = true
      child.kill('SIGTERM')
      killTimer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
    }, mountTimeoutMs)
    const finish = () => {
      clearTimeout(deadline)
      clearTimeout(killTimer)
    }
    child.on('message', (message) => {
      const answer = parseHandBack(message)
      if (answer === undefined || late) return
      finish()
      resolve(answer)
    })
    child.once('error', (error) => {
      finish()
      reject(new UserError('system', { what, why: error.message, remedy }, { cause: error }))
    })
    child.once('exit', (code, signal) => {
      finish()
      if (late) {
        const why = `not ready within ${mountTimeoutMs / 1000} s`
        reject(new UserError('timeout', { what, why, remedy }))
        return
      }
      const how = signal === null ? `exit code ${code}` : signal
      const why = `the daemon ended before it was ready (${how})`
      reject(new UserError('internal', { what, why, remedy }))
    })
  })
}
