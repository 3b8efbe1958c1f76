/** Runs the real command line as a child process, with a deadline. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface CliAnswer {
  /** Exit code; -1 when it was killed at the deadline. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const DEADLINE_MS = 90_000

/** The checkout the compiled tests belong to. */
const projectRoot = findRoot(dirname(fileURLToPath(import.meta.url)))
/** `TANDEMFS_TEST_PROGRAM=FILE` tests another build or an installed package instead. */
const programPath = process.env['TANDEMFS_TEST_PROGRAM'] ?? join(projectRoot, 'bin', 'tandemfs.js')

/** Starts `tandemfs ...args` and leaves it running; for the foreground daemon. */
export function spawnCli(args: readonly string[], cwd = '/'): ChildProcess {
  return spawn(process.execPath, [programPath, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
}

export function runCli(
  args: readonly string[],
  options: { readonly deadlineMs?: number; readonly cwd?: string } = {}
): Promise<CliAnswer> {
  const child = spawnCli(args, options.cwd)
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), options.deadlineMs ?? DEADLINE_MS)
    child.once('error', reject)
    // 'exit', not 'close': a daemon left in the background may keep the pipes open by mistake.
    child.once('exit', (code) => {
      clearTimeout(timer)
      setImmediate(() => resolve({ code: code ?? -1, stdout, stderr }))
    })
  })
}

/** As runCli, but any failure throws with the program's own words. */
export async function mustRun(
  args: readonly string[],
  options: { readonly deadlineMs?: number; readonly cwd?: string } = {}
): Promise<CliAnswer> {
  const answer = await runCli(args, options)
  if (answer.code === 0) return answer
  const words = `${answer.stderr}${answer.stdout}`.trim()
  throw new Error(`tandemfs ${args[0]} ended with ${answer.code}: ${words}`)
}

function findRoot(start: string): string {
  for (let folder = start; folder !== '/'; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
  }
  throw new Error(`no package.json above ${start}`)
}
