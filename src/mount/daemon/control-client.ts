/** The commands' end of the control socket. Every wait ends: connecting, and each answer. */
import net from 'node:net'
import {
  CONTROL_VERSION,
  type ControlMethod,
  type ControlMethods,
  parseResponse,
  RESPONSE_MAX_BYTES
} from './control-protocol.ts'
import { errorCode, fromControlError } from './explain-error.ts'
import { LineReader } from './line-reader.ts'
import { withSocketPath } from './socket-path.ts'
import { stateFiles } from './state-files.ts'
import { UserError } from './user-error.ts'

const CONNECT_TIMEOUT_MS = 5000

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
  readonly timer: NodeJS.Timeout
}

function unanswered(why: string): UserError {
  return new UserError('timeout', {
    what: 'daemon',
    why,
    remedy: 'see daemon.log in the state directory'
  })
}

export class ControlClient {
  readonly #socket: net.Socket
  readonly #waiting = new Map<number, Waiting>()
  readonly #closed: Promise<void>
  #nextId = 1

  private constructor(socket: net.Socket) {
    this.#socket = socket
    const reader = new LineReader({ maxBytes: RESPONSE_MAX_BYTES })
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const line of reader.push(chunk)) this.#settle(line)
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
    this.#closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#failAll(unanswered('it closed the connection without an answer'))
        resolve()
      })
    })
    socket.on('error', (error) => this.#failAll(unanswered(error.message)))
  }

  /** Undefined when no daemon serves the state directory. */
  static async connect(stateDir: string): Promise<ControlClient | undefined> {
    const socketPath = stateFiles(stateDir).control
    try {
      const socket = await new Promise<net.Socket>((resolve, reject) => {
        const opening = withSocketPath(socketPath, (path) => net.connect(path))
        const timer = setTimeout(() => {
          opening.destroy(unanswered('its control socket does not answer'))
        }, CONNECT_TIMEOUT_MS)
        opening.once('error', (error) => {
          clearTimeout(timer)
          reject(error)
        })
        opening.once('connect', () => {
          clearTimeout(timer)
          opening.removeAllListeners('error')
          resolve(opening)
        })
      })
      return new ControlClient(socket)
    } catch (error) {
      if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
      throw error
    }
  }

  /** Rejects with the daemon's own UserError, or UserError 'timeout'. */
  async request<M extends ControlMethod>(
    method: M,
    params: ControlMethods[M]['params'],
    options: { readonly timeoutMs: number }
  ): Promise<ControlMethods[M]['result']> {
    const id = this.#nextId++
    const result = await new Promise<unknown>((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(unanswered('the connection is closed'))
        return
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(unanswered(`no answer within ${options.timeoutMs / 1000} s`))
      }, options.timeoutMs)
      this.#waiting.set(id, { resolve, reject, timer })
      const version = CONTROL_VERSION
      this.#socket.write(`${JSON.stringify({ version, id, method, params })}\n`)
    })
    return result as ControlMethods[M]['result']
  }

  /** Resolves when the other end, or this one, has closed the connection. */
  closed(): Promise<void> {
    return this.#closed
  }

  close(): void {
    this.#socket.destroy()
  }

  #settle(line: string): void {
    const response = parseResponse(line)
    if (response === undefined) throw new Error('the daemon answered something unreadable')
    const waiting = this.#waiting.get(response.id)
    if (waiting === undefined) return
    this.#waiting.delete(response.id)
    clearTimeout(waiting.timer)
    if (response.version !== CONTROL_VERSION) {
      waiting.reject(unanswered('it speaks another version of the control protocol'))
    } else if ('error' in response) {
      waiting.reject(fromControlError(response.error))
    } else {
      waiting.resolve(response.result)
    }
  }

  #failAll(error: Error): void {
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer)
      waiting.reject(error)
    }
    this.#waiting.clear()
  }
}
