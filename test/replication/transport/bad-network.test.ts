import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import test from 'brittle'
import type { MemberId } from '../../../src/fs/primitives.ts'
import { connected, freePorts, TestVolume, until } from './members.ts'

type Meddle = (chunk: Buffer, forward: Socket, from: Socket) => void

/** A TCP proxy that hands every chunk in either direction to `meddle`. */
class MeddlingProxy {
  readonly server: Server
  readonly sockets = new Set<Socket>()
  meddle: Meddle = (chunk, forward) => {
    forward.write(chunk)
  }

  constructor(targetPort: number) {
    this.server = createServer((near) => {
      const far = connectSocket({ host: '127.0.0.1', port: targetPort })
      for (const [from, to] of [
        [near, far],
        [far, near]
      ] as const) {
        this.sockets.add(from)
        from.on('data', (chunk: Buffer) => this.meddle(chunk, to, from))
        from.on('error', () => {})
        from.on('close', () => {
          to.destroy()
          this.sockets.delete(from)
        })
      }
    })
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve) => this.server.listen(port, '127.0.0.1', () => resolve()))
  }

  close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    return new Promise((resolve) => this.server.close(() => resolve()))
  }
}

async function throughProxy() {
  const [portA = 0, portB = 0, portP = 0] = await freePorts(3)
  const volume = new TestVolume([portA, portB], { reserveDialMs: 60_000, stableMs: 0 })
  volume.record = {
    ...volume.record,
    members: volume.record.members.map((member) =>
      member.id === (1 as MemberId) ? { ...member, addresses: [`127.0.0.1:${portP}`] } : member
    )
  }
  const proxy = new MeddlingProxy(portA)
  await proxy.listen(portP)
  return { volume, proxy, a: volume.member(0), b: volume.member(1) }
}

test('bad network - a changed byte is never delivered, the connection comes back', async (t) => {
  const { volume, proxy, a, b } = await throughProxy()
  let seed = 12345
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return seed % below
  }
  await Promise.all([a.connections.start(), b.connections.start()])
  for (let round = 0; round < 15; round++) {
    const toB = await connected(a, 2)
    const lost = () => a.closed.some(({ connection }) => connection === toB)
    let left = random(60_000)
    let changed = false
    proxy.meddle = (chunk, forward) => {
      if (!changed && chunk.length > left) {
        chunk[left] = (chunk[left] ?? 0) ^ (1 << random(8))
        changed = true
      }
      left = Math.max(0, left - chunk.length)
      forward.write(chunk)
    }
    for (let i = 0; !lost(); i++) {
      toB.send(i % 200, [Buffer.alloc(1 + random(5000), i % 200)])
      await new Promise((resolve) => setImmediate(resolve))
      if (toB.queuedBytes > 8_000_000) {
        t.fail('nothing noticed')
        break
      }
    }
    proxy.meddle = (chunk, forward) => {
      forward.write(chunk)
    }
  }
  await connected(a, 2)
  await connected(b, 1)
  for (const { type, payload } of b.received) {
    if (!payload.every((byte) => byte === type)) t.fail('a changed message was delivered')
  }
  t.ok(b.received.length > 0, `${b.received.length} good messages came through`)
  await volume.stop()
  await proxy.close()
})

test('bad network - cut anywhere, what arrived is a prefix in order', async (t) => {
  const { volume, proxy, a, b } = await throughProxy()
  await Promise.all([a.connections.start(), b.connections.start()])
  for (let round = 0; round < 15; round++) {
    const toB = await connected(a, 2)
    const toA = await connected(b, 1)
    b.received.length = 0
    let left = 1 + round * 9000
    proxy.meddle = (chunk, forward, from) => {
      left -= chunk.length
      if (left > 0) forward.write(chunk)
      else from.destroy()
    }
    for (let i = 0; i < 100; i++) toB.send(i, [Buffer.alloc(3000, i)])
    await until('both ends know', () => toB.closed && toA.closed)
    proxy.meddle = (chunk, forward) => {
      forward.write(chunk)
    }
    const types = b.received.filter(({ from }) => from === toA).map(({ type }) => type)
    t.alike(
      types,
      types.map((_, index) => index)
    )
    t.ok(types.length < 100)
  }
  await volume.stop()
  await proxy.close()
})

test('bad network - one byte at a time is slow but whole', async (t) => {
  const { volume, proxy, a, b } = await throughProxy()
  proxy.meddle = (chunk, forward) => {
    for (const byte of chunk) forward.write(Buffer.from([byte]))
  }
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2)
  await connected(b, 1)
  toB.send(9, [Buffer.alloc(500, 9)])
  await until('message', () => b.received.length === 1)
  t.is(b.received[0]?.payload.length, 500)
  await volume.stop()
  await proxy.close()
})
