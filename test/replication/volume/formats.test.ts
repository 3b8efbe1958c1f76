import test, { type Test } from 'brittle'
import crypto from 'hypercore-crypto'
import type { Epoch, Incarnation, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import type { EpochRecord, MemberInfo } from '../../../src/replication/record.ts'
import {
  addInvite,
  decideJoin,
  EMPTY_BOOK,
  INVITE_MEMORY_MS,
  INVITES_MAX,
  type InviteBook,
  pendingClaims,
  validateBook
} from '../../../src/replication/volume/invite-book.ts'
import {
  formatInviteCode,
  type InviteCode,
  parseInviteCode
} from '../../../src/replication/volume/invite-code.ts'
import {
  decodeJoinAnswer,
  decodeJoinRequest,
  encodeJoinAnswer,
  encodeJoinRequest
} from '../../../src/replication/volume/join-message.ts'
import { formatRecord, parseRecord } from '../../../src/replication/volume/record-codec.ts'

function throws(t: Test, fn: () => unknown, pattern = /./, message = pattern.source): void {
  let error: unknown
  try {
    fn()
  } catch (thrown) {
    error = thrown
  }
  t.ok(error instanceof Error && pattern.test(error.message), message)
}

const key = (n: number) => n.toString(16).padStart(64, '0')
const W1 = makeWriterId(1 as MemberId, 1 as Incarnation)
const W2 = makeWriterId(2 as MemberId, 3 as Incarnation)

function member(id: number): MemberInfo {
  return {
    id: id as MemberId,
    name: `web${id}`,
    publicKey: key(id),
    addresses: [`10.0.0.${id}:4907`],
    role: 'data'
  }
}

const RECORD: EpochRecord = {
  version: 1,
  volumeId: '0f'.repeat(16),
  volumeName: 'www',
  epoch: 7 as Epoch,
  authority: 1 as MemberId,
  members: [member(1), member(2)],
  live: [W1, W2],
  inSync: [1 as MemberId],
  writers: [
    { writer: W1, coreKey: key(100) },
    { writer: W2, coreKey: key(101), finalSeq: 9 as Seq }
  ],
  history: [{ epoch: 6 as Epoch, cuts: [[W1, 5 as Seq]] }],
  forgotten: 5 as Epoch,
  lastWriters: [W1, W2],
  voters: [
    [1 as MemberId, 2],
    [2 as MemberId, 1]
  ],
  votersBefore: [[1 as MemberId, 1]],
  tieBreaker: 1 as MemberId,
  nextMemberId: 3,
  removedKeys: [key(99)]
}

test('record - comes back as it was', (t) => {
  t.alike(parseRecord(formatRecord(RECORD)), RECORD)
})

test('record - one that says nothing of the forgotten has forgotten nothing', (t) => {
  const { forgotten: _, lastWriters: __, ...rest } = RECORD
  const record = parseRecord(JSON.stringify(rest))
  t.alike([record.forgotten, record.lastWriters], [0, [W1, W2]])
})

test('record - what does not hold together is refused', (t) => {
  const broken: readonly (readonly [string, unknown])[] = [
    ['authority', 5],
    ['version', 2],
    ['volumeId', 'x'],
    ['volumeName', '../etc'],
    ['epoch', 0],
    ['epoch', 1.5],
    ['members', [member(1), member(1)]],
    ['members', [member(1), { ...member(2), name: 'web1' }]],
    ['members', [member(1), { ...member(2), publicKey: key(1) }]],
    ['members', [member(1), { ...member(2), addresses: ['nowhere'] }]],
    ['members', [member(1), { ...member(2), role: 'king' }]],
    ['members', [member(1), { ...member(2), extra: 1 }]],
    ['members', 'many'],
    ['live', [W1, makeWriterId(1 as MemberId, 2 as Incarnation)]],
    ['live', [makeWriterId(9 as MemberId, 2 as Incarnation)]],
    ['live', [makeWriterId(2 as MemberId, 2 as Incarnation)]],
    ['inSync', [3]],
    ['inSync', [1, 1]],
    ['writers', [{ writer: 5, coreKey: key(1) }]],
    ['writers', [{ writer: 2 ** 24, coreKey: key(1) }]],
    ['history', [{ epoch: 1, cuts: [[W1]] }]],
    ['voters', []],
    ['voters', [[1, 0]]],
    ['voters', [[1, 3]]],
    ['voters', [[5, 1]]],
    [
      'voters',
      [
        [1, 1],
        [1, 1]
      ]
    ],
    ['votersBefore', [[1]]],
    ['tieBreaker', 5],
    ['nextMemberId', 2],
    ['nextMemberId', 300],
    ['removedKeys', [key(1)]],
    ['forgotten', 7],
    ['forgotten', -1],
    ['lastWriters', [W1]],
    ['lastWriters', [W1, W2, makeWriterId(2 as MemberId, 9 as Incarnation)]],
    ['unknown', 1]
  ]
  for (const [field, value] of broken) {
    const text = JSON.stringify({ ...RECORD, [field]: value })
    throws(t, () => parseRecord(text), undefined, `${field} ${text.length}`)
  }
  const optional = ['tieBreaker', 'forgotten', 'lastWriters']
  for (const field of Object.keys(RECORD).filter((name) => !optional.includes(name))) {
    const { [field as keyof EpochRecord]: _gone, ...rest } = RECORD
    throws(t, () => parseRecord(JSON.stringify(rest)), undefined, `without ${field}`)
  }
  for (const text of ['', 'null', '[]', '1', '{', '{"__proto__":1}']) {
    throws(t, () => parseRecord(text), undefined, text)
  }
})

const CODE: InviteCode = {
  volumeId: RECORD.volumeId,
  volumeName: 'www',
  role: 'data',
  expiresAtMs: 1_800_000_000_000,
  inviterKey: key(1),
  addresses: ['10.0.0.1:4907', '[fe80::1]:4907'],
  seed: key(77)
}

test('invite code - comes back as it was, also with white space around', (t) => {
  t.alike(parseInviteCode(` ${formatInviteCode(CODE)}\n`), CODE)
  const discovery = { bootstrap: ['10.0.0.9:49737'] }
  t.alike(parseInviteCode(formatInviteCode({ ...CODE, discovery })), { ...CODE, discovery })
  const open = { bootstrap: 'public' } as const
  t.alike(parseInviteCode(formatInviteCode({ ...CODE, discovery: open })).discovery, open)
})

test('invite code - any cut or changed character is noticed', (t) => {
  const code = formatInviteCode(CODE)
  for (let length = 0; length < code.length; length++) {
    throws(t, () => parseInviteCode(code.slice(0, length)), /join code/)
  }
  for (let at = 0; at < code.length - 1; at++) {
    const changed = code[at] === 'A' ? 'B' : 'A'
    t.exception(
      () => parseInviteCode(code.slice(0, at) + changed + code.slice(at + 1)),
      /join code/
    )
  }
  throws(t, () => parseInviteCode(`tandemfs1-${'A'.repeat(100_000)}`), /join code/)
})

const invite = (n: number, expiresAtMs = 1000) => ({
  publicKey: key(n),
  role: 'data' as const,
  expiresAtMs
})
const request = (n: number, name = `new${n}`) => ({
  memberKey: key(n),
  name,
  addresses: ['10.0.0.7:1']
})

test('join decision - table of refusals', (t) => {
  const book: InviteBook = {
    invites: [invite(50), { ...invite(51), claim: { ...member(3), publicKey: key(33) } }]
  }
  const reason = (inviteKey: string, wanted: ReturnType<typeof request>, nowMs = 0) => {
    const decision = decideJoin(RECORD, book, inviteKey, wanted, nowMs)
    return decision.type === 'refuse' ? decision.reason : decision.type
  }
  t.is(reason(key(50), request(40)), 'accept')
  t.is(reason(key(50), request(40), 999), 'accept')
  t.is(reason(key(50), request(40), 1000), 'expired')
  t.is(reason(key(52), request(40)), 'unknown')
  t.is(reason(key(51), request(40)), 'used')
  t.is(reason(key(51), request(33), 5000), 'again', 'an accepted joiner may ask after the expiry')
  t.is(reason(key(50), request(40, 'web1')), 'name-taken')
  t.is(reason(key(50), request(40, 'web3')), 'name-taken', 'of a pending claim')
  t.is(reason(key(50), request(1)), 'already-member')
  t.is(reason(key(50), request(99)), 'removed')
  const full = { ...RECORD, nextMemberId: 256 }
  const decision = decideJoin(full, { invites: [invite(50)] }, key(50), request(40), 0)
  t.alike(decision, { type: 'refuse', reason: 'full' })
})

test('join decision - ids of pending claims are not given again', (t) => {
  let book: InviteBook = { invites: [invite(50), invite(51), invite(52)] }
  const ids: number[] = []
  for (const n of [50, 51, 52]) {
    const decision = decideJoin(RECORD, book, key(n), request(n - 10), 0)
    if (decision.type !== 'accept') throw new Error(decision.type)
    book = validateBook(JSON.parse(JSON.stringify(decision.book)))
    ids.push(decision.claim.id)
  }
  t.alike(ids, [3, 4, 5])
  const pending = pendingClaims(RECORD, book)
  t.alike(
    pending.map((claim) => claim.id),
    [3, 4, 5] as MemberId[]
  )
  const [first] = pending
  if (!first) throw new Error('none')
  const grown = { ...RECORD, members: [...RECORD.members, first], nextMemberId: 4 }
  t.is(pendingClaims(grown, book).length, 2)
  const removed = { ...RECORD, removedKeys: [key(40), key(41), key(42)] }
  t.is(pendingClaims(removed, book).length, 0)
})

test('invite book - old invitations go, pending claims stay, the number is bounded', (t) => {
  const claimed = { ...invite(50), claim: { ...member(3), publicKey: key(33) } }
  const late = 1000 + INVITE_MEMORY_MS
  const before = addInvite(RECORD, { invites: [invite(49), claimed] }, invite(51, late), late - 1)
  t.is(before?.invites.length, 3)
  const after = addInvite(RECORD, { invites: [invite(49), claimed] }, invite(51, late + 9), late)
  t.alike(
    after?.invites.map((one) => one.publicKey),
    [key(50), key(51)]
  )
  let book: InviteBook = EMPTY_BOOK
  for (let n = 0; n < INVITES_MAX; n++) {
    book = addInvite(RECORD, book, invite(1000 + n), 0) ?? EMPTY_BOOK
  }
  t.is(book.invites.length, INVITES_MAX)
  t.is(addInvite(RECORD, book, invite(5), 0), undefined)
})

test('join message - signed for one invitation of one volume', (t) => {
  const keyPair = crypto.keyPair()
  const scope = { volumeId: RECORD.volumeId, inviteKey: key(5) }
  const message = encodeJoinRequest(scope, keyPair, 'web3', ['10.0.0.3:1'])
  t.alike(decodeJoinRequest(scope, message), {
    memberKey: keyPair.publicKey.toString('hex'),
    name: 'web3',
    addresses: ['10.0.0.3:1']
  })
  const elsewhere = [
    { ...scope, volumeId: 'ff'.repeat(16) },
    { ...scope, inviteKey: key(6) }
  ]
  for (const other of elsewhere) throws(t, () => decodeJoinRequest(other, message), /signature/)
  const renamed = Buffer.from(message.toString().replace('web3', 'web4'))
  throws(t, () => decodeJoinRequest(scope, renamed), /signature/)
  const odd = [Buffer.alloc(0), Buffer.from('{}'), Buffer.alloc(20_000), Buffer.from('[1]')]
  for (const bytes of odd) throws(t, () => decodeJoinRequest(scope, bytes))
})

test('join message - answers come back, others are refused', (t) => {
  const granted = { ok: true, member: 2 as MemberId, record: RECORD } as const
  t.alike(decodeJoinAnswer(encodeJoinAnswer(granted)), granted)
  const refused = { ok: false, reason: 'used' } as const
  t.alike(decodeJoinAnswer(encodeJoinAnswer(refused)), refused)
  for (const text of ['', '{}', '{"ok":true}', '{"ok":false,"reason":"x"}', '{"ok":1}', 'null']) {
    throws(t, () => decodeJoinAnswer(Buffer.from(text)), undefined, text)
  }
})
