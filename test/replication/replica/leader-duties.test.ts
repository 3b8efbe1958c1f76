import test from 'brittle'
import type { Epoch, Incarnation, MemberId } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { EpochAuthority } from '../../../src/replication/epoch/epoch-authority.ts'
import { LEASE_DEFAULTS, LeasePromises } from '../../../src/replication/lease.ts'
import type { HeartbeatMessage } from '../../../src/replication/messages.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { LeaderDuties, type SelfSeal } from '../../../src/replication/replica/leader-duties.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'
import { HandClock, NotedLinks, NotedLogger } from './support.ts'

const NOTHING: Vector = new Map()
const { leaseMs, marginMs } = LEASE_DEFAULTS

function writer(member: MemberId) {
  return makeWriterId(member, 1 as Incarnation)
}

/** A leads; B and C are live, and were promised nothing yet. */
class Leader {
  readonly clock = new HandClock()
  readonly links = new NotedLinks([B, C])
  readonly promises = new LeasePromises(LEASE_DEFAULTS)
  readonly seals: { readonly to: MemberId; readonly seal: SelfSeal }[] = []
  readonly proposed: EpochRecord[] = []
  readonly duties: LeaderDuties
  ownLeaseMs = 10_000
  keepsUp = true
  isDeaf = false

  constructor({ isHandedOver = true } = {}) {
    const live = [A, B, C].map(writer)
    const record = epochRecord({
      members: [A, B, C].map((id) => memberInfo(id)),
      inSync: [A, B, C],
      live,
      writers: live.map((each) => ({ writer: each, coreKey: 'ab'.repeat(32) })),
      history: [{ epoch: 1 as Epoch, cuts: [] }]
    })
    this.duties = new LeaderDuties(
      {
        self: A,
        epochs: new EpochAuthority(record, A, { firstRound: 0 }),
        promises: this.promises,
        links: this.links,
        isDeaf: () => this.isDeaf,
        clock: this.clock,
        logger: new NotedLogger(),
        isHandedOver,
        leaseLeftMs: () => this.ownLeaseMs,
        passedEpoch: () => 1 as Epoch,
        sendSeal: (to, seal) => this.seals.push({ to, seal }),
        sealSelf: (seal) => this.seals.push({ to: A, seal }),
        propose: (next) => this.proposed.push(next),
        publish: () => {},
        ownsUpToNotes: () => this.keepsUp
      },
      LEASE_DEFAULTS
    )
    for (const member of [A, B, C]) this.hello(member)
  }

  hello(member: MemberId): void {
    const coreKey = 'ab'.repeat(32)
    this.duties.step({ type: 'hello', member, writer: writer(member), coreKey, held: NOTHING })
  }

  heartbeat(from: MemberId, epoch = 1): number | undefined {
    const message = { epoch: epoch as Epoch, sentMs: this.clock.monotonicMs() }
    this.duties.heartbeat(from, message as HeartbeatMessage)
    const [sent] = this.links.takeControl()
    return sent?.message.type === 'lease' ? sent.message.leaseMs : undefined
  }

  /** Of the seals that were sent since the last call. */
  sealed(): MemberId[] {
    return this.seals.splice(0).map(({ to }) => to)
  }
}

test('leader-duties - a lease is no longer than what the leader has itself', (t) => {
  const leader = new Leader()
  t.is(leader.heartbeat(B), leaseMs)
  leader.ownLeaseMs = 700.5
  t.is(leader.heartbeat(B), 700)
  leader.ownLeaseMs = 0
  t.is(leader.heartbeat(B), undefined)
})

test('leader-duties - who wins the lead again serves nobody before its first record', (t) => {
  // Another one may have led since: what a minority accepted from it may still be chosen.
  const leader = new Leader({ isHandedOver: false })
  leader.duties.step({ type: 'force' })
  t.is(leader.heartbeat(B), undefined)
  t.is(leader.duties.mayServe, false)
  for (const { to, seal } of leader.seals.splice(0)) {
    const { epoch, round } = seal
    leader.duties.step({ type: 'sealed', member: to, epoch, round, held: NOTHING })
  }
  const [second] = leader.proposed
  t.is(leader.heartbeat(B), undefined, 'it is proposed, not chosen')
  t.ok(second && leader.duties.chosen(second))
  t.is(leader.heartbeat(B, 2), leaseMs)
  t.is(leader.duties.mayServe, true)
})

test('leader-duties - no lease of another epoch, nor for who owes an answer to a note', (t) => {
  const leader = new Leader()
  t.is(leader.heartbeat(B, 2), undefined)
  leader.keepsUp = false
  t.is(leader.heartbeat(B), undefined)
  leader.keepsUp = true
  t.is(leader.heartbeat(B), leaseMs)
})

test('leader-duties - who is heard and does not hear gets no more time', (t) => {
  const leader = new Leader()
  t.is(leader.heartbeat(B), leaseMs)
  leader.isDeaf = true
  t.is(leader.heartbeat(B), undefined)
  leader.isDeaf = false
  t.is(leader.heartbeat(B), leaseMs, 'it hears again')
  leader.isDeaf = true
  leader.clock.advance(leaseMs + marginMs)
  leader.heartbeat(B)
  leader.duties.tick()
  t.alike(leader.sealed(), [])
  leader.duties.step({ type: 'gone', member: B })
  leader.duties.tick()
  t.alike(leader.sealed(), [A, C], 'lost as soon as it cuts its connection for silence')
})

test('leader-duties - who is gone is lost when its lease is over, and gets none before it is back', (t) => {
  const leader = new Leader()
  leader.heartbeat(B)
  leader.duties.step({ type: 'gone', member: B })
  leader.clock.advance(leaseMs + marginMs - 1)
  leader.duties.tick()
  t.alike(leader.sealed(), [], 'it may still answer')
  leader.clock.advance(1)
  leader.ownLeaseMs = 0
  leader.duties.tick()
  t.alike(leader.sealed(), [], 'the leader may be the one that is cut off')
  leader.ownLeaseMs = 10_000
  leader.duties.tick()
  t.alike(leader.sealed(), [A, C])
  t.is(leader.heartbeat(B), undefined, 'also when its connection is back before the record')
  t.is(leader.heartbeat(C), leaseMs)
})

test('leader-duties - who never came to a new leader gets a moment to do so', (t) => {
  const leader = new Leader()
  leader.duties.step({ type: 'gone', member: C })
  leader.duties.tick()
  t.alike(leader.sealed(), [], 'it was promised nothing here')
  leader.clock.advance(500)
  leader.duties.tick()
  t.alike(leader.sealed(), [A, B])
})

test('leader-duties - what nobody answers is said again, once a second', (t) => {
  const leader = new Leader()
  leader.duties.step({ type: 'force' })
  const rounds = leader.seals.splice(0).map(({ seal }) => seal.round)
  t.is(rounds.length, 3)
  leader.duties.tick()
  t.is(leader.seals.length, 0)
  leader.clock.advance(1000)
  leader.duties.tick()
  t.alike(
    leader.seals.map(({ seal }) => seal.round),
    rounds,
    'under the same numbers: nobody begins anew'
  )
})
