/**
 * The daemon's end of the control socket (mode 0600). Bounded: connections, requests in flight of
 * each, bytes of a request, bytes waiting to be read by the client, idle time. A client that
 * breaks a bound or the protocol loses its connection, never more than that.
 */
import { chmodSync, rmSync } from 'node:fs'
import net from 'node:net'
import type { Logger } from '../../fs/ports/logger.ts'
import {
  CONTROL_VERSION,
  type ControlMethod,
  type ControlMethods,
  type ControlRequest,
  MalformedRequestError,
  parseEnvelope,
  parseRequest,
  REQUEST_MAX_BYTES,
  RESPONSE_MAX_BYTES
} from './control-protocol.ts'
import { explainError, toControlError } from './explain-error.ts'
import { LineReader, LineTooLongError } from './line-reader.ts'
import { withSocketPath } from './socket-path.ts'
import { UserError } from './user-error.ts'

export type ControlHandlers = {
  readonly [M in ControlMethod]: (
    params: ControlMethods[M]['params']
  ) => ControlMethods[M]['result'] | Promise<ControlMethods[M]['result']>
}

export interface ControlServerOptions {
  readonly socketPath: string
  readonly maxConnections?: number
  readonly maxInFlight?: number
  /** A connection without a request for this long is closed. */
  readonly idleMs?: number
}

interface Client {
  readonly socket: net.Socket
  readonly reader: LineReader
  inFlight: number
}

export class ControlServer {
  readonly #logger: Logger
  readonly #handlers: ControlHandlers
  readonly #socketPath: string
  readonly #maxInFlight: number
  readonly #idleMs: number
  readonly #server: net.Server
  readonly #clients = new Set<Client>()

  constructor(
    components: { readonly logger: Logger; readonly handlers: ControlHandlers },
    options: ControlServerOptions
  ) {
    this.#logger = components.logger
    this.#handlers = components.handlers
    this.#socketPath = options.socketPath
    this.#maxInFlight = options.maxInFlight ?? 16
    this.#idleMs = options.idleMs ?? 60_000
    this.#server = net.createServer((socket) => this.#accept(socket))
    this.#server.maxConnections = options.maxConnections ?? 32
  }

  /** The caller holds the state directory's lock, so a socket that is there is a dead one. */
  async start(): Promise<void> {
    rmSync(this.#socketPath, { force: true })
    const previousMask = process.umask(0o177)
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject)
        withSocketPath(this.#socketPath, (path) => this.#server.listen(path, resolve))
      })
      chmodSync(this.#socketPath, 0o600)
    } finally {
      process.umask(previousMask)
    }
    this.#server.on('error', (error) => {
      this.#logger.warn({ error: error.message }, 'control socket error')
    })
  }

  /** Ends the connections after what was answered is sent, and removes the socket. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const client of this.#clients) {
      client.socket.end()
      client.socket.setTimeout(1000)
    }
    rmSync(this.#socketPath, { force: true })
    await closed
  }

  #accept(socket: net.Socket): void {
    const client = {
      socket,
      reader: new LineReader({ maxBytes: REQUEST_MAX_BYTES }),
      inFlight: 0
    }
    this.#clients.add(client)
    socket.setTimeout(this.#idleMs, () => {
      if (client.inFlight === 0) socket.destroy()
    })
    socket.on('data', (chunk: Buffer) => this.#receive(client, chunk))
    socket.on('error', (error) => {
      this.#logger.debug({ error: error.message }, 'control connection lost')
    })
    socket.on('close', () => this.#clients.delete(client))
  }

  #receive(client: Client, chunk: Buffer): void {
    try {
      for (const line of client.reader.push(chunk)) {
        const { id, fields } = parseEnvelope(line)
        void this.#answer(client, id, fields)
      }
    } catch (error) {
      if (!(error instanceof MalformedRequestError || error instanceof LineTooLongError)) {
        throw error
      }
      this.#logger.warn({ error: error.message }, 'control connection refused')
      client.socket.destroy()
    }
  }

  async #answer(client: Client, id: number, fields: Record<string, unknown>): Promise<void> {
    const version = CONTROL_VERSION
    client.inFlight += 1
    try {
      if (client.inFlight > this.#maxInFlight) {
        throw new UserError('busy', {
          what: 'control request',
          why: `more than ${this.#maxInFlight} requests at once`,
          remedy: 'wait for answers first'
        })
      }
      const result = await this.#serve(parseRequest(id, fields))
      this.#send(client, { version, id, result })
    } catch (error) {
      const explained = explainError(error, 'control request')
      if (!(error instanceof UserError)) {
        const stack = error instanceof Error ? error.stack : String(error)
        this.#logger.error({ stack, method: fields['method'] }, 'control request failed')
      }
      this.#send(client, { version, id, error: toControlError(explained) })
    } finally {
      client.inFlight -= 1
    }
  }

  async #serve(request: ControlRequest): Promise<unknown> {
    switch (request.method) {
      case 'status':
        return await this.#handlers.status(request.params)
      case 'locks':
        return await this.#handlers.locks(request.params)
      case 'invite':
        return await this.#handlers.invite(request.params)
      case 'setTieBreaker':
        return await this.#handlers.setTieBreaker(request.params)
      case 'removeMember':
        return await this.#handlers.removeMember(request.params)
      case 'configure':
        return await this.#handlers.configure(request.params)
      case 'stop':
        return await this.#handlers.stop(request.params)
    }
  }

  #send(client: Client, response: object): void {
    if (client.socket.destroyed || !client.socket.writable) return
    client.socket.write(`${JSON.stringify(response)}\n`)
    if (client.socket.writableLength > RESPONSE_MAX_BYTES) {
      this.#logger.warn({}, 'control connection cut: its client does not read')
      client.socket.destroy()
    }
  }
}
