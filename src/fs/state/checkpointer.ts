/**
 * Makes commits durable in the database file without stopping the event loop: a worker thread with
 * a connection of its own runs passive WAL checkpoints, which copy what is committed while the
 * long transaction goes on, and fsync WAL and database. The same thread makes whole copies of the
 * state for other members: a copy reads one commit to its end, and no checkpoint gets past it, so
 * the two take turns.
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
import type { CheckpointCounts } from './checkpoint.ts'
import type {
  CheckpointReply,
  CheckpointRequest,
  CheckpointWorkerData
} from './checkpoint-worker.ts'
import { PAGE_BYTES } from './page-sums.ts'
import type { CopiedState } from './state-copy.ts'
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
  /** The last of the jobs, which run one after the other: a copy holds a checkpoint up. */
  #running: Promise<unknown> | undefined
  #settle: Settle | undefined
  #isCopying = false
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
    return this.#after(() => this.#run())
  }

  /**
   * Copies the state as of the last commit into the new file `to`, while the loop goes on. Rejects
   * when it cannot be made; a part of it may be left in the file.
   */
  copyTo(to: string): Promise<CopiedState> {
    return this.#after(async () => {
      const reply = await this.#ask({ type: 'copy', to })
      if (reply.type === 'copy') return reply.done
      throw unfit('copy of the state database', reply)
    })
  }

  /**
   * Makes a copy that came from another member one that this member can open (`adoptState`). The
   * database that is open is not touched. Rejects with what is wrong with the copy.
   */
  adopt(file: string): Promise<StatePosition> {
    return this.#after(async () => {
      const reply = await this.#ask({ type: 'adopt', file })
      if (reply.type === 'adopt') return reply.done
      throw unfit('state of another member', reply)
    })
  }

  /** Ends the worker, after the checkpoint in progress. */
  async close(): Promise<void> {
    if (!this.#isCopying) await this.#running?.catch(() => undefined)
    await this.#worker.terminate()
    await this.#exited
  }

  #after<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#running ?? Promise.resolve()
    const run = before.then(work, work)
    this.#running = run
    const forget = () => {
      if (this.#running === run) this.#running = undefined
    }
    run.then(forget, forget)
    return run
  }

  async #run(): Promise<StatePosition> {
    const position = this.#state.committedPosition()
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const { walFrames, copiedFrames } = await this.#checkpoint()
      if (copiedFrames < walFrames) continue
      if (walFrames * PAGE_BYTES > this.#walLimitBytes) this.#state.requestWalReset()
      return position
    }
    throw new Error(`checkpoint of the state database did not end in ${PASSES_MAX} passes`)
  }

  async #checkpoint(): Promise<CheckpointCounts> {
    const reply = await this.#ask({ type: 'checkpoint' })
    if (reply.type === 'checkpoint') return reply.done
    throw unfit('checkpoint of the state database', reply)
  }

  #ask(request: CheckpointRequest): Promise<CheckpointReply> {
    if (this.#failed !== undefined) {
      return Promise.resolve({ type: 'failed', message: this.#failed })
    }
    assert(this.#settle === undefined, 'two jobs of the worker at once')
    this.#isCopying = request.type !== 'checkpoint'
    this.#state.withdrawWalReset()
    return new Promise((resolve) => {
      this.#settle = resolve
      this.#worker.ref()
      this.#worker.postMessage(request)
    })
  }

  #reply(reply: CheckpointReply): void {
    const settle = this.#settle
    this.#settle = undefined
    this.#isCopying = false
    this.#worker.unref()
    settle?.(reply)
  }

  #fail(message: string): void {
    this.#failed ??= message
    this.#reply({ type: 'failed', message: this.#failed })
  }
}

function unfit(what: string, reply: CheckpointReply): Error {
  return new Error(`${what}: ${reply.type === 'failed' ? reply.message : 'another answer came'}`)
}
