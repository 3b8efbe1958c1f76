import test from 'brittle'
import { DecodeError } from '../../../src/fs/byte-codec.ts'
import { LOCK_END } from '../../../src/fs/ports/lock-service.ts'
import { RANGE_END } from '../../../src/fs/ports/token-service.ts'
import type { Ino, MemberId } from '../../../src/fs/primitives.ts'
import { decodeLockPacket, encodeLockPacket } from '../../../src/replication/lock/lock-codec.ts'
import type { LockMessage, LockSpan } from '../../../src/replication/lock/lock-message.ts'
import type { LinkPacket } from '../../../src/replication/token/token-message.ts'
import { Random } from '../../sim/random.ts'

const INO = 5 as Ino
const SPAN: LockSpan = { ino: INO, kind: 'record', owner: 258n, pid: 42, start: 1n, end: 9n }
const FLOCK: LockSpan = { ...SPAN, kind: 'flock', owner: 2n ** 64n - 1n, start: 0n, end: LOCK_END }
const OWNER = '0201000000000000'
const FROM = '0100000000000000'
const TO = '0900000000000000'
const ALL = '0000000000000000 ffffffffffffff7f'

const MESSAGES: readonly (readonly [LockMessage, string])[] = [
  [
    { type: 'want', request: 7, action: 'wait', lock: 'write', ...SPAN },
    `01 07 01 05 01 ${OWNER} 2a ${FROM}${TO}`
  ],
  [
    { type: 'want', request: 7, action: 'try', lock: 'unlock', ...FLOCK },
    `01 07 00 05 06 ffffffffffffffff 2a ${ALL}`
  ],
  [
    {
      type: 'want',
      request: 7,
      action: 'wait',
      lock: 'write',
      ...SPAN,
      bring: { request: 300, mode: 'exclusive', range: { start: 4096, end: 12288 } }
    },
    `01 07 0d 05 01 ${OWNER} 2a ${FROM}${TO} ac02 01 02`
  ],
  [
    {
      type: 'want',
      request: 7,
      action: 'try',
      lock: 'read',
      ...SPAN,
      bring: { request: 1, mode: 'shared', range: { start: 0, end: RANGE_END } }
    },
    `01 07 04 05 00 ${OWNER} 2a ${FROM}${TO} 01 00 00`
  ],
  [
    { type: 'want', request: 8, action: 'query', lock: 'read', ...SPAN },
    `01 08 02 05 00 ${OWNER} 2a ${FROM}${TO}`
  ],
  [{ type: 'cancel', request: 300 }, '02 ac02'],
  [
    {
      type: 'yield',
      ino: INO,
      delegation: 3,
      holds: [{ ...SPAN, lock: 'read', ageMs: 200 }],
      waiters: [{ ...SPAN, lock: 'write', ageMs: 1, request: 9 }],
      last: true
    },
    `03 05 03 01 05 00 ${OWNER} 2a ${FROM}${TO} c801 01 05 01 ${OWNER} 2a ${FROM}${TO} 01 09 01`
  ],
  [
    { type: 'assert', holds: [{ ...FLOCK, lock: 'write', ageMs: 0 }], last: false },
    `04 01 05 05 ffffffffffffffff 2a ${ALL} 00 00`
  ],
  [
    {
      type: 'edges',
      round: 2,
      edges: [{ ino: INO, waiter: 258n, request: 9, holder: 1n, serial: 4 }],
      last: true
    },
    `05 02 01 05 ${OWNER} 09 ${FROM} 04 01`
  ],
  [{ type: 'answer', request: 7, result: 'granted', contended: false }, '06 07 00'],
  [{ type: 'answer', request: 7, result: 'granted', contended: true }, '06 07 08'],
  [{ type: 'answer', request: 7, result: 'no-locks', contended: false }, '06 07 04'],
  [{ type: 'conflict', request: 7, conflict: undefined }, '07 07 00'],
  [
    {
      type: 'conflict',
      request: 7,
      conflict: {
        kind: 'record',
        type: 'write',
        start: 1n,
        end: 9n,
        member: 2 as MemberId,
        pid: 42
      }
    },
    `07 07 01 01 ${FROM}${TO} 02 2a`
  ],
  [{ type: 'delegate', ino: INO, delegation: 3 }, '08 05 03'],
  [{ type: 'recall', ino: INO, delegation: 3 }, '09 05 03'],
  [{ type: 'collect', round: 2 }, '0a 02']
]

const PACKETS: readonly (readonly [LinkPacket<LockMessage>, string])[] = [
  [{ type: 'hello', ack: 3, answer: true }, '010301'],
  [{ type: 'ack', ack: 200 }, '03c801'],
  ...MESSAGES.map(([message, hex]): readonly [LinkPacket<LockMessage>, string] => [
    { type: 'data', seq: 1, ack: 2, message },
    `020102${hex.replaceAll(' ', '')}`
  ])
]

function asText(packet: LinkPacket<LockMessage>): string {
  return JSON.stringify(packet, (_key, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value
  )
}

test('lock codec - golden bytes, both ways', (t) => {
  for (const [packet, hex] of PACKETS) {
    t.is(encodeLockPacket(packet).toString('hex'), hex)
    t.alike(decodeLockPacket(Buffer.from(hex, 'hex')), packet)
  }
})

test('lock codec - what is cut short, too long or unknown is refused', async (t) => {
  for (const [, hex] of PACKETS) {
    const bytes = Buffer.from(hex, 'hex')
    for (let length = 0; length < bytes.length; length++) {
      await t.exception(() => decodeLockPacket(bytes.subarray(0, length)), DecodeError)
    }
    await t.exception(() => decodeLockPacket(Buffer.concat([bytes, Buffer.of(0)])), DecodeError)
  }
  const range = `${OWNER} 2a ${FROM}${TO}`
  const refused = [
    ['packet type', '04 00'],
    ['message type', '02 01 02 0b 00'],
    ['action', `02 01 02 01 07 03 05 01 ${range}`],
    ['kind', `02 01 02 01 07 01 05 09 ${range}`],
    ['lock type', `02 01 02 01 07 01 05 03 ${range}`],
    ['flock of a part', `02 01 02 01 07 01 05 05 ${range}`],
    ['end before start', `02 01 02 01 07 01 05 01 ${OWNER} 2a ${TO}${FROM}`],
    ['beyond 2^63', `02 01 02 01 07 01 05 01 ${OWNER} 2a ${FROM} ffffffffffffff8f`],
    ['an unlock that brings a token', `02 01 02 01 07 04 05 02 ${range} 01 00 00`],
    ['the mode of no token', `02 01 02 01 07 09 05 01 ${range}`],
    ['a token behind every file', `02 01 02 01 07 05 05 01 ${range} 01 8080808080808040 00`],
    ['an unlock held', `02 01 02 04 01 05 02 ${range} 00 00`],
    ['result', '02 01 02 06 07 05'],
    ['result beside the bit', '02 01 02 06 07 18'],
    ['too many holds', '02 01 02 04 8108'],
    ['not a truth value', '01 03 02']
  ]
  for (const [what, hex] of refused) {
    const bytes = Buffer.from(hex?.replaceAll(' ', '') ?? '', 'hex')
    await t.exception(() => decodeLockPacket(bytes), DecodeError, what)
  }
})

test('lock codec - random and damaged bytes are decoded or refused, nothing else', (t) => {
  const random = new Random(1)
  let decoded = 0
  let refused = 0
  for (let i = 0; i < 30_000; i++) {
    let bytes: Buffer
    if (i % 2 === 0) {
      bytes = Buffer.from(Array.from({ length: random.below(60) }, () => random.below(256)))
    } else {
      bytes = Buffer.from(random.pick(PACKETS)[1], 'hex')
      bytes[random.below(bytes.length)] = random.below(256)
    }
    try {
      const packet = decodeLockPacket(bytes)
      decoded++
      if (asText(decodeLockPacket(encodeLockPacket(packet))) !== asText(packet)) {
        t.fail(bytes.toString('hex'))
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) t.fail(`${bytes.toString('hex')}: ${error}`)
      refused++
    }
  }
  t.ok(decoded > 1000 && refused > 1000, `${decoded} decoded, ${refused} refused`)
})
