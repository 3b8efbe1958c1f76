/**
 * The connections of this member: one `control`, one `bulk` and one `log` connection with every
 * other member of the record. Owns the table of connections, the listener and the dial loops.
 * Invariants: only keys of the current record are let in (an invitation's key to the join protocol
 * only; a removed member's key is told that it was removed, and nothing of it is read); at most one
 * connection of a kind with a member; for each connection `onConnection` comes first and `onClose`
 * last, exactly once.
 */
import type NoiseSecretStream from '@hyperswarm/secret-stream'
import type { KeyPair } from '@hyperswarm/secret-stream'
import { assert } from '../../fs/assert.ts'
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../record.ts'
import type { HostPort } from './address.ts'
import { formatAddress, parseAddress } from './address.ts'
import { DialLoop } from './dial-loop.ts'
import { isPreferredDialer, replaces } from './dial-policy.ts'
import { answerJoin, JOINS_AT_ONCE, type JoinGate } from './join-protocol.ts'
import { type MessageCipher, sealLargeMessagesBy } from './large-messages.ts'
import {
  announce,
  dialTcp,
  type Link,
  remoteKeyOf,
  sayRemoved,
  shortKey,
  tcpLink,
  welcome
} from './link.ts'
import {
  FramedConnection,
  type FramedEvents,
  type FramedKind,
  MESSAGE_MAX_BYTES,
  type PeerConnection
} from './peer-connection.ts'
import type { ConnectionKind, Preamble, PreambleAnswer } from './preamble.ts'
import { PROTOCOL_VERSION } from './preamble.ts'
import { RefusalLog } from './refusal-log.ts'
import { TcpListener } from './tcp-listener.ts'
import { TransportError } from './transport-error.ts'

/** Hypercore replication frames its own messages: the Noise stream's limit applies. */
const LOG_MESSAGE_MAX_BYTES = 2 ** 24 - 1 - 17

/** Removed keys that are told so at a time; more are cut. */
const FAREWELLS_AT_ONCE = 4

export type MemberConnectionKind = Exclude<ConnectionKind, 'join'>
const MEMBER_KINDS: readonly MemberConnectionKind[] = ['control', 'bulk', 'log']

export interface ConnectionHandlers extends FramedEvents {
  onConnection(connection: PeerConnection): void
  /**
   * An encrypted stream for the replication of the logs with `member`, until it emits 'close'.
   * The receiver attaches to it before it returns.
   */
  onLogStream(member: MemberId, stream: NoiseSecretStream, isInitiator: boolean): void
  /** That member, whose key is proven, says that this one was removed from the volume. */
  onRemoved(by: MemberId): void
}

/** Another way to reach members than their TCP addresses (see discovery.ts). */
export interface AlternativeRoute {
  /** Streams whose key passed `firewall`; called back until `close`. */
  open(events: {
    firewall: (remoteKey: string, address: string) => boolean
    onLink: (link: Link) => void
  }): Promise<void>
  /** Rejects with TransportError when `member` cannot be reached that way in time. */
  dial(remoteKey: string, timeoutMs: number): Promise<Link>
  close(): Promise<void>
}

export interface ConnectionsComponents {
  readonly keyPair: KeyPair
  /** The current record; call `membersChanged` when it is another one. */
  readonly record: () => EpochRecord
  readonly handlers: ConnectionHandlers
  readonly clock: Clock
  readonly logger: Logger
  /** 0 <= x < 1, for the spread of reconnect attempts. */
  readonly random: () => number
  /** Who may join, at a data member. */
  readonly joinGate?: JoinGate
  readonly alternative?: AlternativeRoute
  /** Seals large messages; libsodium does unless given. */
  readonly cipher?: MessageCipher
}

export interface ConnectionsOptions {
  readonly self: MemberId
  readonly listen: HostPort
  /** From accepted socket to accepted preamble, and for each dial; default 5000. */
  readonly handshakeTimeoutMs?: number
  /** Head start of the preferred dialer; default 3000. */
  readonly reserveDialMs?: number
  /** A connection that lives this long resets the pause between dials; default 2000. */
  readonly stableMs?: number
  /** Queue above which `send` returns false; default 1 MiB control, 8 MiB bulk. */
  readonly highWaterBytes?: Readonly<Record<FramedKind, number>>
  /** Queue above which a connection is closed; default 64 MiB. */
  readonly hardLimitBytes?: number
}

interface LogConnection {
  readonly kind: 'log'
  readonly dialed: boolean
  close(reason: string): void
}

type Held = FramedConnection | LogConnection

export class Connections {
  readonly #components: ConnectionsComponents
  readonly #options: Required<ConnectionsOptions>
  readonly #refusals: RefusalLog
  readonly #listener: TcpListener
  readonly #held = new Map<string, Held>()
  readonly #loops = new Map<string, DialLoop>()
  readonly #joins = new Set<Link>()
  readonly #farewells = new Set<Link>()
  #dialable = new Map<MemberId, MemberInfo>()
  #address: HostPort | undefined
  #stopped = false

  constructor(components: ConnectionsComponents, options: ConnectionsOptions) {
    this.#components = components
    this.#options = {
      handshakeTimeoutMs: 5000,
      reserveDialMs: 3000,
      stableMs: 2000,
      highWaterBytes: { control: 1024 * 1024, bulk: 8 * 1024 * 1024 },
      hardLimitBytes: 64 * 1024 * 1024,
      ...options
    }
    this.#refusals = new RefusalLog(components)
    this.#listener = new TcpListener(
      {
        keyPair: components.keyPair,
        clock: components.clock,
        firewall: (key, address) => this.#admits(key, address),
        onLink: (link) => void this.#onIncoming(link),
        onRefused: (address, reason) =>
          this.#refusals.warn({ address, reason }, 'connection refused')
      },
      { listen: options.listen, handshakeTimeoutMs: this.#options.handshakeTimeoutMs }
    )
  }

  /** Listens and begins to dial. Rejects with TransportError when the address cannot be had. */
  async start(): Promise<void> {
    this.#address = await this.#listener.open()
    const { alternative } = this.#components
    if (alternative) {
      await alternative.open({
        firewall: (key, address) => this.#admits(key, address),
        onLink: (link) => void this.#onIncoming(link)
      })
    }
    this.membersChanged()
  }

  /** Where it listens (with the port chosen for port 0), once started. */
  get address(): HostPort | undefined {
    return this.#address
  }

  get(member: MemberId, kind: FramedKind): PeerConnection | undefined {
    const held = this.#held.get(slot(member, kind))
    return held instanceof FramedConnection ? held : undefined
  }

  /** Open connections of a kind, in the order of member ids. */
  all(kind: FramedKind): PeerConnection[] {
    const found: PeerConnection[] = []
    for (const held of this.#held.values()) {
      if (held instanceof FramedConnection && held.kind === kind) found.push(held)
    }
    return found.sort((a, b) => a.member - b.member)
  }

  /** To be called when the record changed: dials new members, cuts removed ones. */
  membersChanged(): void {
    if (this.#stopped) return
    const { self } = this.#options
    const record = this.#components.record()
    const before = this.#dialable
    this.#dialable = new Map()
    const own = record.members.find((member) => member.id === self)
    for (const member of record.members) {
      if (member.id === self || own === undefined) continue
      if (before.get(member.id)?.publicKey === member.publicKey) before.delete(member.id)
      this.#dialable.set(member.id, member)
    }
    for (const gone of before.keys()) this.#forget(gone)
    for (const member of this.#dialable.values()) {
      const kinds = own?.role === 'data' && member.role === 'data' ? MEMBER_KINDS : ['control']
      for (const kind of MEMBER_KINDS) {
        if (kinds.includes(kind)) this.#keepDialing(member.id, kind)
      }
    }
  }

  /** Closes everything; `onClose` is called for each connection. */
  async stop(reason = 'stopping'): Promise<void> {
    this.#stopped = true
    for (const loop of this.#loops.values()) loop.stop()
    for (const held of [...this.#held.values()]) finish(held, reason)
    for (const link of [...this.#joins, ...this.#farewells]) link.stream.destroy()
    await this.#components.alternative?.close()
    if (this.#address !== undefined) await this.#listener.close()
  }

  #memberOfKey(key: string): MemberInfo | undefined {
    const { self } = this.#options
    return this.#components
      .record()
      .members.find((member) => member.publicKey === key && member.id !== self)
  }

  #admits(key: string, address: string): boolean {
    if (this.#stopped) return false
    if (this.#memberOfKey(key) || this.#components.joinGate?.knows(key)) return true
    if (this.#isRemoved(key) && this.#farewells.size < FAREWELLS_AT_ONCE) return true
    this.#refusals.warn({ key: shortKey(key), address }, 'key is not a member: refused')
    return false
  }

  #isRemoved(key: string): boolean {
    return this.#components.record().removedKeys.includes(key)
  }

  #bidFarewell(link: Link): void {
    this.#farewells.add(link)
    link.stream.on('close', () => this.#farewells.delete(link))
    const fields = { key: shortKey(remoteKeyOf(link)), address: link.address }
    this.#refusals.warn(fields, 'key of a removed member: refused')
    sayRemoved(link, this.#components.clock, this.#options.handshakeTimeoutMs)
  }

  async #onIncoming(link: Link): Promise<void> {
    const { clock } = this.#components
    const key = remoteKeyOf(link)
    if (this.#isRemoved(key)) {
      this.#bidFarewell(link)
      return
    }
    let preamble: Preamble
    try {
      preamble = await welcome(
        link,
        (asked) => this.#judge(key, asked, link),
        clock,
        this.#options.handshakeTimeoutMs
      )
    } catch (error) {
      if (!(error instanceof TransportError)) throw error
      const fields = { key: shortKey(key), address: link.address, reason: error.message }
      if (!this.#stopped) this.#refusals.warn(fields, 'connection refused')
      return
    }
    if (preamble.kind === 'join') await this.#serveJoin(link, key)
    else this.#adopt(key, preamble.kind, link, false)
  }

  #judge(key: string, asked: Preamble, link: Link): PreambleAnswer {
    const member = this.#memberOfKey(key)
    if (asked.version !== PROTOCOL_VERSION) return 'version'
    if (asked.volumeId !== this.#components.record().volumeId) return 'volume'
    if (asked.kind === 'join') {
      if (!this.#components.joinGate?.knows(key)) return 'kind'
      if (this.#joins.size >= JOINS_AT_ONCE) return 'busy'
      this.#joins.add(link)
      return 'accepted'
    }
    if (!member) return 'kind'
    const held = this.#held.get(slot(member.id, asked.kind))
    if (held && !replaces(this.#options.self, member.id, held, { dialed: false })) {
      return 'duplicate'
    }
    return 'accepted'
  }

  async #serveJoin(link: Link, key: string): Promise<void> {
    const { joinGate, clock, logger } = this.#components
    assert(joinGate !== undefined, 'join accepted without a gate')
    try {
      await answerJoin(link, key, joinGate, clock, this.#options.handshakeTimeoutMs)
    } catch (error) {
      link.stream.destroy()
      const reason = error instanceof Error ? error.message : String(error)
      logger.warn({ key: shortKey(key), address: link.address, reason }, 'join failed')
    } finally {
      this.#joins.delete(link)
    }
  }

  /** Puts an accepted link into its slot, or drops it for the one that stands there. */
  #adopt(key: string, kind: MemberConnectionKind, link: Link, dialed: boolean): void {
    const member = this.#memberOfKey(key)
    if (this.#stopped || member === undefined || link.stream.destroyed) {
      link.stream.destroy()
      return
    }
    const name = slot(member.id, kind)
    const existing = this.#held.get(name)
    if (existing) {
      if (!replaces(this.#options.self, member.id, existing, { dialed })) {
        link.stream.destroy()
        return
      }
      existing.close('replaced by a newer connection')
    }
    const { logger } = this.#components
    logger.info({ member: member.id, kind, address: link.address, dialed }, 'connected')
    if (kind === 'log') this.#adoptLog(member.id, link, dialed)
    else this.#adoptFramed(member.id, kind, link, dialed)
  }

  #adoptFramed(member: MemberId, kind: FramedKind, link: Link, dialed: boolean): void {
    const { handlers, cipher } = this.#components
    const large = cipher && sealLargeMessagesBy(cipher, link.stream)
    const { highWaterBytes, hardLimitBytes } = this.#options
    const connection = new FramedConnection(
      {
        link,
        ...(large ? { large } : {}),
        events: {
          onMessage: (from, type, payload) => handlers.onMessage(from, type, payload),
          onClose: (closed, reason) => {
            this.#onGone(member, kind, connection, reason)
            handlers.onClose(closed, reason)
          }
        }
      },
      { member, kind, dialed, highWaterBytes: highWaterBytes[kind], hardLimitBytes }
    )
    this.#held.set(slot(member, kind), connection)
    this.#loops.get(slot(member, kind))?.connected()
    handlers.onConnection(connection)
    connection.start()
  }

  #adoptLog(member: MemberId, link: Link, dialed: boolean): void {
    const { stream } = link
    link.setMessageLimit(LOG_MESSAGE_MAX_BYTES)
    let reason = 'connection lost'
    const held: LogConnection = {
      kind: 'log',
      dialed,
      close: (why) => {
        reason = why
        stream.destroy()
        this.#onGone(member, 'log', held, reason)
      }
    }
    stream.on('error', (error: Error) => {
      reason = error.message
    })
    stream.on('close', () => this.#onGone(member, 'log', held, reason))
    this.#held.set(slot(member, 'log'), held)
    this.#loops.get(slot(member, 'log'))?.connected()
    this.#components.handlers.onLogStream(member, stream, dialed)
  }

  #onGone(member: MemberId, kind: MemberConnectionKind, held: Held, reason: string): void {
    const name = slot(member, kind)
    if (this.#held.get(name) !== held) return
    this.#held.delete(name)
    this.#components.logger.info({ member, kind, reason }, 'disconnected')
    this.#loops.get(name)?.lost()
  }

  #forget(member: MemberId): void {
    for (const kind of MEMBER_KINDS) {
      this.#loops.get(slot(member, kind))?.stop()
      this.#loops.delete(slot(member, kind))
      const held = this.#held.get(slot(member, kind))
      if (held) finish(held, 'no longer a member')
    }
  }

  #keepDialing(member: MemberId, kind: MemberConnectionKind): void {
    const name = slot(member, kind)
    if (this.#loops.has(name)) return
    const { clock, random, logger } = this.#components
    const { self, reserveDialMs, stableMs } = this.#options
    const loop = new DialLoop(
      {
        clock,
        random,
        attempt: (round) => this.#dial(member, kind, round),
        isConnected: () => this.#held.has(name),
        onFailure: (error, streak) => {
          const reason = error instanceof Error ? error.message : String(error)
          const fields = { member, kind, reason, streak }
          if (streak === 1 && kind === 'control') logger.warn(fields, 'cannot reach member')
          else logger.debug(fields, 'cannot reach member')
        }
      },
      { reserveMs: isPreferredDialer(self, member) ? 0 : reserveDialMs, stableMs }
    )
    this.#loops.set(name, loop)
    loop.start()
  }

  async #dial(id: MemberId, kind: MemberConnectionKind, round: number): Promise<void> {
    const member = this.#dialable.get(id)
    if (member === undefined) return
    const link = await this.#openLink(member, round)
    const limit = kind === 'log' ? LOG_MESSAGE_MAX_BYTES : MESSAGE_MAX_BYTES[kind] + 1
    link.setMessageLimit(limit)
    const { volumeId } = this.#components.record()
    try {
      await announce(link, kind, volumeId, this.#components.clock, this.#options.handshakeTimeoutMs)
    } catch (error) {
      const isRemoved = error instanceof TransportError && error.code === 'removed'
      if (isRemoved && !this.#stopped) this.#components.handlers.onRemoved(id)
      throw error
    }
    this.#adopt(member.publicKey, kind, link, true)
  }

  /** Tries the member's routes in turn: its addresses, then the alternative route. */
  async #openLink(member: MemberInfo, round: number): Promise<Link> {
    const { alternative, keyPair, clock } = this.#components
    const timeoutMs = this.#options.handshakeTimeoutMs
    const routes = member.addresses.length + (alternative ? 1 : 0)
    if (routes === 0) throw new TransportError('unreachable', `${member.name} has no address`)
    const text = member.addresses[round % routes]
    if (text === undefined) {
      assert(alternative !== undefined, 'route without address')
      return alternative.dial(member.publicKey, timeoutMs)
    }
    const to = parseAddress(text)
    if (to === undefined) throw new TransportError('bad-address', `${text} is not host:port`)
    const socket = await dialTcp(to, clock, timeoutMs)
    return tcpLink(socket, {
      isInitiator: true,
      keyPair,
      firewall: (key) => {
        if (key === member.publicKey) return true
        const fields = { member: member.id, address: formatAddress(to), key: shortKey(key) }
        this.#refusals.warn(fields, 'another key answers at a member address')
        return false
      }
    })
  }
}

function finish(held: Held, reason: string): void {
  if (held instanceof FramedConnection) held.finish(reason)
  else held.close(reason)
}

function slot(member: MemberId, kind: MemberConnectionKind): string {
  return `${member}/${kind}`
}
