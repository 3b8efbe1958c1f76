/** The small C program that takes file locks for tests, compiled when first needed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { nativeProgram } from './native-program.ts'

export type LockCommandKind = 'posix' | 'ofd' | 'flock'

/** One line of the program's output. */
export interface HelperAnswer {
  readonly ok: boolean
  /** Errno name when not ok. */
  readonly code?: string
  readonly what?: string
  readonly pid?: number
  /** How long the step took. */
  readonly us?: number
  readonly type?: string
  readonly start?: number
  readonly length?: number
  readonly text?: string
  readonly done?: number
  readonly errors?: number
  readonly deadlocks?: number
  readonly overlaps?: number
  readonly longestUs?: number
  readonly locksPerSecond?: number
  readonly increment?: number
  readonly pairsPerSecond?: number
  readonly p50Us?: number
  readonly p99Us?: number
  readonly retries?: number
  readonly writesPerSecond?: number
}

const STEP_LIMIT_MS = 20_000
const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Path of the program. Throws when there is no C compiler, with what it said. */
export function fcntlHelper(): string {
  return nativeProgram('fcntl-helper')
}

function start(args: readonly string[]): ChildProcess {
  const child = spawn(fcntlHelper(), [...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  child.stdin?.on('error', () => {})
  return child
}

/** Runs one command to its end; rejects after `limitMs`. */
export function runFcntl(
  args: readonly (string | number)[],
  limitMs = 120_000
): Promise<HelperAnswer> {
  const child = start(args.map(String))
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`fcntl-helper ${args.join(' ')}: not done in ${limitMs} ms`))
    }, limitMs)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const line = output.trim().split('\n').at(-1) ?? ''
      if (line === '') reject(new Error(`fcntl-helper ${args.join(' ')}: ${signal ?? code}`))
      else resolve(JSON.parse(line) as HelperAnswer)
    })
  })
}

/** A process that takes locks step by step; steps run in order, a wait for a lock blocks it. */
export class LockProcess {
  readonly #child: ChildProcess
  readonly #answers: HelperAnswer[] = []
  readonly #waiters: ((answer: HelperAnswer) => void)[] = []
  readonly exited: Promise<void>
  #gone = false

  constructor() {
    this.#child = start(['serve'])
    const { stdout } = this.#child
    if (stdout === null) throw new Error('no pipe')
    createInterface({ input: stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as HelperAnswer
      const waiter = this.#waiters.shift()
      if (waiter === undefined) this.#answers.push(answer)
      else waiter(answer)
    })
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', () => {
        this.#gone = true
        resolve()
      })
    })
    // The greeting.
    void this.#next()
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Sends one step; its answer may be long in coming. */
  step(text: string): Promise<HelperAnswer> {
    this.#child.stdin?.write(`${text}\n`)
    return this.#next()
  }

  /** A step that is to succeed. */
  async must(text: string): Promise<HelperAnswer> {
    const answer = await this.#limited(this.step(text), text)
    if (!answer.ok) throw new Error(`${text}: ${answer.code}`)
    return answer
  }

  /** The errno name of a step, or 'ok'. */
  async outcome(text: string): Promise<string> {
    const answer = await this.#limited(this.step(text), text)
    return answer.ok ? 'ok' : (answer.code ?? '')
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (!this.#gone) this.#child.kill(signal)
  }

  #next(): Promise<HelperAnswer> {
    const answer = this.#answers.shift()
    if (answer !== undefined) return Promise.resolve(answer)
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  #limited(answer: Promise<HelperAnswer>, text: string): Promise<HelperAnswer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${text}: no answer in ${STEP_LIMIT_MS} ms`))
      }, STEP_LIMIT_MS)
      void answer.then((value) => {
        clearTimeout(timer)
        resolve(value)
      })
    })
  }
}
