/**
 * Reaching members through a DHT, for networks where their addresses are not known or not
 * reachable (NAT). Used only when discovery was asked for; 'public' must be said in so many words.
 *
 * Every member listens in the DHT under its own key and announces itself under the volume's topic,
 * a hash of the volume id; a dialer looks the topic up for hints where to knock. Knowing the topic
 * admits nobody: the same firewall decides by key before a stream exists. The streams are
 * encrypted end to end with the member keys and carry the same preamble as TCP.
 */
import type NoiseSecretStream from '@hyperswarm/secret-stream'
import type { KeyPair } from '@hyperswarm/secret-stream'
import crypto from 'hypercore-crypto'
import HyperDHT, { type DhtAddress, type DhtOptions, type DhtServer } from 'hyperdht'
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import { parseAddress } from './address.ts'
import type { AlternativeRoute } from './connections.ts'
import { type Link, shortKey } from './link.ts'
import { TransportError } from './transport-error.ts'

const ANNOUNCE_EVERY_MS = 10 * 60 * 1000
const RETRY_MS = 5000
const HINTS_MAX = 64
const HINT_ADDRESSES_MAX = 8
const CLOSE_WITHIN_MS = 3000

/** The public DHT, or host:port of nodes of an own one (at least one). */
export type Bootstrap = 'public' | readonly string[]

/** Where the members of a volume look for each other: says nothing about the volume id itself. */
export function volumeTopic(volumeId: string): Buffer {
  return crypto.hash([Buffer.from('tandemfs topic'), Buffer.from(volumeId, 'hex')])
}

function dhtOptions(bootstrap: Bootstrap, host: string | undefined): DhtOptions {
  const where = host === undefined ? {} : { host }
  if (bootstrap === 'public') return where
  const nodes = bootstrap.map((text) => {
    const address = parseAddress(text)
    if (address === undefined || address.port === 0) {
      throw new TransportError('bad-address', `bootstrap ${text} is not host:port`)
    }
    return address
  })
  if (nodes.length === 0) throw new TransportError('bad-address', 'bootstrap list is empty')
  return { ...where, bootstrap: nodes }
}

export interface DhtRouteComponents {
  readonly keyPair: KeyPair
  readonly clock: Clock
  readonly logger: Logger
}

export interface DhtRouteOptions {
  readonly volumeId: string
  readonly bootstrap: Bootstrap
  /** Local address of the UDP sockets; default all. */
  readonly bindHost?: string
}

interface RouteEvents {
  readonly firewall: (remoteKey: string, address: string) => boolean
  readonly onLink: (link: Link) => void
}

export class DhtRoute implements AlternativeRoute {
  readonly #components: DhtRouteComponents
  readonly #topic: Buffer
  readonly #dht: HyperDHT
  readonly #hints = new Map<string, readonly DhtAddress[]>()
  #server: DhtServer | undefined
  #timer: Timer | undefined
  #running: Promise<void> = Promise.resolve()
  #closed = false

  /** Throws TransportError 'bad-address'. */
  constructor(components: DhtRouteComponents, options: DhtRouteOptions) {
    this.#components = components
    this.#topic = volumeTopic(options.volumeId)
    this.#dht = new HyperDHT({
      ...dhtOptions(options.bootstrap, options.bindHost),
      keyPair: components.keyPair
    })
  }

  /** Begins to listen and announce in the background; an unreachable DHT is logged and retried. */
  open(events: RouteEvents): Promise<void> {
    this.#server = this.#dht.createServer(
      {
        firewall: (key, _payload, from) =>
          !events.firewall(key.toString('hex'), `${from.host}:${from.port}`)
      },
      (stream) => events.onLink(dhtLink(stream))
    )
    this.#running = this.#announce(this.#server, false)
    return Promise.resolve()
  }

  async dial(remoteKey: string, timeoutMs: number): Promise<Link> {
    if (!this.#hints.has(remoteKey)) await this.#lookUp(timeoutMs)
    const relayAddresses = this.#hints.get(remoteKey) ?? []
    try {
      return await dialDht(this.#dht, remoteKey, relayAddresses, this.#components, timeoutMs)
    } catch (error) {
      this.#hints.delete(remoteKey)
      throw error
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    const orderly = async () => {
      await this.#running
      if (this.#server) await this.#dht.unannounce(this.#topic, this.#components.keyPair)
      await this.#server?.close()
    }
    await within(this.#components.clock, CLOSE_WITHIN_MS, orderly())
    await this.#dht.destroy({ force: true })
  }

  async #announce(server: DhtServer, listening: boolean): Promise<void> {
    const { keyPair, clock, logger } = this.#components
    let done = listening
    let nextMs = RETRY_MS
    try {
      if (!done) await server.listen(keyPair)
      done = true
      if (this.#closed) return
      await this.#dht.announce(this.#topic, keyPair, server.relayAddresses).finished()
      logger.debug({ topic: shortKey(this.#topic.toString('hex')) }, 'announced in the DHT')
      nextMs = ANNOUNCE_EVERY_MS
    } catch (error) {
      if (this.#closed) return
      const reason = error instanceof Error ? error.message : String(error)
      logger.warn({ reason }, 'cannot announce in the DHT')
    }
    if (this.#closed) return
    this.#timer = clock.setTimer(nextMs, () => {
      this.#running = this.#announce(server, done)
    })
  }

  /** Asks the DHT who announced the topic; whoever that is must still pass the firewall. */
  async #lookUp(timeoutMs: number): Promise<void> {
    const query = this.#dht.lookup(this.#topic)
    const timer = this.#components.clock.setTimer(timeoutMs, () => query.destroy())
    try {
      for await (const { peers } of query) {
        for (const peer of peers) {
          if (this.#hints.size >= HINTS_MAX) this.#hints.clear()
          const addresses = peer.relayAddresses.slice(0, HINT_ADDRESSES_MAX)
          this.#hints.set(peer.publicKey.toString('hex'), addresses)
        }
      }
    } finally {
      timer.cancel()
    }
  }
}

/** What a joiner, no member yet, knows about whom to reach. */
export interface DiscoveryCall {
  readonly volumeId: string
  readonly bootstrap: Bootstrap
  /** The invitation's key pair. */
  readonly keyPair: KeyPair
  readonly inviterKey: string
  readonly timeoutMs: number
}

/** A link on a DHT node of its own. */
export interface DiscoveredLink {
  readonly link: Link
  /** Ends the link and the DHT node. */
  close(): Promise<void>
}

/** Opens one link to who invites. Rejects with TransportError. */
export async function dialByDiscovery(
  call: DiscoveryCall,
  components: { readonly clock: Clock; readonly logger: Logger },
  options: { readonly bindHost?: string } = {}
): Promise<DiscoveredLink> {
  const { volumeId, bootstrap, keyPair, inviterKey, timeoutMs } = call
  const route = new DhtRoute({ ...components, keyPair }, { ...options, volumeId, bootstrap })
  try {
    const link = await route.dial(inviterKey, timeoutMs)
    return { link, close: () => route.close() }
  } catch (error) {
    await route.close()
    throw error
  }
}

function dialDht(
  dht: HyperDHT,
  remoteKey: string,
  relayAddresses: readonly DhtAddress[],
  components: DhtRouteComponents,
  timeoutMs: number
): Promise<Link> {
  const { keyPair, clock } = components
  const stream = dht.connect(Buffer.from(remoteKey, 'hex'), { keyPair, relayAddresses })
  return new Promise((resolve, reject) => {
    let cause = 'closed before it was open'
    const timer = clock.setTimer(timeoutMs, () => {
      stream.destroy(new Error(`not open within ${timeoutMs} ms`))
    })
    const onClose = () => {
      timer.cancel()
      reject(new TransportError('unreachable', `${shortKey(remoteKey)} by discovery: ${cause}`))
    }
    stream.on('error', (error: Error) => {
      cause = error.message
    })
    stream.once('close', onClose)
    stream.once('open', () => {
      timer.cancel()
      stream.off('close', onClose)
      resolve(dhtLink(stream))
    })
  })
}

/** The stream's key passed the firewall; its own limit of 16 MiB a message applies. */
function dhtLink(stream: NoiseSecretStream): Link {
  stream.on('error', () => {})
  return {
    stream,
    address: `dht:${shortKey(stream.remotePublicKey?.toString('hex') ?? '')}`,
    setMessageLimit: () => {},
    socketBytes: () => 0
  }
}

/** Waits for `work`, at most `limitMs`; what it still does after that has no observer. */
function within(clock: Clock, limitMs: number, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(limitMs, resolve)
    const done = () => {
      timer.cancel()
      resolve()
    }
    work.then(done, done)
  })
}
