import { randomBytes } from 'node:crypto'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import test from 'brittle'
import type { MemberId } from '../../../src/fs/primitives.ts'
import { decodeAnswer, encodePreamble } from '../../../src/replication/transport/preamble.ts'
import {
  connected,
  freePorts,
  memberInfo,
  rawSocket,
  recordOf,
  TestMember,
  TestVolume,
  until
} from './members.ts'

test('connections - two members open one of each kind and talk', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2)
  const toA = await connected(b, 1)
  await connected(a, 2, 'bulk')
  await connected(b, 1, 'bulk')
  await until('log streams', () => a.logStreams.length === 1 && b.logStreams.length === 1)
  t.is(toA.dialed, true, 'the larger id dials')
  t.is(toB.dialed, false)
  t.is(a.logStreams[0]?.initiator, false)
  t.is(b.logStreams[0]?.initiator, true)

  const big = randomBytes(8 * 1024 * 1024)
  t.is(toB.send(7, [Buffer.from('one '), Buffer.from('message')]), true)
  toB.send(8, [])
  toB.send(9, [big.subarray(0, 1000), big.subarray(1000)])
  toA.send(1, [Buffer.from('answer')])
  await until('messages', () => b.received.length === 3 && a.received.length === 1)
  t.alike(
    b.received.map((message) => message.type),
    [7, 8, 9]
  )
  t.is(Buffer.from(b.received[0]?.payload ?? []).toString(), 'one message')
  t.is(b.received[1]?.payload.length, 0)
  t.ok(big.equals(b.received[2]?.payload ?? Buffer.alloc(0)), 'the largest message arrives whole')
  t.is(a.received[0]?.from.member, 2 as MemberId)
})

test('connections - parts may be reused as soon as send returns', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2)
  await connected(b, 1)
  const scratch = Buffer.alloc(40_000)
  for (let i = 0; i < 50; i++) {
    scratch.fill(i)
    toB.send(i, [scratch])
  }
  scratch.fill(255)
  await until('all messages', () => b.received.length === 50)
  for (const { type, payload } of b.received) {
    if (!payload.every((byte) => byte === type)) t.fail(`message ${type} is not what was sent`)
  }
  t.pass('50 messages in order and unchanged')
})

test('connections - a key that is not listed is cut before any protocol byte', async (t) => {
  const volume = new TestVolume(await freePorts(1))
  t.teardown(() => volume.stop())
  const a = volume.member(0)
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  const stranger = new NoiseSecretStream(true, await rawSocket(port))
  let heard = 0
  stranger.on('data', () => {
    heard += 1
  })
  stranger.on('error', () => {})
  stranger.write(encodePreamble('control', volume.record.volumeId))
  await new Promise((resolve) => stranger.on('close', resolve))
  t.is(heard, 0)
  t.is(a.logger.count('key is not a member: refused'), 1)
  const line = a.logger.lines.find((one) => one.message.startsWith('key is not'))
  t.is(line?.fields['key'], stranger.publicKey?.toString('hex').slice(0, 8))
  t.is(a.opened.length, 0)
})

test('connections - a removed key hears that alone, and nothing of it is read', async (t) => {
  const volume = new TestVolume(await freePorts(1), { handshakeTimeoutMs: 500 })
  t.teardown(() => volume.stop())
  const a = volume.member(0)
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  const keyPair = NoiseSecretStream.keyPair()
  volume.record = { ...volume.record, removedKeys: [keyPair.publicKey.toString('hex')] }
  const heard: Uint8Array[] = []
  const strangers = []
  for (let i = 0; i < 8; i++) {
    const stranger = new NoiseSecretStream(true, await rawSocket(port), { keyPair })
    stranger.on('data', (data: Uint8Array) => heard.push(data))
    stranger.on('error', () => {})
    stranger.write(Buffer.from('not even a preamble'))
    strangers.push(new Promise((resolve) => stranger.on('close', resolve)))
  }
  await Promise.all(strangers)
  t.ok(heard.length > 0 && heard.length <= 8, 'those beyond the bound are cut')
  for (const message of heard) t.is(decodeAnswer(message), 'removed')
  t.is(a.opened.length, 0)
})

test('connections - garbage and huge lengths are cut, the member goes on', async (t) => {
  const volume = new TestVolume(await freePorts(2), { handshakeTimeoutMs: 500 })
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  const inputs = [
    Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n'),
    Buffer.from([255, 255, 255, 1, 2, 3]),
    Buffer.concat([Buffer.from([48, 0, 0]), randomBytes(48)]),
    Buffer.concat([
      Buffer.from([32, 0, 0]),
      randomBytes(32),
      Buffer.from([99, 0, 0]),
      randomBytes(99)
    ]),
    Buffer.from([0, 0, 0])
  ]
  for (const input of inputs) {
    const socket = await rawSocket(port)
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.resume()
    socket.write(input)
    if (input.length === 3) socket.end()
    await closed
  }
  await until('log lines', () => a.logger.count('connection refused') === inputs.length)
  await b.connections.start()
  t.ok(await connected(a, 2), 'members still connect')
})

test('connections - who says nothing is cut after the handshake timeout', async (t) => {
  const volume = new TestVolume(await freePorts(2), { handshakeTimeoutMs: 100 })
  t.teardown(() => volume.stop())
  const a = volume.member(0)
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  const silent = await rawSocket(port)
  silent.resume()
  await new Promise((resolve) => silent.on('close', resolve))
  await until('first line', () => a.logger.count('connection refused') === 1)

  const dripping = await rawSocket(port)
  dripping.resume()
  const drip = setInterval(() => dripping.write(Buffer.from([1])), 20)
  await new Promise((resolve) => dripping.on('close', resolve))
  clearInterval(drip)
  await until('second line', () => a.logger.count('connection refused') === 2)

  const handshakeOnly = new NoiseSecretStream(true, await rawSocket(port), {
    ...(volume.keyPairs[1] ? { keyPair: volume.keyPairs[1] } : {})
  })
  handshakeOnly.on('error', () => {})
  handshakeOnly.resume()
  await new Promise((resolve) => handshakeOnly.on('close', resolve))
  await until('third line', () => a.logger.count('connection refused') === 3)
  t.is(a.opened.length, 0)
})

test('connections - a preamble of another volume, version or kind is answered and refused', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const a = volume.member(0)
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  const good = encodePreamble('control', volume.record.volumeId)
  const otherVersion = Buffer.from(good)
  otherVersion[4] = 99
  const otherVolume = encodePreamble('control', 'ff'.repeat(16))
  const joining = encodePreamble('join', volume.record.volumeId)
  for (const [preamble, answer] of [
    [otherVersion, 1],
    [otherVolume, 2],
    [joining, 3]
  ] as const) {
    const keyPair = volume.keyPairs[1]
    if (!keyPair) throw new Error('no key')
    const stream = new NoiseSecretStream(true, await rawSocket(port), { keyPair })
    stream.on('error', () => {})
    const heard: Uint8Array[] = []
    stream.on('data', (message: Uint8Array) => heard.push(message))
    stream.write(preamble)
    await new Promise((resolve) => stream.on('close', resolve))
    t.is(heard[0]?.[5], answer)
  }
  t.is(a.logger.count('connection refused'), 3)
  t.is(a.opened.length, 0)
})

test('connections - an oversized or forbidden message closes the connection only', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const a = volume.member(0)
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  for (const [message, reason] of [
    [Buffer.alloc(8 * 1024 * 1024 + 2), /over the limit/],
    [Buffer.from([255]), /type 255/]
  ] as const) {
    const keyPair = volume.keyPairs[1]
    if (!keyPair) throw new Error('no key')
    const stream = new NoiseSecretStream(true, await rawSocket(port), { keyPair })
    stream.on('error', () => {})
    const closed = new Promise((resolve) => stream.on('close', resolve))
    stream.once('data', () => stream.write(message))
    stream.write(encodePreamble('control', volume.record.volumeId))
    await closed
    await until('close', () => a.closed.length > 0)
    t.ok(reason.test(a.closed.pop()?.reason ?? ''))
  }
  await volume.member(1).connections.start()
  t.ok(await connected(a, 2), 'a good connection follows')
})

test('connections - a lost connection is dialed again', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await b.connections.start()
  await until('a failed attempt', () => b.logger.count('cannot reach member') > 0)
  await a.connections.start()
  for (let round = 1; round <= 3; round++) {
    const toB = await connected(a, 2)
    await connected(b, 1)
    toB.close('test')
    t.is(toB.closed, true)
    t.is(toB.send(1, []), false)
    await until('both ends know', () => a.closed.length >= round && b.closed.length >= round)
  }
  await connected(a, 2)
  t.is(b.closed[0]?.reason, 'closed by the other end')
})

test('connections - the smaller id dials when the larger cannot', async (t) => {
  const volume = new TestVolume(await freePorts(2), { reserveDialMs: 20 })
  t.teardown(() => volume.stop())
  const [first] = volume.record.members
  if (!first) throw new Error('no member')
  volume.record = {
    ...volume.record,
    members: volume.record.members.map((member) =>
      member.id === first.id ? { ...member, addresses: [] } : member
    )
  }
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2)
  const toA = await connected(b, 1)
  t.is(toB.dialed, true)
  t.is(toA.dialed, false)
})

test('connections - when both dial, both ends keep the same one', async (t) => {
  for (let round = 0; round < 10; round++) {
    const volume = new TestVolume(await freePorts(2), { reserveDialMs: 0 })
    const [a, b] = [volume.member(0), volume.member(1)]
    await Promise.all([a.connections.start(), b.connections.start()])
    await connected(a, 2)
    await connected(b, 1)
    let echoed = 0
    const talk = async () => {
      const toB = a.connections.get(2 as MemberId, 'control')
      const toA = b.connections.get(1 as MemberId, 'control')
      if (!toB || !toA || toB.dialed === toA.dialed) return
      const [seenA, seenB] = [a.received.length, b.received.length]
      toB.send(1, [])
      toA.send(2, [])
      await until(
        'messages or a replacement',
        () => toB.closed || toA.closed || (a.received.length > seenA && b.received.length > seenB)
      )
      if (!toB.closed && !toA.closed) echoed += 1
    }
    await until('start', () => true)
    for (let i = 0; i < 200 && echoed === 0; i++) {
      await talk()
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    if (echoed === 0) t.fail('the two ends never agreed')
    for (const member of [a, b]) {
      const open = member.opened.filter((one) => one.kind === 'control' && !one.closed)
      if (open.length !== 1) t.fail(`${open.length} control connections are open`)
    }
    await volume.stop()
  }
  t.pass('ten rounds')
})

test('connections - a removed member is cut, a new one dialed', async (t) => {
  const volume = new TestVolume(await freePorts(3))
  t.teardown(() => volume.stop())
  const all = volume.record
  const [first, second] = all.members
  if (!first || !second) throw new Error('no members')
  volume.record = { ...all, members: [first, second] }
  const [a, b, c] = [volume.member(0), volume.member(1), volume.member(2)]
  await Promise.all([a, b, c].map((member) => member.connections.start()))
  await connected(a, 2)
  t.is(a.connections.get(3 as MemberId, 'control'), undefined)
  volume.record = all
  for (const member of [a, b, c]) member.connections.membersChanged()
  const toC = await connected(a, 3)
  await connected(b, 3)
  t.alike(
    a.connections.all('control').map((one) => one.member),
    [2 as MemberId, 3 as MemberId]
  )
  const removedKeys = [all.members[2]?.publicKey ?? '']
  volume.record = { ...all, members: [first, second], removedKeys }
  for (const member of [a, b]) member.connections.membersChanged()
  t.is(toC.closed, true)
  t.is(a.closed.find((one) => one.connection === toC)?.reason, 'no longer a member')
  await until('the removed one is told so', () => c.removedBy.length > 0)
})

test('connections - a second one from the dialing side replaces a half-open one', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const a = volume.member(0)
  await a.connections.start()
  const port = a.connections.address?.port ?? 0
  const dial = async () => {
    const keyPair = volume.keyPairs[1]
    if (!keyPair) throw new Error('no key')
    const stream = new NoiseSecretStream(true, await rawSocket(port), { keyPair })
    stream.on('error', () => {})
    stream.on('data', () => {})
    stream.write(encodePreamble('control', volume.record.volumeId))
    return stream
  }
  const first = await dial()
  const firstAtA = await connected(a, 2)
  const second = await dial()
  await until('replacement', () => a.opened.length === 2)
  t.alike(
    a.closed.map(({ connection, reason }) => [connection === firstAtA, reason]),
    [[true, 'replaced by a newer connection']]
  )
  t.is(a.connections.get(2 as MemberId, 'control'), a.opened[1])
  await until('the first is cut', () => first.destroyed)
  t.is(second.destroyed, false)
  second.destroy()
  await until('loss is noticed', () => a.closed.length === 2)
  t.is(a.connections.get(2 as MemberId, 'control'), undefined)
})

test('connections - another key at a member address is not trusted', async (t) => {
  const [port = 0, portB = 0] = await freePorts(2)
  const impostor = NoiseSecretStream.keyPair()
  const honest = NoiseSecretStream.keyPair()
  const own = NoiseSecretStream.keyPair()
  const listed = recordOf([
    memberInfo(1, honest, [`127.0.0.1:${port}`]),
    memberInfo(2, own, [`127.0.0.1:${portB}`])
  ])
  const believed = recordOf([memberInfo(1, impostor), memberInfo(2, own)])
  const listen = { host: '127.0.0.1', port }
  const liar = new TestMember(() => believed, impostor, { self: 1 as MemberId, listen })
  const b = new TestMember(() => listed, own, {
    self: 2 as MemberId,
    listen: { host: '127.0.0.1', port: portB }
  })
  t.teardown(() => Promise.all([liar.connections.stop(), b.connections.stop()]))
  await liar.connections.start()
  await b.connections.start()
  await until('log line', () => b.logger.count('another key answers at a member address') > 0)
  t.is(b.opened.length, 0)
  t.is(liar.opened.length, 0)
})

test('connections - a port in use is one clear error', async (t) => {
  const volume = new TestVolume(await freePorts(1))
  t.teardown(() => volume.stop())
  await volume.member(0).connections.start()
  const port = volume.member(0).connections.address?.port ?? 0
  const other = new TestVolume([port])
  await t.exception(other.member(0).connections.start(), /in use by another program/)
  await other.stop()
})
