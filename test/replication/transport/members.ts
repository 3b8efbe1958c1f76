/** Members with real sockets on loopback, for the tests of this folder. */
import { connect as connectSocket, type Socket } from 'node:net'
import NoiseSecretStream, { type KeyPair } from '@hyperswarm/secret-stream'
import type { Clock } from '../../../src/fs/ports/clock.ts'
import type { LogFields, Logger } from '../../../src/fs/ports/logger.ts'
import type { MemberId } from '../../../src/fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../../../src/replication/record.ts'
import {
  Connections,
  type ConnectionsComponents,
  type ConnectionsOptions
} from '../../../src/replication/transport/connections.ts'
import type { PeerConnection } from '../../../src/replication/transport/peer-connection.ts'
import { ProtocolError } from '../../../src/replication/transport/transport-error.ts'
import { epochRecord } from '../records.ts'

export const VOLUME_ID = '00112233445566778899aabbccddeeff'

/** The machine's clock, until a test shifts it. */
export class TestClock implements Clock {
  wallShiftMs = 0

  wall() {
    const ms = Date.now() + this.wallShiftMs
    return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 }
  }

  monotonicMs(): number {
    return performance.now()
  }

  setTimer(delayMs: number, fn: () => void) {
    const timer = setTimeout(fn, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  }
}

export class TestLogger implements Logger {
  readonly lines: { level: string; fields: LogFields; message: string }[] = []

  debug(fields: LogFields, message: string): void {
    this.#add('debug', fields, message)
  }

  info(fields: LogFields, message: string): void {
    this.#add('info', fields, message)
  }

  warn(fields: LogFields, message: string): void {
    this.#add('warn', fields, message)
  }

  error(fields: LogFields, message: string): void {
    this.#add('error', fields, message)
  }

  child(): Logger {
    return this
  }

  count(message: string): number {
    return this.lines.filter((line) => line.message === message).length
  }

  #add(level: string, fields: LogFields, message: string): void {
    this.lines.push({ level, fields, message })
  }
}

/** Resolves once `condition` holds; fails after 20 s. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export interface Received {
  readonly from: PeerConnection
  readonly type: number
  readonly payload: Uint8Array
}

export class TestMember {
  readonly logger = new TestLogger()
  readonly opened: PeerConnection[] = []
  readonly closed: { connection: PeerConnection; reason: string }[] = []
  readonly received: Received[] = []
  readonly removedBy: MemberId[] = []
  readonly logStreams: { member: MemberId; stream: NoiseSecretStream; initiator: boolean }[] = []
  onMessage: (message: Received) => void = (message) => {
    if (message.type === 255) throw new ProtocolError('type 255 is not a message')
    this.received.push({ ...message, payload: Buffer.from(message.payload) })
  }
  readonly connections: Connections

  constructor(
    record: () => EpochRecord,
    keyPair: KeyPair,
    options: ConnectionsOptions,
    more: Partial<ConnectionsComponents> = {}
  ) {
    this.connections = new Connections(
      {
        keyPair,
        record: record,
        clock: new TestClock(),
        logger: this.logger,
        random: () => 0.5,
        handlers: {
          onConnection: (connection) => this.opened.push(connection),
          onMessage: (from, type, payload) => this.onMessage({ from, type, payload }),
          onClose: (connection, reason) => this.closed.push({ connection, reason }),
          onLogStream: (member, stream, initiator) =>
            this.logStreams.push({ member, stream, initiator }),
          onRemoved: (by) => this.removedBy.push(by)
        },
        ...more
      },
      options
    )
  }
}

export function recordOf(members: readonly MemberInfo[]): EpochRecord {
  return epochRecord({ volumeId: VOLUME_ID, volumeName: 'www', members })
}

export function memberInfo(id: number, keyPair: KeyPair, addresses: string[] = []): MemberInfo {
  return {
    id: id as MemberId,
    name: `node${id}`,
    publicKey: keyPair.publicKey.toString('hex'),
    addresses,
    role: 'data'
  }
}

/** A few members in one record, not started; each listens on its own loopback port. */
export class TestVolume {
  readonly keyPairs: KeyPair[]
  readonly members: TestMember[]
  record: EpochRecord

  constructor(
    ports: readonly number[],
    options: Partial<ConnectionsOptions> = {},
    more: (index: number) => Partial<ConnectionsComponents> = () => ({})
  ) {
    this.keyPairs = ports.map(() => NoiseSecretStream.keyPair())
    this.record = recordOf(
      this.keyPairs.map((keyPair, index) =>
        memberInfo(index + 1, keyPair, [`127.0.0.1:${ports[index]}`])
      )
    )
    this.members = this.keyPairs.map(
      (keyPair, index) =>
        new TestMember(
          () => this.record,
          keyPair,
          {
            self: (index + 1) as MemberId,
            listen: { host: '127.0.0.1', port: ports[index] ?? 0 },
            ...options
          },
          more(index)
        )
    )
  }

  member(index: number): TestMember {
    const member = this.members[index]
    if (!member) throw new Error(`no member ${index}`)
    return member
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.connections.stop()))
  }
}

/** The connection of `member` to the member with id `peer`, once it is open. */
export async function connected(
  member: TestMember,
  peer: number,
  kind: 'control' | 'bulk' = 'control'
): Promise<PeerConnection> {
  const get = () => member.connections.get(peer as MemberId, kind)
  await until(`${kind} connection with ${peer}`, () => get() !== undefined)
  const connection = get()
  if (!connection) throw new Error('gone again')
  return connection
}

/** Free loopback ports: taken and given back, so a little race is left to the kernel. */
export async function freePorts(count: number): Promise<number[]> {
  const { createServer } = await import('node:net')
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
      return server
    })
  )
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** A plain TCP socket to a member, for talking out of turn. */
export function rawSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host: '127.0.0.1', port })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      resolve(socket)
    })
  })
}
