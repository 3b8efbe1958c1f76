import test from 'brittle'
import { DecodeError } from '../../../src/fs/byte-codec.ts'
import type { Ino, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { decodeTokenPacket, encodeTokenPacket } from '../../../src/replication/token/token-codec.ts'
import type { TokenMessage, TokenPacket } from '../../../src/replication/token/token-message.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { Random } from '../../sim/random.ts'

const INO = 5 as Ino
const LARGE = (2 ** 53 - 1) as Ino
const VECTOR: Vector = new Map([[16777217 as WriterId, 300 as Seq]])

const MESSAGES: readonly (readonly [TokenMessage, string])[] = [
  [
    {
      type: 'want',
      request: 7,
      wants: [
        { ino: 0 as Ino, mode: 'exclusive' },
        { ino: INO, mode: 'shared' }
      ]
    },
    '01070200010500'
  ],
  [{ type: 'cancel', request: 300 }, '02ac02'],
  [
    { type: 'release', items: [{ ino: INO, grant: 9, left: 'none' }], vector: VECTOR },
    '030105000901818080 08ac02'
  ],
  [{ type: 'note-ack', number: 1 }, '0401'],
  [
    { type: 'note', number: 2, items: [{ ino: INO }, { ino: LARGE }] },
    '0502020500ffffffffffffff0f00'
  ],
  [
    {
      type: 'grant',
      request: 7,
      items: [{ ino: INO, mode: 'exclusive', grant: 9 }],
      vector: new Map()
    },
    '06070105010900'
  ],
  [{ type: 'recall', items: [{ ino: INO, grant: 9, left: 'shared' }] }, '0701050109'],
  [
    {
      type: 'want',
      request: 7,
      wants: [{ ino: INO, mode: 'exclusive', range: { start: 4096, end: 12288 } }]
    },
    '01070105110102'
  ],
  [
    {
      type: 'release',
      items: [{ ino: INO, grant: 9, left: 'shared', range: { start: 0, end: 4096 } }],
      vector: new Map()
    },
    '03010511090001 00'
  ],
  [
    { type: 'note', number: 2, items: [{ ino: INO, range: { start: 2 ** 20, end: 2 ** 53 } }] },
    '05020105108002 00'
  ],
  [
    {
      type: 'grant',
      request: 7,
      items: [{ ino: INO, mode: 'shared', grant: 0, range: { start: 0, end: 8192 } }],
      vector: new Map()
    },
    '0607010510000002 00'
  ],
  [
    {
      type: 'recall',
      items: [{ ino: INO, grant: 9, left: 'none', range: { start: 4096, end: 8192 } }]
    },
    '07010510090101'
  ],
  [{ type: 'clear', inos: [INO], vector: VECTOR }, '08010501818080 08ac02'],
  [{ type: 'query', request: 300, ino: INO }, '09 ac02 05'],
  [{ type: 'probe', number: 7, ino: INO }, '0a 07 05'],
  [{ type: 'probed', number: 7, idle: true, vector: VECTOR }, '0b 07 01 01 81808008 ac02'],
  [{ type: 'told', request: 300, idle: false, vector: new Map() }, '0c ac02 00 00']
]

const PACKETS: readonly (readonly [TokenPacket, string])[] = [
  [{ type: 'hello', ack: 3, answer: true }, '010301'],
  [{ type: 'hello', ack: 0, answer: false }, '010000'],
  [{ type: 'ack', ack: 200 }, '03c801'],
  ...MESSAGES.map(([message, hex]): readonly [TokenPacket, string] => [
    { type: 'data', seq: 1, ack: 2, message },
    `020102${hex.replaceAll(' ', '')}`
  ])
]

test('token codec - golden bytes, both ways', (t) => {
  for (const [packet, hex] of PACKETS) {
    t.is(encodeTokenPacket(packet).toString('hex'), hex)
    t.alike(decodeTokenPacket(Buffer.from(hex, 'hex')), packet)
  }
})

test('token codec - what is cut short, too long or unknown is refused', async (t) => {
  for (const [, hex] of PACKETS) {
    const bytes = Buffer.from(hex, 'hex')
    for (let length = 0; length < bytes.length; length++) {
      await t.exception(() => decodeTokenPacket(bytes.subarray(0, length)), DecodeError)
    }
    await t.exception(() => decodeTokenPacket(Buffer.concat([bytes, Buffer.of(0)])), DecodeError)
  }
  const refused = [
    ['packet type', '0400'],
    ['message type', '0201020900'],
    ['no wants', '020102010700'],
    ['too many wants', `0201020107${'11'}${'0500'.repeat(17)}`],
    ['a range cut short', '02010201070105 11'],
    ['an unknown part', '02010201070105 21 0101'],
    ['a range that begins behind the end', '02010201070105 11 808080808040 00'],
    ['a range that ends behind the end', '02010201070105 11 01 808080808040'],
    ['an unknown kind of note', '02010205020105 01'],
    ['unknown mode', '0201020107010502'],
    ['unknown remaining right', '0201020701050209'],
    ['writer named twice', '02010208010502 0101 0102'],
    ['not a truth value', '010302'],
    ['number beyond 2^53', '03ffffffffffffff7f']
  ]
  for (const [what, hex] of refused) {
    const bytes = Buffer.from(hex?.replaceAll(' ', '') ?? '', 'hex')
    await t.exception(() => decodeTokenPacket(bytes), DecodeError, what)
  }
})

test('token codec - random and damaged bytes are decoded or refused, nothing else', (t) => {
  const random = new Random(1)
  let decoded = 0
  let refused = 0
  for (let i = 0; i < 50_000; i++) {
    let bytes: Buffer
    if (i % 2 === 0) {
      bytes = Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256)))
    } else {
      bytes = Buffer.from(random.pick(PACKETS)[1], 'hex')
      bytes[random.below(bytes.length)] = random.below(256)
    }
    try {
      const packet = decodeTokenPacket(bytes)
      decoded++
      // Numbers may come in a longer form than they are written in: their meaning is what counts.
      const again = decodeTokenPacket(encodeTokenPacket(packet))
      if (JSON.stringify(again) !== JSON.stringify(packet)) t.fail(bytes.toString('hex'))
    } catch (error) {
      if (!(error instanceof DecodeError)) t.fail(`${bytes.toString('hex')}: ${error}`)
      refused++
    }
  }
  t.ok(decoded > 1000)
  t.ok(refused > 1000)
})
