/**
 * Shell scripts in a mount namespace of their own: what they mount, also over files of the system,
 * nobody else sees, and it is gone with their last process.
 */
import { spawn } from 'node:child_process'

export interface ScriptResult {
  readonly code: number
  /** `NAME=VALUE` lines of the standard output. */
  readonly values: Readonly<Record<string, string>>
  readonly output: string
}

/** Shell functions the scripts may use: `report NAME COMMAND...` prints the exit code of a command. */
const PRELUDE = `
report() { name=$1; shift; "$@" >&2; echo "$name=$?"; }
mount --make-rprivate /
`

/** Runs `script` by bash as root with `args` as $1, $2, ... */
export function runInNamespace(
  script: string,
  args: readonly string[],
  limitMs = 150_000
): Promise<ScriptResult> {
  const words = ['-m', 'bash', '-c', `${PRELUDE}${script}`, 'script', ...args]
  const child = spawn('unshare', words, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
  let output = ''
  let stdout = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    output += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
    child.once('error', reject)
    // 'exit', not 'close': a daemon left behind would keep the pipes open.
    child.once('exit', (code) => {
      clearTimeout(timer)
      const lines = stdout.split('\n').flatMap((line) => {
        const at = line.indexOf('=')
        return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : []
      })
      setImmediate(() => resolve({ code: code ?? -1, values: Object.fromEntries(lines), output }))
    })
  })
}
