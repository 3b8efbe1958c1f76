import test from 'brittle'
import type { Epoch, MemberId } from '../../../src/fs/primitives.ts'
import type { EpochRecord, VoterWeight } from '../../../src/replication/record.ts'
import { NO_BALLOT } from '../../../src/replication/register/ballot.ts'
import type { VoterReply } from '../../../src/replication/register/proposer.ts'
import { Proposer } from '../../../src/replication/register/proposer.ts'
import { isMajority } from '../../../src/replication/register/voters.ts'
import { Random } from '../../sim/random.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'
import { ballotOf, Council, LEASE, nextRecord } from './council.ts'

const D = 4 as MemberId
const E = 5 as MemberId
const ONE = 1 as Epoch
const PROMISE_MS = LEASE.leaseMs + LEASE.marginMs
const LEASE_MS = LEASE.leaseMs - LEASE.marginMs

function votes(...ids: readonly MemberId[]): VoterWeight[] {
  return ids.map((id) => [id, 1])
}

function recordOf(...ids: readonly MemberId[]): EpochRecord {
  const members = [A, B, C, D, E].map((id) => memberInfo(id))
  return epochRecord({ members, inSync: ids, voters: votes(...ids) })
}

/** A leads, B and C vote. */
function trio(): Council {
  const council = new Council(recordOf(A, B, C), [A, B, C])
  council.campaign(A)
  council.told()
  return council
}

test('proposer - alone it decides at once', (t) => {
  const council = new Council(recordOf(A), [A])
  council.campaign(A)
  t.alike(council.told(), ['1 elected'])
  t.is(council.saved(A).promised, ballotOf(1, A), 'its ballot is on its disk')
  t.is(council.proposer(A).leaseLeftMs(0), LEASE_MS)
  council.propose(A, nextRecord(recordOf(A)))
  t.alike(council.told(), ['1 chosen 2'])
})

test('proposer - a majority elects, a majority decides', (t) => {
  const council = new Council(recordOf(A, B, C), [A, B, C])
  council.part(A, C)
  council.campaign(A)
  t.alike(council.told(), ['1 elected'])
  council.propose(A, nextRecord(recordOf(A, B, C)))
  t.alike(council.told(), ['1 chosen 2'])
  council.part(A, B)
  council.propose(A, nextRecord(nextRecord(recordOf(A, B, C))))
  t.alike(council.told(), [], 'nobody is there to accept it')
  council.cut.clear()
  council.tick(A)
  t.alike(council.told(), ['1 chosen 3'], 'asked again')
})

test('proposer - a tie-breaker decides alone, the other never', (t) => {
  const record = { ...recordOf(A, B), voters: [[A, 2] as const, [B, 1] as const] }
  const council = new Council({ ...record, votersBefore: record.voters }, [A, B])
  council.part(A, B)
  council.campaign(B)
  t.alike(council.told(), [])
  council.campaign(A)
  t.alike(council.told(), ['1 elected'])
  council.propose(A, nextRecord({ ...record, votersBefore: record.voters }))
  t.alike(council.told(), ['1 chosen 2'])
})

test('proposer - nobody else is elected while a lease runs', (t) => {
  const council = trio()
  council.part(A, B)
  council.pass(900, A)
  council.campaign(B)
  t.alike(council.told(), [], 'C keeps its promise to A')
  t.ok(council.proposer(B).waitMs(council.nowMs) > PROMISE_MS - 300)
  t.is(council.proposer(A).leads, true)
  t.is(council.saved(C).promised, ballotOf(1, A), 'a question disturbs nobody')
  council.part(A, C)
  council.pass(PROMISE_MS + 300, A, B)
  t.is(council.proposer(A).leaseLeftMs(council.nowMs), 0)
  council.campaign(B)
  t.alike(council.told(), ['2 elected'])
})

test('proposer - a duel ends with one leader', (t) => {
  const council = new Council(recordOf(A, B, C), [A, B, C])
  // Both hear that they may; both prepare; only the higher ballot can propose.
  council.cut.add('1>3')
  council.campaign(A)
  council.cut.clear()
  council.campaign(B)
  council.campaign(C)
  council.pass(3000, A, B, C)
  const leaders = [A, B, C].filter((m) => council.proposer(m).leaseLeftMs(council.nowMs) > 0)
  t.is(leaders.length, 1)
})

test('proposer - whoever wins knows who may have led in between', (t) => {
  const council = trio()
  council.step(A, { type: 'resign' })
  council.campaign(B)
  t.alike([...council.proposer(B).ownersBefore], [A], 'A stopped and B took over at once')
  // C leads meanwhile, heard by A, and what it proposes is accepted by itself alone.
  council.part(B, A)
  council.part(B, C)
  council.pass(PROMISE_MS + 300, A, B, C)
  council.campaign(C)
  council.part(C, A)
  council.propose(C, nextRecord(recordOf(A, B, C)))
  council.cut.clear()
  council.part(C, A)
  council.part(C, B)
  council.pass(PROMISE_MS + 300, A, B, C)
  for (let i = 0; i < 3 && !council.proposer(B).leads; i++) {
    council.campaign(B)
    council.pass(700, A, B)
  }
  t.ok(council.proposer(B).leads)
  t.ok(council.proposer(B).ownersBefore.has(C), 'said by A, which has promised C its ballot')
})

test('proposer - what may have been chosen is proposed again', (t) => {
  const council = trio()
  // Accepted by A and B, and so chosen; A dies before it hears of it.
  council.part(A, C)
  council.cut.add('2>1')
  const second = nextRecord(recordOf(A, B, C), { volumeName: 'by-a' })
  council.propose(A, second)
  t.alike(council.told(), [])
  council.part(A, B)
  council.pass(PROMISE_MS + 300, B, C)
  council.campaign(C)
  t.alike(council.told(), ['3 chosen 2', '3 elected'])
  t.is(council.known.get(C)?.volumeName, 'by-a')
})

test('proposer - of several accepted records the one of the highest ballot counts', (t) => {
  const members = [A, B, C, D, E]
  const council = new Council(recordOf(...members), members)
  for (const other of [B, C, D, E]) council.cut.delete(`${A}>${other}`)
  council.campaign(A)
  // A proposes to itself alone, then C among the others.
  for (const other of [B, C, D, E]) council.part(A, other)
  council.propose(A, nextRecord(recordOf(...members), { volumeName: 'by-a' }))
  council.pass(PROMISE_MS + 300, B, C, D, E)
  council.campaign(C)
  for (const other of [A, B, D, E]) council.part(C, other)
  council.propose(C, nextRecord(recordOf(...members), { volumeName: 'by-c' }))
  council.told()
  // C returns to A and E: both records are seen.
  council.cut.clear()
  for (const other of [A, C, E]) {
    council.part(other, B)
    council.part(other, D)
  }
  council.pass(2 * PROMISE_MS, E)
  council.campaign(E)
  council.pass(700, E)
  council.campaign(E)
  t.is(council.known.get(E)?.volumeName, 'by-c')
})

test('proposer - voters change with a majority of both', (t) => {
  const first = recordOf(A, B, C)
  const second = nextRecord(first, { voters: votes(A, D, E) })
  for (const [there, chosen] of [
    [[B], false],
    [[D], false],
    [[B, D], true],
    [[B, C], false],
    [[D, E], false]
  ] as const) {
    const council = new Council(first, [A, B, C, D, E])
    council.campaign(A)
    council.told()
    for (const other of [B, C, D, E]) {
      if (!there.some((id) => id === other)) council.part(A, other)
    }
    council.propose(A, second)
    t.is(council.told().length, chosen ? 1 : 0, `A with ${there}`)
  }
})

test('proposer - who finds newer voters needs a majority of them as well', (t) => {
  const first = recordOf(A, B, C)
  const second = nextRecord(first, { voters: votes(A, D, E), volumeName: 'by-a' })
  const third = nextRecord(second, { volumeName: 'by-a-too' })
  const council = new Council(first, [A, B, C, D, E])
  council.campaign(A)
  council.part(A, C)
  council.propose(A, second)
  council.part(A, B)
  council.propose(A, third)
  t.alike(council.told(), ['1 elected', '1 chosen 2', '1 chosen 3'])
  for (const other of [B, C, D, E]) council.part(A, other)
  council.pass(PROMISE_MS + 300, C)
  council.part(C, E)
  council.campaign(C)
  t.alike(council.told(), [], 'B and C are a majority only of the old voters')
  council.cut.delete('3>5')
  council.cut.delete('5>3')
  council.pass(700, C)
  council.campaign(C)
  t.alike(council.told(), ['3 chosen 3', '3 elected'])
  t.is(council.known.get(C)?.volumeName, 'by-a-too')
})

test('proposer - a voter in both sets promises twice, and nobody gives up for it', (t) => {
  const first = recordOf(A, B, C)
  const council = new Council(first, [A, B, C, D])
  council.campaign(A)
  council.part(A, C)
  council.cut.add('2>1').add('4>1')
  council.propose(A, nextRecord(first, { voters: votes(A, B, D) }))
  council.part(A, B)
  council.told()
  council.pass(PROMISE_MS + 300, C)
  council.campaign(C)
  t.alike(council.told(), ['3 chosen 2', '3 elected'])
})

test('proposer - the others are asked when the own voter has accepted', (t) => {
  const council = trio()
  // A was away; its own voter has promised to C, which A does not know.
  council.part(A, B)
  council.nowMs += PROMISE_MS + 1
  council.voters
    .get(A)
    ?.on(C, { type: 'prepare', ballot: ballotOf(2, C), epoch: ONE }, ONE, council.nowMs)
  council.cut.clear()
  council.part(A, C)
  council.propose(A, nextRecord(recordOf(A, B, C), { volumeName: 'by-a' }))
  t.is(council.saved(B).accepted, undefined, 'B would count the voter of A')
  t.alike(council.told(), ['1 deposed'])
})

test('proposer - a refused leader wins a higher ballot as long as its lease holds', (t) => {
  const council = trio()
  // C has heard of a higher ballot from somebody that has gone again.
  council.part(A, C)
  council.pass(PROMISE_MS + 300, A, B)
  council.voters
    .get(C)
    ?.on(B, { type: 'prepare', ballot: ballotOf(7, B), epoch: ONE }, ONE, council.nowMs)
  council.cut.clear()
  council.tick(A)
  t.is(council.proposer(A).ballot, ballotOf(8, A))
  t.alike(council.told(), [], 'it has led all the time')
  council.propose(A, nextRecord(recordOf(A, B, C)))
  t.alike(council.told(), ['1 chosen 2'])
})

test('proposer - seals carry the ballot that was won, not the one that is tried', (t) => {
  const council = trio()
  council.part(A, C)
  council.pass(PROMISE_MS + 300, A, B)
  council.voters
    .get(C)
    ?.on(B, { type: 'prepare', ballot: ballotOf(7, B), epoch: ONE }, ONE, council.nowMs)
  council.cut.clear()
  council.cut.add('1>2')
  council.voters
    .get(C)
    ?.on(B, { type: 'renew', ballot: ballotOf(7, B), sentMs: 0 }, ONE, council.nowMs)
  council.tick(A)
  t.is(council.proposer(A).leads, true)
  t.is(council.proposer(A).ballot, ballotOf(1, A))
})

test('proposer - a refused leader without a lease steps down', (t) => {
  const council = trio()
  council.part(A, B)
  council.part(A, C)
  council.pass(PROMISE_MS + 300, A, B, C)
  council.campaign(B)
  t.alike(council.told(), ['2 elected'])
  council.cut.clear()
  council.tick(A)
  t.alike(council.told(), ['1 deposed'])
  t.is(council.proposer(A).leads, false)
})

test('proposer - who resigns is not waited for', (t) => {
  const council = trio()
  council.step(A, { type: 'resign' })
  t.alike(council.told(), ['1 deposed'])
  council.campaign(B)
  t.alike(council.told(), ['2 elected'])
})

test('proposer - a promise that was given up counts no more, however late it is told', (t) => {
  const proposer = new Proposer(recordOf(A, B, C), { ...LEASE, self: A, heard: ballotOf(0, A) })
  const hear = (reply: VoterReply, ...from: MemberId[]) => {
    for (const member of from) proposer.step({ type: 'reply', from: member, reply, nowMs: 0 })
  }
  const win = (counter: number) => {
    const ballot = ballotOf(counter, A)
    proposer.step({ type: 'campaign', promised: ballotOf(counter - 1, A), nowMs: 0 })
    hear({ type: 'would', ballot }, A, B)
    hear({ type: 'promise', ballot, before: NO_BALLOT, accepted: undefined }, A, B)
    t.is(proposer.leads, true)
  }
  const renewed = (counter: number) =>
    ({ type: 'renewed', ballot: ballotOf(counter, A), sentMs: 0 }) as const
  win(1)
  hear(renewed(1), A)
  proposer.step({ type: 'resign' })
  hear(renewed(1), B)
  win(2)
  hear(renewed(2), A)
  t.is(proposer.leaseLeftMs(0), 0, 'B promises nothing any more')
  hear(renewed(2), B)
  t.is(proposer.leaseLeftMs(0), LEASE_MS)
})

/** B leads with C; A has accepted a record of its own lead, alone. */
function succeeded(): Council {
  const council = trio()
  council.part(A, B)
  council.part(A, C)
  council.propose(A, nextRecord(recordOf(A, B, C), { volumeName: 'of A' }))
  council.nowMs += 2 * PROMISE_MS
  council.campaign(B)
  return council
}

test('proposer - what a voter outside of the majority has accepted is finished first', (t) => {
  const council = succeeded()
  t.alike(council.told(), ['2 elected'])
  council.cut.clear()
  council.tick(B)
  t.alike(council.told(), ['2 deposed', '2 chosen 2', '2 elected'])
  t.is(council.known.get(B)?.volumeName, 'of A')
})

test('proposer - also when that voter is not heard again', (t) => {
  const council = succeeded()
  const { accepted } = council.saved(A)
  if (!accepted) throw new Error('nothing was accepted')
  const reply = { type: 'pending', ballot: council.proposer(B).ballot, accepted } as const
  council.step(B, { type: 'reply', from: A, reply, nowMs: council.nowMs })
  t.alike(council.told(), ['2 elected', '2 deposed', '2 chosen 2', '2 elected'])
  t.is(council.known.get(B)?.volumeName, 'of A')
})

test('proposer - but not in the place of what is proposed already', (t) => {
  const council = succeeded()
  council.part(B, C)
  council.propose(B, nextRecord(recordOf(A, B, C), { volumeName: 'of B' }))
  council.cut.delete(`${A}>${B}`)
  council.cut.delete(`${B}>${A}`)
  t.alike(council.told(), ['2 elected'])
  council.tick(B)
  t.alike(council.told(), ['2 chosen 2'])
  t.is(council.known.get(B)?.volumeName, 'of B')
})

test('proposer - a record that came another way', (t) => {
  const council = trio()
  const second = nextRecord(recordOf(A, B, C), { volumeName: 'mine' })
  for (const other of [B, C]) council.cut.add(`${other}>${A}`)
  council.propose(A, second)
  council.step(A, { type: 'known', record: structuredClone(second) })
  t.alike(council.told(), ['1 chosen 2'], 'it is the one that was proposed')
  council.propose(A, nextRecord(second, { volumeName: 'mine' }))
  council.step(A, { type: 'known', record: nextRecord(second, { volumeName: 'other' }) })
  t.alike(council.told(), ['1 deposed'])
})

test('proposer - a record that waits for a higher ballot is not forgotten', (t) => {
  const council = trio()
  const first = recordOf(A, B, C)
  const second = nextRecord(first)
  const proposer = council.proposer(A)
  proposer.step({ type: 'propose', record: second })
  const ballot = ballotOf(1, A)
  const higher = ballotOf(8, A)
  const refusal = { type: 'refusal', ballot, promised: ballotOf(7, B), waitMs: 0 } as const
  const hear = (from: MemberId, reply: VoterReply) =>
    proposer.step({ type: 'reply', from, reply, nowMs: 0 })
  hear(B, refusal)
  for (const from of [A, C]) hear(from, { type: 'would', ballot: higher })
  hear(A, { type: 'promise', ballot: higher, before: ballot, accepted: { ballot, record: second } })
  // The record of which the own voter told becomes known, the next one is proposed, then it wins.
  proposer.step({ type: 'known', record: second })
  proposer.step({ type: 'propose', record: nextRecord(second) })
  const asked = hear(C, { type: 'promise', ballot: higher, before: ballot, accepted: undefined })
  const epochs = asked.flatMap((e) =>
    e.type === 'send' && e.message.type === 'accept' ? [e.message.record.epoch] : []
  )
  t.alike(epochs, [3])
})

test('proposer - without answers it tries again, and not before', (t) => {
  const council = new Council(recordOf(A, B, C), [A, B, C])
  council.part(A, B)
  council.part(A, C)
  council.campaign(A)
  const waitMs = council.proposer(A).waitMs(0)
  t.ok(waitMs > 100)
  council.nowMs += waitMs
  council.tick(A)
  t.is(council.proposer(A).waitMs(council.nowMs), 0)
  council.cut.clear()
  council.campaign(A)
  t.alike(council.told(), ['1 elected'])
})

test('proposer - after a restart it uses a higher ballot', (t) => {
  const council = trio()
  council.start(A)
  council.campaign(A)
  t.alike(council.told(), ['1 elected'], 'its own promises need not be waited for')
  t.is(council.proposer(A).ballot, ballotOf(2, A))
})

test('proposer - the lease ends with the last promise that a majority keeps', (t) => {
  const random = new Random(5)
  for (let round = 0; round < 3000; round++) {
    const ids = [A, B, C, D, E].slice(0, random.between(1, 5))
    const voters = ids.map((id): VoterWeight => [id, random.between(1, 2)])
    const first = { ...recordOf(...ids), voters, votersBefore: voters }
    const council = new Council(first, ids)
    council.campaign(A)
    if (!council.proposer(A).leads) t.fail('not elected')
    const ends = new Map<MemberId, number>(ids.map((id) => [id, LEASE.leaseMs]))
    for (let beat = 0; beat < 4; beat++) {
      const id = random.pick(ids)
      const sentMs = random.below(5000)
      const reply = { type: 'renewed', ballot: council.proposer(A).ballot, sentMs } as const
      council.proposer(A).step({ type: 'reply', from: id, reply, nowMs: 0 })
      ends.set(id, Math.max(ends.get(id) ?? 0, sentMs + LEASE.leaseMs))
    }
    const isKept = (atMs: number) => isMajority(voters, (m) => (ends.get(m) ?? 0) >= atMs)
    const expected = Math.max(...[...ends.values()].filter(isKept))
    const left = council.proposer(A).leaseLeftMs(0)
    if (left !== expected - LEASE.marginMs) t.fail(`round ${round}: ${left}, not ${expected}`)
  }
  t.pass()
})

test('proposer - while a record with other voters is on its way, both sets have to promise', (t) => {
  const council = new Council(recordOf(A, B, C), [A, B, C, D, E])
  council.part(A, D)
  council.part(A, E)
  council.campaign(A)
  t.is(council.proposer(A).leaseLeftMs(0), LEASE_MS)
  council.propose(A, nextRecord(recordOf(A, B, C), { voters: votes(A, D, E) }))
  t.is(council.proposer(A).leaseLeftMs(0), 0)
  council.cut.clear()
  council.tick(A)
  t.alike(council.told(), ['1 elected', '1 chosen 2'])
  council.tick(A)
  t.is(council.proposer(A).leaseLeftMs(0), LEASE_MS)
})

test('proposer - a ballot above all it has heard of', (t) => {
  const options = { ...LEASE, self: A, heard: ballotOf(3, B) }
  const proposer = new Proposer(recordOf(A), options)
  const [probe] = proposer.step({ type: 'campaign', promised: ballotOf(1, A), nowMs: 0 })
  t.alike(probe?.type === 'send' && probe.message, {
    type: 'probe',
    ballot: ballotOf(4, A),
    epoch: 1
  })
})
