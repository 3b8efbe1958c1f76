/** The test's side of a worker child: every request has a deadline. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { WorkerResponse } from './protocol.ts'
import type { fileOps } from './worker-files.ts'
import type { historyOps } from './worker-history.ts'
import type { LoadArgs, LoadReport } from './worker-load.ts'
import type { pageOps } from './worker-pages.ts'
import type { treeOps } from './worker-tree.ts'

type Operations = typeof fileOps &
  typeof pageOps &
  typeof treeOps &
  typeof historyOps & { load(args: LoadArgs): LoadReport }
export type OperationName = keyof Operations

const DEADLINE_MS = 30_000
const WORKER_PATH = fileURLToPath(new URL('./worker.js', import.meta.url))

/** An operation failed in the worker; `code` is the errno name. */
export class WorkerError extends Error {
  override name = 'WorkerError'
  readonly code: string

  constructor(operation: string, code: string, message: string) {
    super(`${operation}: ${message}`)
    this.code = code
  }
}

interface Pending {
  readonly operation: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export class Worker {
  readonly #child: ChildProcess
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  #errors = ''
  #exited = false

  constructor() {
    // A group of its own, so that a git or tar it runs ends with it.
    this.#child = spawn(process.execPath, [WORKER_PATH], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true
    })
    const { stdout, stderr, stdin } = this.#child
    if (stdout === null || stderr === null || stdin === null) throw new Error('no worker pipes')
    createInterface({ input: stdout }).on('line', (line) => this.#onResponse(JSON.parse(line)))
    stderr.on('data', (chunk) => {
      this.#errors = `${this.#errors}${chunk}`.slice(-4000)
    })
    stdin.on('error', () => {})
    this.#child.on('exit', () => this.#onExit())
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Rejects with WorkerError for an errno, and with a plain error at the deadline. */
  call<K extends OperationName>(
    operation: K,
    args: Parameters<Operations[K]>[0],
    deadlineMs: number = DEADLINE_MS
  ): Promise<ReturnType<Operations[K]>> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      if (this.#exited) {
        reject(new Error(`${operation}: the worker has ended: ${this.#errors}`))
        return
      }
      const timer = setTimeout(() => {
        this.#pending.delete(id)
        reject(new Error(`${operation} ${JSON.stringify(args)}: no answer in ${deadlineMs} ms`))
      }, deadlineMs)
      this.#pending.set(id, {
        operation,
        resolve: (value) => resolve(value as ReturnType<Operations[K]>),
        reject,
        timer
      })
      this.#child.stdin?.write(`${JSON.stringify({ id, op: operation, args })}\n`)
    })
  }

  /** The errno name the operation fails with, or 'ok'. */
  async outcome<K extends OperationName>(
    operation: K,
    args: Parameters<Operations[K]>[0],
    deadlineMs?: number
  ): Promise<string> {
    try {
      await this.call(operation, args, deadlineMs)
      return 'ok'
    } catch (error) {
      if (error instanceof WorkerError) return error.code
      throw error
    }
  }

  /** Ends the worker and what it runs at once. */
  kill(): void {
    if (this.#exited || this.#child.pid === undefined) return
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // It has just ended by itself.
    }
  }

  #onResponse(response: WorkerResponse): void {
    const pending = this.#pending.get(response.id)
    if (pending === undefined) return
    this.#pending.delete(response.id)
    clearTimeout(pending.timer)
    if (response.ok) pending.resolve(response.value)
    else pending.reject(new WorkerError(pending.operation, response.code, response.message))
  }

  #onExit(): void {
    this.#exited = true
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer)
      pending.reject(new Error(`${pending.operation}: the worker ended: ${this.#errors}`))
    }
    this.#pending.clear()
  }
}
