/**
 * One call of the package between its arrival and its answer: the gate before and after, as for
 * every driver, and errors as negative errno. Nothing is thrown into the package.
 *
 * The package does not say who asks. Without allow_other the kernel lets nobody in whose user and
 * group are not those of this process, so they are those of who asks.
 */
import { setMaxListeners } from 'node:events'
import { AssertionError } from '../../../fs/assert.ts'
import { Errno, FsError } from '../../../fs/errno.ts'
import type { Awaitable, RequestContext } from '../../../fs/filesystem-api.ts'
import type { Logger } from '../../../fs/ports/logger.ts'
import { opcodeName } from '../../fuse/abi.ts'
import type { RequestGate } from '../../fuse/gate.ts'

export interface ServedCallsComponents {
  readonly gate: RequestGate
  readonly logger: Logger
}

export type Outcome<T> =
  | { readonly errno: 0; readonly value: T }
  | { readonly errno: number; readonly value?: undefined }

export class ServedCalls {
  readonly #components: ServedCallsComponents
  readonly #uid: number
  readonly #gid: number
  /** Ends the waits of what is being served. */
  #waits = waitsOfMany()
  #inFlight = 0
  #whenIdle: (() => void)[] = []

  constructor(components: ServedCallsComponents) {
    const uid = process.geteuid?.()
    const gid = process.getegid?.()
    if (uid === undefined || gid === undefined) throw new AssertionError('no user or group')
    this.#components = components
    this.#uid = uid
    this.#gid = gid
  }

  /** Never rejects. `giveBack` gets a result that is not answered with. */
  async run<T>(
    opcode: number,
    operation: (ctx: RequestContext) => Awaitable<T>,
    giveBack?: (value: T) => Awaitable<void>
  ): Promise<Outcome<T>> {
    const { gate } = this.#components
    const ctx = { uid: this.#uid, gid: this.#gid, pid: 0, signal: this.#waits.signal }
    this.#inFlight += 1
    try {
      const right = gate.beforeServe(ctx, opcode)
      if (right !== undefined) await right
      const value = await operation(ctx)
      const errno = gate.beforeReply(ctx, opcode)
      if (errno === 0) return { errno: 0, value }
      await giveBack?.(value)
      return { errno: -errno }
    } catch (error) {
      return { errno: -this.#errnoOf(opcode, error) }
    } finally {
      this.#settled()
    }
  }

  /** As `run`, for a request nobody waits for, which needs no right: a close. */
  async runUnwatched(opcode: number, operation: () => Awaitable<void>): Promise<void> {
    this.#inFlight += 1
    try {
      await operation()
    } catch (error) {
      this.#errnoOf(opcode, error)
    } finally {
      this.#settled()
    }
  }

  /** Ends the waits of all calls being served: they answer with the errno of `reason`. */
  endWaits(reason: FsError): void {
    const waits = this.#waits
    this.#waits = waitsOfMany()
    waits.abort(reason)
  }

  /** Resolves when nothing is being served. */
  idle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  #settled(): void {
    this.#inFlight -= 1
    if (this.#inFlight > 0) return
    const waiters = this.#whenIdle
    this.#whenIdle = []
    for (const wake of waiters) wake()
  }

  #errnoOf(opcode: number, error: unknown): number {
    if (error instanceof FsError) return error.errno
    this.#components.logger.error(
      {
        opcode: opcodeName(opcode),
        error: error instanceof Error ? (error.stack ?? error.message) : String(error)
      },
      'internal error while serving fuse-native'
    )
    return Errno.EIO
  }
}

function waitsOfMany(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}
