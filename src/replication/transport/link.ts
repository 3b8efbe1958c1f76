/**
 * A link: an encrypted stream to somebody whose key passed the firewall, before it is known what
 * it is for. Owns the two handshakes (Noise, then the preamble) and their deadline. Invariant: no
 * byte of a key that the firewall refuses is read as protocol, and nothing waits beyond the
 * deadline.
 */
import { connect, type Socket } from 'node:net'
import NoiseSecretStream, { type KeyPair } from '@hyperswarm/secret-stream'
import type { Clock } from '../../fs/ports/clock.ts'
import type { HostPort } from './address.ts'
import { formatAddress } from './address.ts'
import { MessageBound } from './message-bound.ts'
import type { ConnectionKind, Preamble, PreambleAnswer } from './preamble.ts'
import { decodeAnswer, decodePreamble, encodeAnswer, encodePreamble } from './preamble.ts'
import { TransportError } from './transport-error.ts'

const TCP_KEEPALIVE_MS = 10_000
/** What the encryption adds to a message. */
const SEAL_BYTES = 17

export interface Link {
  readonly stream: NoiseSecretStream
  /** Where the other end is, for the log. */
  readonly address: string
  /** Largest plain message accepted from now on; above it the link is cut. */
  setMessageLimit(sizeBytes: number): void
  /** Bytes handed to the operating system's queue but not yet taken. */
  socketBytes(): number
}

export function remoteKeyOf(link: Link): string {
  return link.stream.remotePublicKey?.toString('hex') ?? ''
}

/** The first 8 hex digits: enough to recognise a key in a log line. */
export function shortKey(key: string): string {
  return key.slice(0, 8)
}

export interface TcpLinkOptions {
  readonly isInitiator: boolean
  readonly keyPair: KeyPair
  /** True lets the key in. Called once, before anything else is accepted from it. */
  readonly firewall: (remoteKey: string) => boolean
}

/** Wraps a connected socket; must be called in the turn the socket opened. */
export function tcpLink(socket: Socket, options: TcpLinkOptions): Link {
  const address = formatAddress({
    host: socket.remoteAddress ?? 'unknown',
    port: socket.remotePort ?? 0
  })
  socket.setNoDelay(true)
  gatherWrites(socket)
  socket.setKeepAlive(true, TCP_KEEPALIVE_MS)
  const bound = new MessageBound(socket, (sizeBytes) => {
    stream.destroy(
      new TransportError('protocol', `message of ${sizeBytes} bytes is over the limit`)
    )
  })
  const stream = new NoiseSecretStream(options.isInitiator, socket, { keyPair: options.keyPair })
  stream.on('error', ignoreBecauseCloseFollows)
  stream.once('handshake', () => {
    const key = stream.remotePublicKey?.toString('hex') ?? ''
    if (!options.firewall(key)) {
      stream.destroy(new TransportError('wrong-key', `key ${shortKey(key)} is not let in`))
    }
  })
  return {
    stream,
    address,
    setMessageLimit: (sizeBytes) => bound.setLimit(sizeBytes + SEAL_BYTES),
    socketBytes: () => socket.writableLength
  }
}

/**
 * One system call for what is written in one piece of the program: on loopback, and on a virtual
 * machine, each of them wakes the other end, which costs more than all the rest of a message.
 */
function gatherWrites(socket: Socket): void {
  const write = socket.write
  let gathering = false
  const gathered = (...args: Parameters<typeof write>): boolean => {
    if (!gathering) {
      gathering = true
      socket.cork()
      queueMicrotask(() => {
        gathering = false
        socket.uncork()
      })
    }
    return write.apply(socket, args)
  }
  socket.write = gathered as typeof write
}

/** The reason is read from the 'error' event by whoever waits; 'close' always follows it. */
function ignoreBecauseCloseFollows(): void {}

/** Opens a TCP socket; rejects with TransportError 'unreachable' or 'timeout'. */
export function dialTcp(to: HostPort, clock: Clock, timeoutMs: number): Promise<Socket> {
  const where = formatAddress(to)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: to.host, port: to.port })
    const timer = clock.setTimer(timeoutMs, () => {
      socket.destroy(new TransportError('timeout', `${where} did not answer in ${timeoutMs} ms`))
    })
    const failed = (error: Error) => {
      timer.cancel()
      if (error instanceof TransportError) reject(error)
      else reject(new TransportError('unreachable', `${where}: ${error.message}`))
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      timer.cancel()
      socket.off('error', failed)
      resolve(socket)
    })
  })
}

/**
 * Waits for one message and leaves the stream paused right after it, so that nothing is lost until
 * the next listener for 'data' is attached. Rejects with TransportError when the stream closes or
 * the deadline passes (the stream is then destroyed).
 */
export function nextMessage(link: Link, clock: Clock, timeoutMs: number): Promise<Uint8Array> {
  const { stream } = link
  return new Promise((resolve, reject) => {
    let cause: Error | undefined
    const timer = clock.setTimer(timeoutMs, () => {
      stream.destroy(new TransportError('timeout', `nothing came within ${timeoutMs} ms`))
    })
    const settle = () => {
      timer.cancel()
      stream.off('data', onData)
      stream.off('error', onError)
      stream.off('end', onEnd)
      stream.off('close', onClose)
    }
    const onData = (message: Uint8Array) => {
      stream.pause()
      settle()
      resolve(message)
    }
    const onError = (error: Error) => {
      cause = error
    }
    const onEnd = () => {
      stream.destroy()
    }
    const onClose = () => {
      settle()
      reject(asTransportError(cause))
    }
    stream.on('error', onError)
    stream.on('end', onEnd)
    stream.on('close', onClose)
    if (stream.destroyed) onClose()
    else stream.on('data', onData)
  })
}

function asTransportError(cause: Error | undefined): TransportError {
  if (cause instanceof TransportError) return cause
  if (cause === undefined) return new TransportError('closed', 'closed by the other end')
  return new TransportError('closed', cause.message, { cause })
}

/** Dialer's half of the preamble: resolves when the listener has accepted, else rejects. */
export async function announce(
  link: Link,
  kind: ConnectionKind,
  volumeId: string,
  clock: Clock,
  timeoutMs: number
): Promise<void> {
  link.stream.write(encodePreamble(kind, volumeId))
  const answer = decodeAnswer(await nextMessage(link, clock, timeoutMs))
  if (answer === 'accepted') return
  const error =
    answer === undefined
      ? new TransportError('protocol', 'the answer to the preamble is not one')
      : new TransportError(answer === 'removed' ? 'removed' : 'refused', refusalText(answer))
  link.stream.destroy()
  throw error
}

function refusalText(answer: Exclude<PreambleAnswer, 'accepted'>): string {
  switch (answer) {
    case 'version':
      return 'the other end speaks another protocol version'
    case 'volume':
      return 'the other end serves another volume'
    case 'kind':
      return 'the other end does not take this kind of connection from this key'
    case 'busy':
      return 'the other end is busy, try again'
    case 'duplicate':
      return 'there is a connection already'
    case 'removed':
      return 'the other end says that this member was removed from the volume'
  }
}

/**
 * Listener's half: reads the preamble, lets `judge` answer it, sends the answer. Resolves with the
 * accepted preamble or rejects (the stream is then closed).
 */
export async function welcome(
  link: Link,
  judge: (preamble: Preamble) => PreambleAnswer,
  clock: Clock,
  timeoutMs: number
): Promise<Preamble> {
  const preamble = decodePreamble(await nextMessage(link, clock, timeoutMs))
  if (preamble === undefined) {
    const error = new TransportError('protocol', 'the first message is not a preamble')
    link.stream.destroy(error)
    throw error
  }
  const answer = judge(preamble)
  link.stream.write(encodeAnswer(answer))
  if (answer === 'accepted') return preamble
  endWithin(link, clock, timeoutMs)
  throw new TransportError('refused', `answered '${answer}'`)
}

/** Tells a key that was a member's why it is let in no more, and ends; nothing of it is read. */
export function sayRemoved(link: Link, clock: Clock, timeoutMs: number): void {
  link.stream.write(encodeAnswer('removed'))
  endWithin(link, clock, timeoutMs)
}

/** Ends the stream after what is queued; destroys it when the other end does not follow. */
export function endWithin(link: Link, clock: Clock, timeoutMs: number): void {
  const { stream } = link
  const timer = clock.setTimer(timeoutMs, () => stream.destroy())
  stream.on('close', () => timer.cancel())
  stream.on('end', () => stream.destroy())
  stream.on('data', () => {})
  stream.end()
}
