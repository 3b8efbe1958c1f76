/**
 * The network between the members of a test volume, as a process of its own so that nothing the
 * test does holds it up: `node network-proxy.js`, JSON lines on stdin and stdout (network.ts).
 *
 * Every member is reached through a port of this process, so each byte between two members passes
 * here. Each direction of each pair can be stalled: bytes, ends and new connections of that
 * direction are held back, as by a firewall that drops packets, and go on when it is healed. A cut
 * pair has its connections reset and new ones refused.
 */
import { createServer, connect as dial, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { NetworkRequest } from './network.ts'
import { ownerOfPort } from './socket-owner.ts'

interface Member {
  readonly name: string
  readonly port: number
  readonly pidFile: string
}

/** Both directions of one connection; `dialer` is undefined when it is no member yet. */
interface Connection {
  readonly dialer: string | undefined
  readonly target: Member
  readonly near: Socket
  far: Socket | undefined
}

const members = new Map<string, Member>()
const stalled = new Set<string>()
const cut = new Set<string>()
const connections = new Set<Connection>()

function direction(from: string | undefined, to: string | undefined): string {
  return `${from}>${to}`
}

function isStalled(from: string | undefined, to: string | undefined): boolean {
  return stalled.has(direction(from, to))
}

function close(connection: Connection): void {
  connections.delete(connection)
  connection.near.destroy()
  connection.far?.destroy()
}

/** Carries bytes of one direction; what arrives while it is stalled waits in the kernel. */
function pump(
  connection: Connection,
  source: Socket,
  sink: Socket,
  from: string,
  to: string
): void {
  source.on('data', (chunk) => {
    if (!sink.write(chunk)) source.pause()
    if (isStalled(from, to)) source.pause()
  })
  sink.on('drain', () => {
    if (!isStalled(from, to)) source.resume()
  })
  const ended = (): void => {
    if (!isStalled(from, to)) close(connection)
  }
  source.on('error', ended)
  source.on('close', ended)
}

/** Sets in motion what the state of the network allows now. */
function settle(connection: Connection): void {
  const { dialer, target, near, far } = connection
  const names = [dialer ?? '', target.name] as const
  if (cut.has(direction(...names)) || cut.has(direction(names[1], names[0]))) {
    close(connection)
    return
  }
  const there = isStalled(names[0], names[1])
  const back = isStalled(names[1], names[0])
  if (far === undefined) {
    if (!there && !back) open(connection, names[0])
    else if (near.destroyed) close(connection)
    return
  }
  for (const [source, isHeld] of [[near, there] as const, [far, back] as const]) {
    if (isHeld) source.pause()
    else if (source.destroyed) close(connection)
    else source.resume()
  }
}

function open(connection: Connection, dialer: string): void {
  const { target, near } = connection
  const far = dial({ host: '127.0.0.1', port: target.port, noDelay: true })
  connection.far = far
  pump(connection, near, far, dialer, target.name)
  pump(connection, far, near, target.name, dialer)
  near.resume()
}

function accept(near: Socket, target: Member): void {
  near.on('error', () => {})
  near.pause()
  near.setNoDelay(true)
  const owner = ownerOfPort(
    near.remotePort ?? 0,
    [...members.values()].map((member) => member.pidFile)
  )
  const dialer = [...members.values()].find((member) => member.pidFile === owner)?.name
  const connection: Connection = { dialer, target, near, far: undefined }
  connections.add(connection)
  near.on('close', () => {
    if (connection.far === undefined) connections.delete(connection)
  })
  settle(connection)
}

async function add(name: string, port: number, pidFile: string): Promise<number> {
  const member = { name, port, pidFile }
  members.set(name, member)
  const server = createServer({ pauseOnConnect: true }, (near) => accept(near, member))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return address.port
}

async function serve(request: NetworkRequest): Promise<number> {
  if (request.op === 'add') return add(request.name, request.port, request.pidFile)
  if (request.op === 'heal') {
    stalled.clear()
    cut.clear()
  } else {
    const set = request.op === 'stall' ? stalled : cut
    for (const [from, to] of request.directions) set.add(direction(from, to))
  }
  for (const connection of [...connections]) settle(connection)
  return connections.size
}

const input = createInterface({ input: process.stdin })
input.on('line', async (line) => {
  const request = JSON.parse(line) as NetworkRequest & { readonly id: number }
  try {
    process.stdout.write(`${JSON.stringify({ id: request.id, value: await serve(request) })}\n`)
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id: request.id, error: String(error) })}\n`)
  }
})
input.on('close', () => process.exit(0))
