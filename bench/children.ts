/**
 * Child processes of the benchmark, each with a deadline: whatever touches a mount is one of them,
 * and a mount that hangs is then a failed measurement with a name.
 */
import { type ChildProcess, spawn } from 'node:child_process'

const PIPE_LIMIT_MS = 500
const running = new Set<ChildProcess>()

/** Kills what still runs; the last resort of a benchmark that ends early. */
export function killChildren(): void {
  for (const child of running) child.kill('SIGKILL')
}

export interface Outcome {
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly limitMs?: number
  readonly input?: string
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

function describe(argv: readonly string[]): string {
  const text = argv.join(' ')
  return text.length > 300 ? `${text.slice(0, 300)} ...` : text
}

export class RunningChild {
  readonly #argv: readonly string[]
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #ended: Promise<string | undefined>
  #rest = ''
  #stderr = ''
  #wake: () => void = () => {}

  constructor(argv: readonly string[], options: RunOptions = {}) {
    const [file = '', ...args] = argv
    this.#argv = argv
    this.#child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd ?? '/',
      env: options.env ?? process.env
    })
    running.add(this.#child)
    this.#child.stdin?.on('error', () => {})
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString()).split('\n')
      this.#rest = lines.pop() ?? ''
      this.#lines.push(...lines)
      this.#wake()
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString()
    })
    this.#ended = new Promise((resolve) => {
      const end = (problem: string | undefined): void => {
        resolve(problem)
        this.#wake()
      }
      this.#child.once('error', (error) => end(error.message))
      this.#child.once('exit', (code, signal) => {
        running.delete(this.#child)
        const problem = code === 0 ? undefined : `ended with ${signal ?? code}`
        // Output that is still in the pipe comes first; a daemon it started may keep the pipe open.
        const timer = setTimeout(() => end(problem), PIPE_LIMIT_MS)
        this.#child.once('close', () => {
          clearTimeout(timer)
          end(problem)
        })
      })
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal)
  }

  /** The next line it prints; rejects when it ends without one, or takes longer than `limitMs`. */
  async line(limitMs: number): Promise<string> {
    let problem: string | undefined
    let over = false
    void this.#ended.then((reason) => {
      over = true
      problem = reason ?? 'ended without a word'
    })
    await this.#within(limitMs, async () => {
      while (this.#lines.length === 0 && !over) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    })
    const line = this.#lines.shift()
    if (line === undefined) throw this.#failure(problem ?? 'no line')
    return line
  }

  /** Resolves when it has ended well; rejects otherwise, also after `limitMs`: it is killed then. */
  async end(limitMs: number): Promise<Outcome> {
    this.#child.stdin?.end()
    const problem = await this.#within(limitMs, () => this.#ended)
    if (problem !== undefined) throw this.#failure(problem)
    return this.#outcome()
  }

  /** Ends it by a signal; what it had said by then. Rejects when it does not end. */
  async stop(signal: NodeJS.Signals, limitMs: number): Promise<Outcome> {
    this.kill(signal)
    await this.#within(limitMs, () => this.#ended)
    return this.#outcome()
  }

  #outcome(): Outcome {
    return { stdout: [...this.#lines, this.#rest].join('\n'), stderr: this.#stderr }
  }

  async #within<T>(limitMs: number, run: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.kill()
        reject(this.#failure(`not done in ${limitMs} ms`))
      }, limitMs)
    })
    try {
      return await Promise.race([run(), late])
    } finally {
      clearTimeout(timer)
    }
  }

  #failure(problem: string): Error {
    const words = `${this.#stderr}${this.#rest}`.trim().slice(-500)
    return new Error(`${describe(this.#argv)}: ${problem}${words === '' ? '' : `: ${words}`}`)
  }
}

/** Runs a program to its end; rejects when it fails or takes longer than `limitMs` (60 s). */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = new RunningChild(argv, options)
  if (options.input !== undefined) child.write(options.input)
  return await child.end(options.limitMs ?? 60_000)
}

/** As run; true when it went well. For what may fail, as taking away what may not be there. */
export async function succeeds(argv: readonly string[], options?: RunOptions): Promise<boolean> {
  try {
    await run(argv, options)
    return true
  } catch {
    return false
  }
}
