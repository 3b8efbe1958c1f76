import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import test, { type Test } from 'brittle'
import { loadAddon } from '../../../src/mount/channel/load-addon.ts'
import { nativeSystemCalls } from '../../../src/mount/channel/system-calls.ts'
import {
  type MessageCipher,
  sealLargeMessagesBy
} from '../../../src/replication/transport/large-messages.ts'

const SIZES = [1, 16_383, 16_384, 16_385, 20_000, 65_537, 131_080, 300_001] as const
const NONCE_AT = 32

interface Counted extends MessageCipher {
  sealed: number
  opened: number
}

function nativeCipher(): Counted {
  const { addon, reason } = loadAddon()
  const { cipher } = addon ? nativeSystemCalls(addon) : { cipher: undefined }
  if (cipher === undefined) throw new Error(`the native addon is needed here: ${reason}`)
  const counted: Counted = {
    sealed: 0,
    opened: 0,
    seal: (...args) => {
      const outcome = cipher.seal(...args)
      if (outcome === 'done') counted.sealed++
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
