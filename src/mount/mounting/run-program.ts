/** Runs one of the system's mount programs to its end, with a deadline. */
import { type SpawnOptions, spawn } from 'node:child_process'

const DEADLINE_MS = 20_000
const OUTPUT_MAX_CHARS = 4000

export interface ProgramResult {
  /** Exit code; undefined when a signal or the deadline ended it. */
  readonly status: number | undefined
  readonly said: string
}

export interface ProgramOptions {
  /** Descriptor the program inherits as its descriptor 3. */
  readonly inheritFd?: number
  readonly env?: Readonly<Record<string, string>>
  readonly deadlineMs?: number
}

/** Rejects with ENOENT (code) when the program does not exist. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {}
): Promise<ProgramResult> {
  const stdio: SpawnOptions['stdio'] = ['ignore', 'pipe', 'pipe']
  if (options.inheritFd !== undefined) stdio.push(options.inheritFd)
  const env = { ...process.env, LC_ALL: 'C', ...options.env }
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio, env, cwd: '/' })
    let said = ''
    const collect = (chunk: Buffer): void => {
      if (said.length < OUTPUT_MAX_CHARS) said += chunk.toString()
    }
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    const timer = setTimeout(() => {
      said += ' (no answer, killed)'
      child.kill('SIGKILL')
      // A program in an uninterruptible call may never end; its pipes must not keep us.
      child.stdout?.destroy()
      child.stderr?.destroy()
      child.unref()
      resolve({ status: undefined, said: said.trim() })
    }, options.deadlineMs ?? DEADLINE_MS)
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status: status ?? undefined, said: said.trim() })
    })
  })
}
