import test from 'brittle'
import type { Epoch } from '../../../src/fs/primitives.ts'
import { NO_BALLOT } from '../../../src/replication/register/ballot.ts'
import type { VoterRequest, VoterState } from '../../../src/replication/register/voter.ts'
import { FRESH_VOTER, Voter } from '../../../src/replication/register/voter.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'
import { ballotOf, LEASE, nextRecord } from './council.ts'

const members = [A, B, C].map((id) => memberInfo(id))
const FIRST = epochRecord({ members, inSync: [A, B, C] })
const SECOND = nextRecord(FIRST)
const PROMISE_MS = LEASE.leaseMs + LEASE.marginMs
const ONE = 1 as Epoch

/** The voter of C. */
class Booth {
  readonly voter: Voter
  saved: VoterState | undefined

  constructor(state: VoterState = FRESH_VOTER, nowMs = 0) {
    this.voter = new Voter(state, { ...LEASE, self: C, nowMs })
  }

  ask(from: typeof A, request: VoterRequest, nowMs = 0, known = ONE) {
    const answer = this.voter.on(from, request, known, nowMs)
    if (answer.save) this.saved = answer.save
    return answer
  }

  prepare(counter: number, from: typeof A, nowMs = 0) {
    const ballot = ballotOf(counter, from)
    return this.ask(from, { type: 'prepare', ballot, epoch: ONE }, nowMs).reply
  }

  renew(counter: number, from: typeof A, nowMs: number) {
    const ballot = ballotOf(counter, from)
    return this.ask(from, { type: 'renew', ballot, sentMs: nowMs }, nowMs).reply
  }
}

test('voter - a probe leaves nothing behind, a promise is kept first', (t) => {
  const booth = new Booth()
  const ballot = ballotOf(1, A)
  t.alike(booth.ask(A, { type: 'probe', ballot, epoch: ONE }), { reply: { type: 'would', ballot } })
  t.is(booth.saved, undefined)
  t.alike(booth.prepare(1, A), { type: 'promise', ballot, before: NO_BALLOT, accepted: undefined })
  t.is(booth.saved?.promised, ballot)
})

test('voter - nothing below the promise', (t) => {
  const booth = new Booth()
  booth.prepare(2, B)
  const refusal = { type: 'refusal', ballot: ballotOf(1, A), promised: ballotOf(2, B), waitMs: 0 }
  t.alike(booth.prepare(1, A), refusal)
  t.alike(booth.ask(A, { type: 'accept', ballot: ballotOf(1, A), record: SECOND }), {
    reply: refusal
  })
  t.is(booth.saved?.accepted, undefined)
})

test('voter - a promise can be said again, to the same candidate', (t) => {
  const booth = new Booth()
  booth.prepare(1, A)
  booth.saved = undefined
  t.is(booth.prepare(1, A)?.type, 'promise')
  t.is(booth.saved, undefined, 'it is on the disk already')
})

test('voter - a later leader is told of a record that may still be chosen, and gets no lease', (t) => {
  const first = ballotOf(1, A)
  const state: VoterState = { promised: first, accepted: { ballot: first, record: SECOND } }
  const booth = new Booth(state)
  const pending = { type: 'pending', ballot: ballotOf(2, B), accepted: state.accepted }
  t.alike(booth.renew(2, B, PROMISE_MS), pending)
  t.is(booth.saved, undefined, 'nothing is promised by that')
  t.is(booth.renew(1, A, PROMISE_MS)?.type, 'renewed', 'whose record it is goes on')
  const chosen = booth.ask(
    B,
    { type: 'renew', ballot: ballotOf(2, B), sentMs: 0 },
    PROMISE_MS * 2 + 1,
    SECOND.epoch
  )
  t.is(chosen.reply?.type, 'renewed', 'it is known to be chosen')
  const without = { ballot: first, record: nextRecord(FIRST, { inSync: [A, B] }) }
  const other = new Booth({ promised: first, accepted: without })
  t.is(other.renew(2, B, PROMISE_MS)?.type, 'renewed', 'this member could not go on with it')
})

test('voter - who was away when a ballot was won promises it with a renewal', (t) => {
  const booth = new Booth({ promised: ballotOf(1, B), accepted: undefined })
  t.is(booth.renew(2, A, 0)?.type, 'refusal', 'it may have promised B a lease before it restarted')
  t.is(booth.renew(2, A, PROMISE_MS)?.type, 'renewed')
  t.is(booth.saved?.promised, ballotOf(2, A), 'kept before it is told')
  t.is(booth.prepare(3, B, PROMISE_MS + 1)?.type, 'refusal', 'the lease is promised to A')
  t.is(booth.renew(1, B, PROMISE_MS + 1)?.type, 'refusal', 'and nothing below')
})

test('voter - a ballot counts only from its owner', (t) => {
  const booth = new Booth()
  booth.prepare(1, A)
  booth.renew(1, A, 0)
  const ballot = ballotOf(1, A)
  for (const request of [
    { type: 'prepare', ballot: ballotOf(2, A), epoch: ONE },
    { type: 'accept', ballot, record: SECOND },
    { type: 'renew', ballot, sentMs: 5 },
    { type: 'yield', ballot }
  ] as const) {
    t.is(booth.ask(B, request).reply?.type, 'refusal', request.type)
  }
  t.is(booth.voter.waitMs(B, 0), PROMISE_MS, 'nobody else gives the promise up')
})

test('voter - what was accepted is told to the next candidate', (t) => {
  const booth = new Booth()
  booth.prepare(1, A)
  const ballot = ballotOf(1, A)
  const accepted = { type: 'accepted', ballot, epoch: 2 }
  t.alike(booth.ask(A, { type: 'accept', ballot, record: SECOND }).reply, accepted)
  t.alike(booth.saved, { promised: ballot, accepted: { ballot, record: SECOND } })
  booth.saved = undefined
  t.alike(booth.ask(A, { type: 'accept', ballot, record: SECOND }).reply, accepted, 'again')
  t.is(booth.saved, undefined)
  const third = nextRecord(SECOND)
  booth.ask(A, { type: 'accept', ballot, record: third })
  t.is(booth.ask(A, { type: 'accept', ballot, record: SECOND }).reply?.type, 'refusal', 'older')
  const promise = booth.prepare(2, B)
  t.alike(promise, {
    type: 'promise',
    ballot: ballotOf(2, B),
    before: ballot,
    accepted: { ballot, record: third }
  })
})

test('voter - accepting is a promise too', (t) => {
  const booth = new Booth()
  booth.ask(B, { type: 'accept', ballot: ballotOf(3, B), record: SECOND })
  t.is(booth.saved?.promised, ballotOf(3, B))
  t.is(booth.prepare(2, A)?.type, 'refusal')
})

test('voter - who knows an older record is told so', (t) => {
  const booth = new Booth()
  const ballot = ballotOf(1, A)
  for (const type of ['probe', 'prepare'] as const) {
    const answer = booth.ask(A, { type, ballot, epoch: ONE }, 0, 2 as Epoch)
    t.is(answer.senderIsBehind, true)
    t.is(answer.reply?.type, 'refusal')
  }
  const accept = { type: 'accept', ballot, record: SECOND } as const
  t.is(booth.ask(A, accept, 0, 3 as Epoch).senderIsBehind, true)
  t.is(booth.saved, undefined)
})

test('voter - no promise to another while a lease runs (RULES 22)', (t) => {
  const booth = new Booth()
  booth.prepare(1, A)
  t.alike(booth.renew(1, A, 100), { type: 'renewed', ballot: ballotOf(1, A), sentMs: 100 })
  const left = PROMISE_MS - 400
  t.alike(booth.prepare(2, B, 500), {
    type: 'refusal',
    ballot: ballotOf(2, B),
    promised: ballotOf(1, A),
    waitMs: left
  })
  t.is(booth.prepare(2, A, 500)?.type, 'promise', 'its owner may go higher')
  t.is(booth.renew(1, A, 600)?.type, 'refusal', 'of the older ballot')
  t.is(booth.prepare(3, B, 99 + PROMISE_MS)?.type, 'refusal')
  t.is(booth.prepare(3, B, 100 + PROMISE_MS)?.type, 'promise')
})

test('voter - a lease that is given up need not be waited for', (t) => {
  const booth = new Booth()
  booth.prepare(1, A)
  booth.renew(1, A, 0)
  booth.ask(A, { type: 'yield', ballot: ballotOf(9, A) })
  t.is(booth.prepare(2, B)?.type, 'refusal', 'of another ballot')
  booth.ask(A, { type: 'yield', ballot: ballotOf(1, A) })
  t.is(booth.prepare(2, B)?.type, 'promise')
})

test('voter - after a restart it waits the longest lease it may have promised (RULES 22)', (t) => {
  const before = new Booth()
  before.prepare(1, A)
  const booth = new Booth(before.saved, 10_000)
  t.is(booth.prepare(2, B, 10_000)?.type, 'refusal')
  t.is(booth.prepare(2, A, 10_000)?.type, 'refusal', 'also to the owner of the promise')
  t.is(booth.renew(1, A, 10_001)?.type, 'renewed', 'its promise goes on')
  t.is(booth.prepare(2, B, 10_000 + PROMISE_MS)?.type, 'refusal', 'to A, renewed')
  t.is(booth.prepare(2, B, 10_001 + PROMISE_MS)?.type, 'promise')
})

test('voter - after a restart a promise to itself need not be waited for', (t) => {
  const before = new Booth()
  before.prepare(4, C)
  before.renew(4, C, 0)
  const booth = new Booth(before.saved, 100)
  t.is(booth.prepare(5, A, 100)?.type, 'promise', 'that incarnation is dead')
  t.is(new Booth(FRESH_VOTER, 100).prepare(1, A, 100)?.type, 'promise', 'it promised nothing')
})
