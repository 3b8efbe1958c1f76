/**
 * Makes commits durable in the database file without stopping the event loop: a worker thread with
 * a connection of its own runs passive WAL checkpoints, which copy what is committed while the
 * long transaction goes on, and fsync WAL and database.
 *
 * The WAL can only start over from its beginning when all of it was copied before a transaction
 * begins. While the loop is busy there is no such moment, so once the WAL is larger than
 * `walLimitBytes` the state store is asked to make one: its next commit copies the few frames that
 * came since the worker's pass before it begins the next transaction (a pause of some
 * milliseconds, once every `walLimitBytes`).
 */
import { Worker } from 'node:worker_threads'
import { assert } from '../assert.ts'
import type { StatePosition } from '../ports/state-machine.ts'
import type { CheckpointReply, CheckpointWorkerData } from './checkpoint-worker.ts'
import type { StateStore } from './state-store.ts'

export interface CheckpointerOptions {
  /** WAL size from which on it is made to start over; default 64 MiB. */
  readonly walLimitBytes?: number
}

const DEFAULT_WAL_LIMIT_BYTES = 64 * 1024 * 1024
/** A pass copies everything unless a commit ran beside it; then the next one does. */
const PASSES_MAX = 8
const WORKER_URL = new URL('./checkpoint-worker.js', import.meta.url)

type Settle = (reply: CheckpointReply) => void

export class Checkpointer {
  readonly #state: StateStore
  readonly #walLimitBytes: number
  readonly #worker: Worker
  readonly #exited: Promise<void>
  #running: Promise<StatePosition> | undefined
  #settle: Settle | undefined
  #failed: string | undefined

  constructor(components: { readonly state: StateStore }, options: CheckpointerOptions = {}) {
    this.#state = components.state
    this.#walLimitBytes = options.walLimitBytes ?? DEFAULT_WAL_LIMIT_BYTES
    const workerData: CheckpointWorkerData = { file: this.#state.file }
    this.#worker = new Worker(WORKER_URL, { workerData })
    this.#worker.on('message', (reply: CheckpointReply) => this.#reply(reply))
    this.#worker.on('error', (error) => this.#fail(error.message))
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#fail('checkpoint worker has ended')
        resolve()
      })
    })
    this.#worker.unref()
  }

  /**
   * Resolves when the latest commit at the time of the call is durable (fsynced) in the database
   * file, with its position. Rejects when SQLite or the worker fails: nothing is promised then. A
   * call during a run starts the next run behind it.
   */
  run(): Promise<StatePosition> {
    const before = this.#running ?? Promise.resolve()
    const run = before.then(
      () => this.#run(),
      () => this.#run()
    )
    this.#running = run
    const forget = () => {
      if (this.#running === run) this.#running = undefined
    }
    run.then(forget, forget)
    return run
  }

  /** Ends the worker, after the run in progress. */
  async close(): Promise<void> {
    await this.#running?.catch(() => undefined)
    await this.#worker.terminate()
    await this.#exited
  }

  async #run(): Promise<StatePosition> {
    const position = this.#state.committedPosition()
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const reply = await this.#ask()
      if (!reply.ok) throw new Error(`checkpoint of the state database failed: ${reply.message}`)
      if (reply.copiedFrames < reply.walFrames) continue
      if (reply.walFrames * reply.pageBytes > this.#walLimitBytes) this.#state.requestWalReset()
      return position
    }
    throw new Error(`checkpoint of the state database did not end in ${PASSES_MAX} passes`)
  }

  #ask(): Promise<CheckpointReply> {
    if (this.#failed !== undefined) {
      return Promise.resolve({ ok: false, message: this.#failed })
    }
    assert(this.#settle === undefined, 'two checkpoints at once')
    return new Promise((resolve) => {
      this.#settle = resolve
      this.#worker.ref()
      this.#worker.postMessage('checkpoint')
    })
  }

  #reply(reply: CheckpointReply): void {
    const settle = this.#settle
    this.#settle = undefined
    this.#worker.unref()
    settle?.(reply)
  }

  #fail(message: string): void {
    this.#failed ??= message
    this.#reply({ ok: false, message: this.#failed })
  }
}
