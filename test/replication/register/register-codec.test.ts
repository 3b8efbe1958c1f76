import test from 'brittle'
import { DecodeError } from '../../../src/fs/byte-codec.ts'
import type { Epoch } from '../../../src/fs/primitives.ts'
import type { Ballot } from '../../../src/replication/register/ballot.ts'
import { BALLOT_MAX, NO_BALLOT } from '../../../src/replication/register/ballot.ts'
import { decodeRegister, encodeRegister } from '../../../src/replication/register/register-codec.ts'
import type { RegisterMessage } from '../../../src/replication/register/register-message.ts'
import { formatRecord } from '../../../src/replication/volume/record-codec.ts'
import { Random } from '../../sim/random.ts'
import { A, B, epochRecord, memberInfo } from '../records.ts'
import { ballotOf } from './council.ts'

const ballot = ballotOf(2, A)
const epoch = 300 as Epoch
const record = epochRecord({ members: [memberInfo(A), memberInfo(B)], tieBreaker: B })
/** Length and text. */
const RECORD = (() => {
  const text = Buffer.from(formatRecord(record))
  const length = Buffer.from([(text.length & 0x7f) | 0x80, text.length >> 7])
  return Buffer.concat([length, text]).toString('hex')
})()

const MESSAGES: readonly (readonly [RegisterMessage, string])[] = [
  [{ type: 'probe', ballot, epoch }, '01 8104 ac02'],
  [{ type: 'prepare', ballot, epoch }, '02 8104 ac02'],
  [{ type: 'would', ballot }, '03 8104'],
  [{ type: 'promise', ballot, before: NO_BALLOT, accepted: undefined }, '04 8104 00 00'],
  [
    {
      ...{ type: 'promise', ballot, before: ballotOf(3, B) },
      accepted: { ballot: ballotOf(1, B), record }
    },
    `04 8104 8206 01 8202 ${RECORD}`
  ],
  [{ type: 'accept', ballot, record }, `05 8104 ${RECORD}`],
  [{ type: 'accepted', ballot, epoch }, '06 8104 ac02'],
  [{ type: 'renew', ballot, sentMs: 200 }, '07 8104 c801'],
  [{ type: 'renewed', ballot, sentMs: 200 }, '08 8104 c801'],
  [{ type: 'yield', ballot }, '09 8104'],
  [{ type: 'refusal', ballot, promised: ballotOf(3, B), waitMs: 1800 }, '0a 8104 8206 880e'],
  [
    { type: 'pending', ballot, accepted: { ballot: ballotOf(1, B), record } },
    `0b 8104 8202 ${RECORD}`
  ]
]

function isRefused(body: Buffer): boolean {
  try {
    decodeRegister(body)
    return false
  } catch (error) {
    if (error instanceof DecodeError) return true
    throw error
  }
}

test('register codec - golden bytes, both ways', (t) => {
  for (const [message, golden] of MESSAGES) {
    const body = encodeRegister(message)
    t.is(body.toString('hex'), golden.replaceAll(' ', ''), message.type)
    t.alike(decodeRegister(body), message)
  }
})

test('register codec - prefixes, longer bodies and unknown types are refused', (t) => {
  for (const [message] of MESSAGES) {
    const body = encodeRegister(message)
    for (let length = 0; length < body.length; length++) {
      if (!isRefused(body.subarray(0, length))) t.fail(`${message.type}: ${length} bytes`)
    }
    t.ok(isRefused(Buffer.concat([body, Buffer.alloc(1)])), message.type)
  }
  for (const type of [0, 11, 255]) t.ok(isRefused(Buffer.from([type, 1, 1])))
})

test('register codec - ballots and waits are bounded', (t) => {
  const bad: readonly RegisterMessage[] = [
    { type: 'would', ballot: 0 as Ballot },
    { type: 'would', ballot: (BALLOT_MAX + 1) as Ballot },
    { type: 'refusal', ballot, promised: (BALLOT_MAX + 1) as Ballot, waitMs: 0 },
    { type: 'refusal', ballot, promised: ballot, waitMs: 3_600_001 }
  ]
  for (const message of bad) t.ok(isRefused(encodeRegister(message)), message.type)
})

test('register codec - damaged bytes give DecodeError and nothing else', (t) => {
  const random = new Random(11)
  let refused = 0
  for (let i = 0; i < 5000; i++) {
    const body = Buffer.from(encodeRegister(random.pick(MESSAGES)[0]))
    for (let n = random.between(1, 4); n > 0; n--) {
      body[random.below(body.length)] = random.below(256)
    }
    if (isRefused(body)) refused++
  }
  t.ok(refused > 500)
})
