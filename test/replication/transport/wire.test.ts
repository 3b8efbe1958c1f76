import { randomBytes } from 'node:crypto'
import test from 'brittle'
import type { MemberId } from '../../../src/fs/primitives.ts'
import {
  formatAddress,
  parseAddress,
  reachableAddresses
} from '../../../src/replication/transport/address.ts'
import {
  BACKOFF_MAX_MS,
  backoffMs,
  isPreferredDialer,
  replaces
} from '../../../src/replication/transport/dial-policy.ts'
import {
  ANSWERS,
  CONNECTION_KINDS,
  decodeAnswer,
  decodePreamble,
  encodeAnswer,
  encodePreamble
} from '../../../src/replication/transport/preamble.ts'
import { RefusalLog } from '../../../src/replication/transport/refusal-log.ts'
import { TestClock, TestLogger, VOLUME_ID } from './members.ts'

test('address - reads what it writes and refuses the rest', (t) => {
  for (const text of ['10.0.0.1:4907', 'web-1.example.org:1', '[fe80::1%eth0]:65535', '[::1]:0']) {
    const address = parseAddress(text)
    t.ok(address)
    if (address) t.is(formatAddress(address), text)
  }
  const bad = ['', 'host', ':1', 'host:', 'host:65536', 'host:-1', '::1:1', '[host]:1', 'a b:1']
  for (const text of [...bad, 'host:1:2', 'x'.repeat(300), 'host/..:1', '[]:1', 'h:1\n']) {
    t.is(parseAddress(text), undefined, JSON.stringify(text.slice(0, 20)))
  }
})

test('address - a listener on all interfaces is reachable at concrete addresses', (t) => {
  t.alike(reachableAddresses({ host: '10.1.2.3', port: 7 }), ['10.1.2.3:7'])
  const found = reachableAddresses({ host: '0.0.0.0', port: 7 })
  t.ok(found.length > 0)
  for (const text of found) t.is(parseAddress(text)?.port, 7)
  t.absent(found.includes('0.0.0.0:7'))
})

test('preamble - golden bytes', (t) => {
  t.is(encodePreamble('control', VOLUME_ID).toString('hex'), `746466730301${VOLUME_ID}`)
  t.is(encodePreamble('join', VOLUME_ID).toString('hex'), `746466730304${VOLUME_ID}`)
  t.is(encodeAnswer('accepted').toString('hex'), '746466730300')
  t.is(encodeAnswer('duplicate').toString('hex'), '746466730305')
})

test('preamble - every kind and answer comes back, nothing else is taken', (t) => {
  for (const kind of CONNECTION_KINDS) {
    t.alike(decodePreamble(encodePreamble(kind, VOLUME_ID)), {
      version: 3,
      kind,
      volumeId: VOLUME_ID
    })
  }
  for (const answer of ANSWERS) t.is(decodeAnswer(encodeAnswer(answer)), answer)
  const good = encodePreamble('bulk', VOLUME_ID)
  for (let length = 0; length < good.length; length++) {
    if (decodePreamble(good.subarray(0, length))) t.fail(`${length} bytes were taken`)
  }
  for (let i = 0; i < 2000; i++) {
    const bytes = randomBytes(i % 40)
    if (decodePreamble(bytes) || decodeAnswer(bytes)) t.fail(bytes.toString('hex'))
  }
})

test('dial policy - both ends keep the same one of two connections', (t) => {
  const [low, high] = [1 as MemberId, 2 as MemberId]
  t.is(isPreferredDialer(high, low), true)
  t.is(isPreferredDialer(low, high), false)
  for (const first of ['low', 'high']) {
    for (const second of ['low', 'high']) {
      const atLow = replaces(low, high, { dialed: first === 'low' }, { dialed: second === 'low' })
      const atHigh = replaces(
        high,
        low,
        { dialed: first === 'high' },
        { dialed: second === 'high' }
      )
      t.is(atLow, atHigh, `${first} then ${second}`)
      t.is(atLow, first === second || second === 'high')
    }
  }
})

test('dial policy - the pause grows and stays bounded', (t) => {
  let before = 0
  for (let failures = 0; failures < 100; failures++) {
    const pause = backoffMs(failures, 0.5)
    t.ok(pause >= before && pause <= BACKOFF_MAX_MS)
    before = pause
  }
  t.is(backoffMs(0, 0), 38)
  t.is(backoffMs(0, 1), 63)
  t.is(backoffMs(1000, 1), BACKOFF_MAX_MS)
})

test('refusal log - a flood of strangers gives a bounded number of lines', (t) => {
  const logger = new TestLogger()
  class StillClock extends TestClock {
    nowMs = 0
    override monotonicMs(): number {
      return this.nowMs
    }
  }
  const clock = new StillClock()
  const refusals = new RefusalLog({ clock, logger })
  for (let i = 0; i < 1000; i++) refusals.warn({ i }, 'refused')
  t.is(logger.lines.length, 20)
  clock.nowMs = 1000
  refusals.warn({}, 'refused')
  refusals.warn({}, 'refused')
  t.is(logger.lines.length, 21)
  t.is(logger.lines[20]?.fields['suppressedLines'], 980)
})
