import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import test, { type Test } from 'brittle'
import type { MemberId } from '../../../src/fs/primitives.ts'
import { loadAddon } from '../../../src/mount/channel/load-addon.ts'
import { nativeSystemCalls } from '../../../src/mount/channel/system-calls.ts'
import {
  type LargeMessages,
  type MessageCipher,
  sealLargeMessagesBy
} from '../../../src/replication/transport/large-messages.ts'
import { FramedConnection } from '../../../src/replication/transport/peer-connection.ts'

const SIZES = [1, 16_383, 16_384, 16_385, 20_000, 65_537, 131_080, 300_001] as const
const NONCE_AT = 32

interface Counted extends MessageCipher {
  sealed: number
  /** Of these, out of their parts. */
  sealedOutOfParts: number
  opened: number
}

function nativeCipher(): Counted {
  const { addon, reason } = loadAddon()
  const { cipher } = addon ? nativeSystemCalls(addon) : { cipher: undefined }
  if (cipher === undefined) throw new Error(`the native addon is needed here: ${reason}`)
  const counted: Counted = {
    sealed: 0,
    sealedOutOfParts: 0,
    opened: 0,
    seal: (state, sealed, ...parts) => {
      const outcome = cipher.seal(state, sealed, ...parts)
      if (outcome === 'done') counted.sealed++
      if (outcome === 'done' && parts.length > 1) counted.sealedOutOfParts++
      return outcome
    },
    open: (...args) => {
      const outcome = cipher.open(...args)
      if (outcome === 'done') counted.opened++
      return outcome
    }
  }
  return counted
}

async function streams(t: Test, onWay?: (bytes: Buffer) => void) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const accepted = once(server, 'connection')
  const client = connect(address.port, '127.0.0.1')
  const [socket] = await accepted
  if (onWay) alterIncoming(socket, onWay)
  const near = new NoiseSecretStream(true, client)
  const far = new NoiseSecretStream(false, socket)
  for (const stream of [near, far]) stream.on('error', () => {})
  t.teardown(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  await Promise.all([near.opened, far.opened])
  return { near, far }
}

/** Every byte that comes in passes by `onWay`. */
function alterIncoming(socket: Socket, onWay: (bytes: Buffer) => void): void {
  const emit = socket.emit.bind(socket)
  socket.emit = (event: string | symbol, ...args: unknown[]) => {
    const [bytes] = args
    if (event === 'data' && Buffer.isBuffer(bytes)) onWay(bytes)
    return emit(event, ...args)
  }
}

async function carried(
  from: NoiseSecretStream,
  to: NoiseSecretStream,
  messages: readonly Buffer[]
): Promise<boolean> {
  const got: Uint8Array[] = []
  await new Promise<void>((resolve) => {
    to.on('data', (message: Uint8Array) => {
      got.push(Buffer.from(message))
      if (got.length === messages.length) resolve()
    })
    to.on('close', () => resolve())
    for (const message of messages) {
      const place = from.alloc(message.length)
      place.set(message)
      from.write(place)
    }
  })
  return messages.every((message, index) => got[index] !== undefined && message.equals(got[index]))
}

test('large messages - sealed here, opened by libsodium, and the other way round', async (t) => {
  const messages = SIZES.map((size) => randomBytes(size))
  const large = SIZES.filter((size) => size >= 16_384).length
  for (const end of ['near', 'far'] as const) {
    const { near, far } = await streams(t)
    const cipher = nativeCipher()
    await secure(near, far)
    sealLargeMessagesBy(cipher, end === 'near' ? near : far)
    t.ok(await carried(near, far, messages))
    t.alike([cipher.sealed, cipher.opened], end === 'near' ? [large, 0] : [0, large])
  }
})

test('large messages - where the counter ends libsodium makes the next key', async (t) => {
  for (const sealsHere of [true, false]) {
    const { near, far } = await streams(t)
    const cipher = nativeCipher()
    await secure(near, far)
    sealLargeMessagesBy(cipher, sealsHere ? near : far)
    for (const half of [near._encrypt, far._decrypt]) {
      if (half === null) throw new Error('the handshake is not over')
      half.state.fill(0xff, NONCE_AT, NONCE_AT + 4)
      half.state[NONCE_AT] = 0xfe
    }
    t.ok(
      await carried(
        near,
        far,
        [0, 1, 2, 3].map(() => randomBytes(20_000))
      )
    )
    t.is(cipher.sealed + cipher.opened, 3, 'all but the last one of the key')
  }
})

test('large messages - a changed bit ends the stream, and nothing of the message is delivered', async (t) => {
  const message = randomBytes(50_000)
  for (const place of ['tag', 'body', 'sum'] as const) {
    let armed = false
    let passed = 0
    const at = { tag: 3, body: 25_000, sum: 3 + 17 + 50_000 - 1 }[place]
    const { near, far } = await streams(t, (bytes) => {
      if (!armed) return
      if (at >= passed && at < passed + bytes.length) {
        bytes[at - passed] = (bytes[at - passed] ?? 0) ^ 1
      }
      passed += bytes.length
    })
    await secure(near, far)
    sealLargeMessagesBy(nativeCipher(), far)
    armed = true
    t.absent(await carried(near, far, [message]), place)
    t.ok(far.destroying, place)
  }
})

const TYPE = 9

test('large messages - sealed out of their parts, which are the callers at once', async (t) => {
  const { near, far } = await streams(t)
  const cipher = nativeCipher()
  await secure(near, far)
  const large = sealLargeMessagesBy(cipher, near)
  if (large === undefined) throw new Error('a stream that is not known')
  const got: Buffer[] = []
  far.on('data', (message: Uint8Array) => got.push(Buffer.from(message)))
  const sent: Buffer[] = []
  const send = (...sizes: number[]): void => {
    const parts = sizes.map((size) => randomBytes(size))
    const whole = Buffer.concat([Buffer.of(TYPE), ...parts])
    const sealed = large.seal(TYPE, parts, whole.length)
    for (const part of parts) part.fill(0)
    near.write(sealed ?? copied(near, whole))
    sent.push(whole)
  }
  for (const [sizes, outOfParts] of [
    [[[30, 524_288]], 1],
    [[[16_382]], 0],
    [[[16_383]], 1],
    [[[10], [30_000, 1, 30_000], [5]], 0],
    [[[0, 100_000, 0], [10], [200_000], [20_000]], 1]
  ] as const) {
    const before = cipher.sealedOutOfParts
    for (const each of sizes) send(...each)
    await until(() => got.length === sent.length || far.destroying)
    t.is(cipher.sealedOutOfParts - before, outOfParts, JSON.stringify(sizes))
  }
  t.alike(got.length, sent.length)
  t.ok(sent.every((message, index) => got[index]?.equals(message)))
})

function copied(stream: NoiseSecretStream, whole: Buffer): Buffer {
  const place = stream.alloc(whole.length)
  place.set(whole)
  return place
}

async function until(condition: () => boolean): Promise<void> {
  for (let left = 10_000; !condition(); left--) {
    if (left === 0) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

test('large messages - a connection sends what the parts were when it was told, in that order', async (t) => {
  const { near, far } = await streams(t)
  const cipher = nativeCipher()
  await secure(near, far)
  const large = sealLargeMessagesBy(cipher, near)
  sealLargeMessagesBy(cipher, far)
  const got: Buffer[] = []
  const options = {
    member: 1 as MemberId,
    kind: 'bulk',
    dialed: true,
    highWaterBytes: 1 << 20,
    hardLimitBytes: 1 << 30
  } as const
  const connection = (stream: NoiseSecretStream, more: { large?: LargeMessages }) =>
    new FramedConnection(
      {
        link: { stream, address: 'near', setMessageLimit: () => {}, socketBytes: () => 0 },
        events: {
          onMessage: (_, type, payload) => got.push(Buffer.concat([Buffer.of(type), payload])),
          onClose: () => {}
        },
        ...more
      },
      options
    )
  const from = connection(near, large ? { large } : {})
  const to = connection(far, {})
  from.start()
  to.start()
  const sent: Buffer[] = []
  const buffer = Buffer.alloc(600_000)
  for (let i = 0; i < 60; i++) {
    const size = [524_288, 100, 20_000, 16_383, 300_000][i % 6] ?? 0
    const body = buffer.subarray(i, i + size)
    if (i % 20 >= 10) for (let wait = from.ready(); wait; wait = from.ready()) await wait
    body.set(randomBytes(body.length))
    const head = randomBytes(1 + (i % 40))
    sent.push(Buffer.concat([Buffer.of(i), head, body]))
    from.send(i, [head, body])
    head.fill(0)
    body.fill(0)
  }
  await until(() => got.length === sent.length || from.closed || to.closed)
  t.is(got.length, sent.length)
  t.ok(sent.every((message, index) => got[index]?.equals(message)))
  t.ok(cipher.sealedOutOfParts > 0, `${cipher.sealedOutOfParts} were sealed out of their parts`)
})

/** Both ends have said something: their headers have come. */
async function secure(near: NoiseSecretStream, far: NoiseSecretStream): Promise<void> {
  for (const [from, to] of [
    [near, far],
    [far, near]
  ] as const) {
    await new Promise<void>((resolve) => {
      to.once('data', () => resolve())
      from.write(Buffer.from('hello'))
    })
    to.pause()
  }
}
