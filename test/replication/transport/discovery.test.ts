import { join } from 'node:path'
import NoiseSecretStream from '@hyperswarm/secret-stream'
import test from 'brittle'
import createTestnet from 'hyperdht/testnet.js'
import type { MemberId } from '../../../src/fs/primitives.ts'
import { DhtRoute, dialByDiscovery } from '../../../src/replication/transport/discovery.ts'
import { createVolume } from '../../../src/replication/volume/create-volume.ts'
import { Invitations } from '../../../src/replication/volume/invitations.ts'
import { joinVolume } from '../../../src/replication/volume/join-volume.ts'
import { openVolume } from '../../../src/replication/volume/open-volume.ts'
import {
  connected,
  TestClock,
  TestLogger,
  TestMember,
  TestVolume,
  until,
  VOLUME_ID
} from './members.ts'

const LOOPBACK = '127.0.0.1'

async function ownDht() {
  const testnet = await createTestnet(3, { host: LOOPBACK })
  const bootstrap = testnet.bootstrap.map(({ host, port }) => `${host}:${port}`)
  return { testnet, bootstrap }
}

test('discovery - members without addresses find each other through an own DHT', async (t) => {
  const { testnet, bootstrap } = await ownDht()
  const keyPairs = [NoiseSecretStream.keyPair(), NoiseSecretStream.keyPair()]
  const volume = new TestVolume([0, 0], { reserveDialMs: 60_000 }, (index) => {
    const keyPair = volumeKey(index)
    return {
      keyPair,
      alternative: new DhtRoute(
        { keyPair, clock: new TestClock(), logger: new TestLogger() },
        { volumeId: VOLUME_ID, bootstrap, bindHost: LOOPBACK }
      )
    }
  })
  function volumeKey(index: number) {
    const keyPair = keyPairs[index]
    if (!keyPair) throw new Error('no key')
    return keyPair
  }
  volume.record = {
    ...volume.record,
    members: volume.record.members.map((member, index) => ({
      ...member,
      publicKey: volumeKey(index).publicKey.toString('hex'),
      addresses: []
    }))
  }
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2)
  await connected(b, 1)
  await connected(b, 1, 'bulk')
  await until('log streams', () => a.logStreams.length === 1 && b.logStreams.length === 1)
  toB.send(5, [Buffer.alloc(300_000, 1)])
  await until('message', () => b.received.length === 1)
  t.is(b.received[0]?.payload.length, 300_000)

  const stranger = NoiseSecretStream.keyPair()
  const route = new DhtRoute(
    { keyPair: stranger, clock: new TestClock(), logger: new TestLogger() },
    { volumeId: VOLUME_ID, bootstrap, bindHost: LOOPBACK }
  )
  await t.exception(route.dial(volumeKey(0).publicKey.toString('hex'), 2000))
  await until('refusal', () => a.logger.count('key is not a member: refused') > 0)
  await route.close()
  await volume.stop()
  await testnet.destroy()
})

test('discovery - a joiner that cannot reach the address joins through the DHT', async (t) => {
  const { testnet, bootstrap } = await ownDht()
  const base = await t.tmp()
  const listen = { host: LOOPBACK, port: 0 }
  const discovery = { bootstrap }
  const record = await createVolume(join(base, 'a'), {
    name: 'www',
    memberName: 'web1',
    listen,
    addresses: [],
    discovery
  })
  const opened = openVolume(join(base, 'a'))
  t.alike(opened.settings.discovery, discovery)
  const clock = new TestClock()
  const logger = new TestLogger()
  let current = record
  const invitations = new Invitations(
    {
      keyPair: opened.keyPair,
      record: () => current,
      book: opened.invites,
      saveBook: () => {},
      admit: async (member) => {
        current = { ...current, members: [...current.members, member], nextMemberId: 3 }
      },
      clock,
      logger
    },
    { discovery }
  )
  const { volumeId } = record
  const { keyPair } = opened
  const a = new TestMember(
    () => current,
    keyPair,
    { self: 1 as MemberId, listen },
    {
      joinGate: invitations,
      alternative: new DhtRoute(
        { keyPair, clock, logger },
        { volumeId, bootstrap, bindHost: LOOPBACK }
      )
    }
  )
  await a.connections.start()
  const code = invitations.invite({ role: 'data', ttlMs: 60_000 })
  await until('announcement', () => logger.count('announced in the DHT') > 0)
  const joined = await joinVolume(
    code,
    join(base, 'b'),
    {
      clock,
      discover: (call) => dialByDiscovery(call, { clock, logger }, { bindHost: LOOPBACK })
    },
    { memberName: 'web2', listen, timeoutMs: 10_000 }
  )
  t.is(joined.member, 2 as MemberId)
  t.alike(openVolume(join(base, 'b')).settings.discovery, discovery)
  await a.connections.stop()
  await testnet.destroy()
})

test('discovery - a bad bootstrap list is refused at once', async (t) => {
  const components = {
    keyPair: NoiseSecretStream.keyPair(),
    clock: new TestClock(),
    logger: new TestLogger()
  }
  for (const bootstrap of [[], ['nonsense'], ['127.0.0.1:0']]) {
    await t.exception(
      () => new DhtRoute(components, { volumeId: VOLUME_ID, bootstrap }),
      /bootstrap/
    )
  }
})
