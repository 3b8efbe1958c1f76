import test from 'brittle'
import { connected, freePorts, TestVolume, until } from './members.ts'

const MIB = 1024 * 1024

test('backpressure - 100 MB through bulk stay bounded while control messages pass', async (t) => {
  const high = 4 * MIB
  const volume = new TestVolume(await freePorts(2), {
    highWaterBytes: { control: MIB, bulk: high }
  })
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const bulk = await connected(a, 2, 'bulk')
  const control = await connected(a, 2)
  await connected(b, 1, 'bulk')
  await connected(b, 1)
  let arrived = 0
  let expected = 0
  let answers = 0
  b.onMessage = ({ from, type, payload }) => {
    if (from.kind === 'control') {
      from.send(type, [payload])
      return
    }
    if (type !== expected % 250) t.fail(`slice ${expected} came as ${type}`)
    expected += 1
    arrived += payload.length
  }
  a.onMessage = () => {
    answers += 1
    if (arrived < 100 * MIB) control.send(1, [])
  }
  control.send(1, [])
  let peak = 0
  let held = 0
  const slice = Buffer.alloc(MIB, 7)
  for (let i = 0; i < 100; i++) {
    const room = bulk.send(i % 250, [slice])
    peak = Math.max(peak, bulk.queuedBytes)
    if (room) continue
    held += 1
    await bulk.drained()
    if (bulk.queuedBytes > high) t.fail('no room after drained()')
  }
  await until('everything', () => arrived === 100 * MIB)
  t.ok(peak <= high + 2 * MIB, `at most ${peak} bytes were queued`)
  t.ok(held > 0, 'the sender was held')
  t.ok(answers > 10, `${answers} control messages were answered meanwhile`)
})

test('backpressure - a receiver that pauses holds the sender, and resumes without loss', async (t) => {
  const volume = new TestVolume(await freePorts(2))
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2, 'bulk')
  const toA = await connected(b, 1, 'bulk')
  toA.pause()
  const sent = 48
  const piece = Buffer.alloc(MIB)
  for (let i = 0; i < sent; i++) toB.send(1, [piece])
  let drained = false
  const waiting = toB.drained().then(() => {
    drained = true
  })
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.absent(drained)
  const before = b.received.length
  t.ok(before < sent, `${before} of ${sent} came through`)
  toA.resume()
  await waiting
  await until('the rest', () => b.received.length === sent)
  t.pass('nothing lost')
})

test('backpressure - a sender that does not wait is cut off at the hard limit', async (t) => {
  const volume = new TestVolume(await freePorts(2), { hardLimitBytes: 8 * MIB })
  t.teardown(() => volume.stop())
  const [a, b] = [volume.member(0), volume.member(1)]
  await Promise.all([a.connections.start(), b.connections.start()])
  const toB = await connected(a, 2, 'bulk')
  const toA = await connected(b, 1, 'bulk')
  toA.pause()
  const piece = Buffer.alloc(MIB)
  const drained: Promise<void>[] = []
  for (let i = 0; i < 64 && !toB.closed; i++) {
    toB.send(1, [piece])
    if (i === 5) drained.push(toB.drained())
  }
  t.is(toB.closed, true)
  await Promise.all(drained)
  const closed = a.closed.find((one) => one.connection === toB)
  t.ok(/too slow/.test(closed?.reason ?? ''))
  t.is(toB.queuedBytes <= 8 * MIB, true)
})
