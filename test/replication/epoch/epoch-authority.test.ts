import test from 'brittle'
import type { Epoch, Incarnation, MemberId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { EpochAuthority } from '../../../src/replication/epoch/epoch-authority.ts'
import type { EpochEffect, EpochEvent } from '../../../src/replication/epoch/epoch-event.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'

const EMPTY: Vector = new Map()

function writer(member: MemberId, incarnation = 1): WriterId {
  return makeWriterId(member, incarnation as Incarnation)
}

function vector(...pairs: readonly (readonly [WriterId, number])[]): Vector {
  return new Map(pairs.map(([w, seq]) => [w, seq as Seq]))
}

function firstRecord(...members: MemberId[]): EpochRecord {
  return epochRecord({ members: members.map((id) => memberInfo(id)) })
}

/** Runs events and writes down what goes out. */
class Transcript {
  readonly core: EpochAuthority
  readonly seals: string[] = []
  readonly records: EpochRecord[] = []
  /** Of the last seal each member got. */
  readonly rounds = new Map<MemberId, number>()

  constructor(record: EpochRecord, self = A, firstRound = 0) {
    this.core = new EpochAuthority(record, self, { firstRound })
  }

  step(event: EpochEvent): void {
    const effects: EpochEffect[] = this.core.step(event)
    for (const effect of effects) {
      if (effect.type === 'seal') {
        const round = effect.cuts.size === 0 ? 'seal' : 'collect'
        this.seals.push(`${round} ${effect.member}`)
        this.rounds.set(effect.member, effect.round)
      } else if (effect.type === 'publish') this.records.push(effect.record)
      else this.step({ type: 'chosen', epoch: effect.record.epoch })
    }
  }

  hello(member: MemberId, incarnation = 1, held: Vector = EMPTY): void {
    const w = writer(member, incarnation)
    this.step({ type: 'hello', member, writer: w, coreKey: 'k', held })
  }

  join(member: MemberId): void {
    this.step({ type: 'join', member, want: 'in-sync' })
  }

  sealed(member: MemberId, held: Vector = EMPTY, round = this.rounds.get(member) ?? 0): void {
    const epoch = (this.core.record.epoch + 1) as Epoch
    this.step({ type: 'sealed', member, epoch, round, held })
  }

  takeSeals(): string[] {
    return this.seals.splice(0)
  }

  get last(): EpochRecord {
    return this.core.record
  }
}

/** A and B live and in sync, nothing written. */
function pair(...members: MemberId[]): Transcript {
  const t = new Transcript(firstRecord(A, B, ...members))
  t.hello(A)
  t.join(A)
  t.sealed(A)
  t.hello(B)
  t.join(B)
  t.sealed(A)
  t.sealed(B)
  t.takeSeals()
  return t
}

test('epoch-authority - first boot', (t) => {
  const run = new Transcript(firstRecord(A))
  run.hello(A)
  t.is(run.core.changing, false, 'nothing changes before it asks to be live')
  run.join(A)
  t.alike(run.takeSeals(), ['seal 1'])
  run.sealed(A)
  t.is(run.last.epoch, 2)
  t.alike(run.last.live, [writer(A)])
  t.alike(run.last.inSync, [A])
})

test('epoch-authority - a second member joins and is collected up to the cut', (t) => {
  const run = new Transcript(firstRecord(A, B))
  run.hello(A)
  run.join(A)
  run.sealed(A)
  run.hello(B)
  run.join(B)
  t.alike(run.takeSeals(), ['seal 1', 'seal 1', 'seal 2'])
  run.sealed(A, vector([writer(A), 7]))
  run.sealed(B, vector([writer(A), 5]))
  t.alike(run.takeSeals(), ['collect 2'], 'who holds it all is not asked again')
  t.is(run.last.epoch, 2, 'no record before it is held everywhere (RULES 10)')
  run.sealed(B, vector([writer(A), 6]))
  t.is(run.last.epoch, 2)
  run.sealed(B, vector([writer(A), 7]))
  t.is(run.last.epoch, 3)
  t.alike(run.last.live, [writer(A), writer(B)])
  t.alike(run.last.inSync, [A, B])
  t.alike(run.last.history.at(-1), { epoch: 3, cuts: [[writer(A), 7]] })
})

test('epoch-authority - a quick reboot offers a longer tail than anybody has', (t) => {
  const run = pair()
  run.step({ type: 'gone', member: B })
  t.is(run.core.changing, false, 'its lease may still run')
  run.hello(B, 2, vector([writer(B), 9]))
  t.alike(run.takeSeals(), ['seal 1'], 'the old incarnation has ended')
  run.sealed(A, vector([writer(B), 4]))
  t.alike(run.takeSeals(), ['collect 1'])
  run.sealed(A, vector([writer(B), 9]))
  t.alike(run.last.live, [writer(A)])
  t.is(run.last.writers.find((w) => w.writer === writer(B))?.finalSeq, 9)
  t.alike(run.last.inSync, [A])
})

test('epoch-authority - who offered a tail and vanishes takes it along', (t) => {
  const run = pair()
  run.step({ type: 'gone', member: B })
  run.hello(B, 2, vector([writer(B), 9]))
  run.sealed(A, vector([writer(B), 4]))
  run.step({ type: 'gone', member: B })
  run.step({ type: 'lost', member: B })
  run.sealed(A, vector([writer(B), 4]))
  t.is(run.last.writers.find((w) => w.writer === writer(B))?.finalSeq, 4)
})

test('epoch-authority - its own restart with a live member is one change', (t) => {
  const run = new Transcript(pair().last)
  run.hello(A, 2, vector([writer(A), 3]))
  run.join(A)
  t.alike(run.takeSeals(), [], 'B may still hold its lease')
  t.alike(run.core.awaited, [B])
  run.hello(B, 1, vector([writer(A), 3]))
  t.alike(run.takeSeals().sort(), ['seal 1', 'seal 2'])
  run.sealed(A, vector([writer(A), 3]))
  run.sealed(B, vector([writer(A), 3]))
  t.alike(run.last.live, [writer(B), writer(A, 2)])
  t.alike([...run.last.inSync].sort(), [A, B])
  t.is(run.records.length, 1, 'no record without the authority in between')
})

test('epoch-authority - a member lost in the middle of a change', (t) => {
  const run = pair(C)
  run.hello(C)
  run.join(C)
  run.sealed(A)
  run.sealed(C)
  t.is(run.core.changing, true)
  run.step({ type: 'gone', member: B })
  t.is(run.last.epoch, 3, 'the lease of B may still run')
  run.takeSeals()
  run.step({ type: 'lost', member: B })
  t.is(run.core.isLost(B), true)
  t.alike(run.takeSeals().sort(), ['seal 1', 'seal 3'])
  run.sealed(A)
  run.sealed(C)
  t.alike(run.last.live, [writer(A), writer(C)])
  t.alike(run.last.inSync, [A, C])
  t.is(run.core.isLost(B), false)
})

for (const phase of ['before its answer', 'while it is collected'] as const) {
  test(`epoch-authority - a joiner vanishes ${phase}`, (t) => {
    const run = pair(C)
    run.hello(C)
    run.join(C)
    if (phase === 'while it is collected') {
      run.sealed(A, vector([writer(A), 2]))
      run.sealed(B, vector([writer(A), 2]))
      run.sealed(C)
    }
    run.takeSeals()
    run.step({ type: 'gone', member: C })
    t.alike(run.takeSeals().sort(), ['seal 1', 'seal 2'], 'the others are not left sealed')
    run.sealed(A, vector([writer(A), 2]))
    run.sealed(B, vector([writer(A), 2]))
    t.alike(run.last.live, [writer(A), writer(B)])
    t.is(run.last.epoch, 4)
  })
}

test('epoch-authority - a live member is removed', (t) => {
  const run = pair()
  run.step({ type: 'members', change: { kind: 'remove', id: B } })
  t.alike(run.takeSeals(), [], 'outside it could answer under its lease')
  t.alike(run.core.expiring, [B])
  t.is(run.core.isLost(B), true, 'it gets no other')
  run.step({ type: 'idle', member: B })
  t.alike(run.takeSeals().sort(), ['seal 1', 'seal 2'], 'what it has written is kept')
  run.sealed(A)
  run.sealed(B, vector([writer(B), 5]))
  run.sealed(A, vector([writer(B), 5]))
  t.alike(run.last.live, [writer(A)])
  t.alike(run.last.inSync, [A])
  t.is(run.last.writers.find((w) => w.writer === writer(B))?.finalSeq, 5)
  t.alike(run.last.removedKeys, [memberInfo(B).publicKey])
})

test('epoch-authority - a new leader is not removed, though the record names the one before', (t) => {
  const before = pair().last
  const run = new Transcript(before, B)
  run.hello(B, 2)
  run.join(B)
  run.step({ type: 'members', change: { kind: 'remove', id: B } })
  run.step({ type: 'lost', member: A })
  run.sealed(B)
  t.is(run.last.authority, B)
  t.alike(run.last.live, [writer(B, 2)], 'never a record without its leader')
  t.alike(run.last.inSync, [B])
})

test('epoch-authority - a connection that comes back is sealed again', (t) => {
  const run = pair(C)
  run.hello(C)
  run.join(C)
  run.step({ type: 'gone', member: B })
  run.takeSeals()
  run.hello(B)
  t.alike(run.takeSeals(), ['seal 2'])
})

test('epoch-authority - a writer that has ended never writes again', (t) => {
  const run = pair()
  run.step({ type: 'gone', member: B })
  run.step({ type: 'lost', member: B })
  run.sealed(A)
  t.alike(run.last.live, [writer(A)])
  run.hello(B)
  run.join(B)
  t.is(run.core.changing, false)
})

test('epoch-authority - an answer to an earlier attempt does not count', (t) => {
  const run = pair(C)
  run.hello(C)
  run.join(C)
  const early = run.rounds.get(B)
  run.sealed(A, vector([writer(A), 2]))
  run.step({ type: 'gone', member: C })
  t.not(run.rounds.get(B), early, 'the change begins again')
  run.sealed(A, vector([writer(A), 2]))
  run.sealed(B, vector([writer(B), 1]), early)
  t.is(run.last.epoch, 3, 'late: B has taken more since')
  run.sealed(B, vector([writer(A), 2], [writer(B), 4]))
  run.sealed(A, vector([writer(A), 2], [writer(B), 4]))
  t.is(run.last.epoch, 4)
  t.alike(run.last.history.at(-1)?.cuts, [
    [writer(A), 2],
    [writer(B), 4]
  ])
})

test('epoch-authority - who is sealed again in the first round says anew what it holds', (t) => {
  const run = pair(C)
  run.hello(C)
  run.join(C)
  run.sealed(B, vector([writer(B), 1]))
  const early = run.rounds.get(B)
  run.step({ type: 'gone', member: B })
  run.hello(B)
  run.sealed(A)
  run.sealed(C)
  run.takeSeals()
  run.sealed(B, vector([writer(B), 1]), early)
  t.alike(run.takeSeals(), [], 'its first answer is taken back')
  run.sealed(B, vector([writer(B), 3]))
  t.alike(run.takeSeals().sort(), ['collect 1', 'collect 3'])
})

test('epoch-authority - an answer to the first round is none to the second', (t) => {
  const run = pair(C)
  run.hello(C)
  run.join(C)
  const first = run.rounds.get(C)
  run.sealed(A, vector([writer(A), 2]))
  run.sealed(B, vector([writer(A), 2]))
  run.sealed(C)
  run.sealed(C, vector([writer(A), 2]), first)
  t.is(run.last.epoch, 3)
  run.sealed(C, vector([writer(A), 2]))
  t.is(run.last.epoch, 4)
})

test('epoch-authority - rounds of two incarnations differ', (t) => {
  const before = pair()
  const after = new Transcript(before.last)
  after.hello(A, 2)
  after.join(A)
  after.hello(B)
  t.ok((after.rounds.get(B) ?? 0) > (before.rounds.get(B) ?? 0))
})

for (const phase of ['in the first round', 'in the second round'] as const) {
  test(`epoch-authority - a joiner is too slow ${phase}`, (t) => {
    const run = pair(C)
    run.hello(C)
    run.join(C)
    t.alike(run.core.tardyJoiners, [C])
    run.sealed(A, vector([writer(A), 2]))
    run.sealed(B, vector([writer(A), 2]))
    if (phase === 'in the second round') run.sealed(C)
    t.alike(run.core.tardyJoiners, [C])
    run.takeSeals()
    run.join(C)
    t.alike(run.takeSeals(), [], 'it asks with each heartbeat')
    run.step({ type: 'impatient', member: B })
    t.alike(run.takeSeals(), [], 'who is live is not left out')
    run.step({ type: 'impatient', member: C })
    t.alike(run.takeSeals().sort(), ['seal 1', 'seal 2'])
    t.alike(run.core.tardyJoiners, [])
    run.sealed(C)
    run.sealed(A, vector([writer(A), 2]))
    run.sealed(B, vector([writer(A), 2]))
    t.alike(run.last.live, [writer(A), writer(B)])
    run.join(C)
    t.alike(run.takeSeals().sort(), ['seal 1', 'seal 2', 'seal 3'], 'it may ask again')
  })
}

test('epoch-authority - forgets what all have passed, takes in nobody who has not', (t) => {
  const run = pair()
  const passed = (member: MemberId, epoch: number): void =>
    run.step({ type: 'passed', member, epoch: epoch as Epoch })
  const restart = (incarnation: number): void => {
    run.hello(B, incarnation)
    run.join(B)
    run.sealed(A)
    run.sealed(B)
  }
  passed(A, run.last.epoch)
  passed(B, run.last.epoch)
  run.step({ type: 'leave', member: B })
  run.sealed(A)
  run.sealed(B)
  const before = run.last
  t.is(before.forgotten, before.epoch - 1)
  t.alike(
    before.history.map(({ epoch }) => epoch),
    [before.epoch]
  )
  restart(2)
  t.is(run.last.epoch, before.epoch, 'it has not said what it has passed')
  passed(B, before.forgotten)
  restart(2)
  t.alike(run.last.live, [writer(A), writer(B, 2)])
  t.is(run.last.forgotten, before.forgotten, 'no more than B has passed')
  t.ok(run.last.writers.some((info) => info.writer === writer(B)))
  passed(A, run.last.epoch)
  passed(B, run.last.epoch)
  run.step({ type: 'force' })
  run.sealed(A)
  run.sealed(B)
  t.alike(
    run.last.writers.map((info) => info.writer),
    [writer(A), writer(B, 2)]
  )
  t.alike(run.last.lastWriters, [writer(A), writer(B, 2)])
  restart(1)
  t.absent(run.last.live.includes(writer(B)), 'a forgotten writer never writes again')
})
