/** Nodes of the tests of logs: a store of logs each, connected over TCP on the loopback with Noise. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import type { Test } from 'brittle'
import type { Seq } from '../../../src/fs/primitives.ts'
import type { ForeignLog } from '../../../src/replication/storage/foreign-log.ts'
import type { LogFailure } from '../../../src/replication/storage/log-failure.ts'
import { WriterLogs } from '../../../src/replication/storage/writer-logs.ts'
import { MemoryLogger, range } from './support.ts'

export interface Node {
  readonly logs: WriterLogs
  readonly failures: LogFailure[]
}

export async function openNode(t: Test, dir: string, queueMaxBlocks = 4096): Promise<Node> {
  const failures: LogFailure[] = []
  const logs = await WriterLogs.open(
    { dir, logger: new MemoryLogger(), onFailure: (failure) => failures.push(failure) },
    { queueMaxBlocks }
  )
  t.teardown(() => logs.close(), { order: 1 })
  return { logs, failures }
}

/** Connects two nodes over TCP on loopback with Noise; returns how to cut them apart. */
export async function connectNodes(
  t: Test,
  a: Node,
  b: Node,
  wrap: (socket: Socket) => Duplex = (socket) => socket
): Promise<() => Promise<void>> {
  const server = createServer()
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no port')
  const client = connect(address.port, '127.0.0.1')
  const socket = await accepted
  server.close()
  const streams = [new NoiseSecretStream(true, client), new NoiseSecretStream(false, wrap(socket))]
  const closed = streams.map((stream) => once(stream, 'close'))
  for (const stream of streams) stream.on('error', () => undefined)
  const [first, second] = streams
  if (!first || !second) throw new Error('no streams')
  a.logs.replicate(first)
  b.logs.replicate(second)
  const cut = async (): Promise<void> => {
    for (const stream of streams) stream.destroy()
    await Promise.all(closed)
  }
  t.teardown(cut, { order: 0 })
  return cut
}

export function block(seq: number): Buffer {
  return Buffer.from(`block of entry ${seq}`)
}

export function blocks(from: number, to: number): Buffer[] {
  return range(from, to).map(block)
}

/** Collects blocks until `last` has come; checks order and content. */
export function collect(t: Test, log: ForeignLog, from: number, last: number): Promise<void> {
  return new Promise((resolve) => {
    let next = from
    log.deliver(from as Seq, (seq, bytes) => {
      if (seq !== next || !bytes.equals(block(seq))) t.fail(`got ${seq} instead of ${next}`)
      next++
      if (seq === last) resolve()
    })
  })
}
