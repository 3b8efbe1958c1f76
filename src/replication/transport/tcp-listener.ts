/**
 * Accepts TCP connections and hands over those whose key the firewall lets in. Invariant: strangers
 * cost a bounded number of sockets for a bounded time.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { KeyPair } from '@hyperswarm/secret-stream'
import type { Clock } from '../../fs/ports/clock.ts'
import type { HostPort } from './address.ts'
import { formatAddress } from './address.ts'
import { type Link, tcpLink } from './link.ts'
import { TransportError } from './transport-error.ts'

/** Sockets that have not proven a key yet. */
export const UNPROVEN_MAX = 64

export interface TcpListenerComponents {
  readonly keyPair: KeyPair
  readonly clock: Clock
  readonly firewall: (remoteKey: string, address: string) => boolean
  /** A link whose key was let in. */
  readonly onLink: (link: Link) => void
  /** A socket that was cut before it proved an admitted key. */
  readonly onRefused: (address: string, reason: string) => void
}

export interface TcpListenerOptions {
  readonly listen: HostPort
  readonly handshakeTimeoutMs: number
}

export class TcpListener {
  readonly #components: TcpListenerComponents
  readonly #options: TcpListenerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #unproven = 0

  constructor(components: TcpListenerComponents, options: TcpListenerOptions) {
    this.#components = components
    this.#options = options
    this.#server = createServer((socket) => this.#onSocket(socket))
  }

  /** Rejects with TransportError 'address-in-use' or 'listen-failed'. */
  open(): Promise<HostPort> {
    const { host, port } = this.#options.listen
    const server = this.#server
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const code = error.code === 'EADDRINUSE' ? 'address-in-use' : 'listen-failed'
        const why = code === 'address-in-use' ? 'in use by another program' : error.message
        reject(
          new TransportError(code, `listen on ${formatAddress({ host, port })}: ${why}`, {
            cause: error
          })
        )
      }
      server.once('error', failed)
      server.listen({ host, port }, () => {
        server.off('error', failed)
        server.on('error', (error: Error) =>
          this.#components.onRefused(formatAddress({ host, port }), `accept: ${error.message}`)
        )
        const bound = server.address()
        resolve({ host, port: typeof bound === 'object' && bound ? bound.port : port })
      })
    })
  }

  /** Stops accepting and cuts every connection that came in here. */
  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #onSocket(socket: Socket): void {
    const { keyPair, clock, firewall, onLink, onRefused } = this.#components
    const address = formatAddress({
      host: socket.remoteAddress ?? 'unknown',
      port: socket.remotePort ?? 0
    })
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#unproven >= UNPROVEN_MAX) {
      socket.on('error', () => {})
      socket.destroy()
      onRefused(address, 'too many connections that have not proven a key')
      return
    }
    this.#unproven += 1
    let settled = false
    const settle = () => {
      if (settled) return false
      settled = true
      this.#unproven -= 1
      timer.cancel()
      return true
    }
    let refusedKey = false
    const link = tcpLink(socket, {
      isInitiator: false,
      keyPair,
      firewall: (key) => {
        const admitted = firewall(key, address)
        refusedKey = !admitted
        if (admitted && settle()) onLink(link)
        return admitted
      }
    })
    const timeoutMs = this.#options.handshakeTimeoutMs
    const timer = clock.setTimer(timeoutMs, () => {
      link.stream.destroy(new TransportError('timeout', `no handshake within ${timeoutMs} ms`))
    })
    let cause = 'closed before the handshake was done'
    link.stream.on('error', (error: Error) => {
      cause = error.message
    })
    link.stream.on('close', () => {
      if (settle() && !refusedKey) onRefused(address, cause)
    })
  }
}
