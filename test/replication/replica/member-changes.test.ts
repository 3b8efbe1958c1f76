import test from 'brittle'
import type { MemberChange } from '../../../src/replication/epoch/member-change.ts'
import {
  applyMemberChange,
  MemberChangeError
} from '../../../src/replication/epoch/member-change.ts'
import { MemberChanges } from '../../../src/replication/replica/member-changes.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'
import { HandClock, settle } from './support.ts'

const REMOVE_B: MemberChange = { kind: 'remove', id: B }
const ADD_C: MemberChange = { kind: 'add', member: memberInfo(C) }

/** Members A and B, A is the authority; changes are asked for, and made by hand. */
class Desk {
  readonly clock = new HandClock()
  readonly asked: MemberChange[] = []
  record = epochRecord({ members: [memberInfo(A), memberInfo(B)] })
  readonly changes = new MemberChanges({
    record: () => this.record,
    propose: (change) => this.asked.push(change),
    clock: this.clock
  })

  /** How it ended: 'done' or the code of its error. */
  async make(change: MemberChange): Promise<() => string | undefined> {
    let end: string | undefined
    this.changes.make(change).then(
      () => (end = 'done'),
      (error: unknown) => (end = error instanceof MemberChangeError ? error.code : 'other')
    )
    await settle()
    return () => end
  }

  chosen(change: MemberChange): void {
    this.record = applyMemberChange(this.record, change)
    this.changes.settle()
  }
}

test('member-changes - done with the record, and not before', async (t) => {
  const desk = new Desk()
  const end = await desk.make(REMOVE_B)
  t.alike(desk.asked, [REMOVE_B])
  t.is(end(), undefined)
  desk.chosen(REMOVE_B)
  await settle()
  t.is(end(), 'done')
  desk.clock.advance(10_000)
  t.is(desk.asked.length, 1)
  t.is(desk.clock.pending, 0)
})

test('member-changes - asked again while the leader may be another one', async (t) => {
  const desk = new Desk()
  await desk.make(ADD_C)
  desk.clock.advance(500)
  desk.clock.advance(500)
  t.is(desk.asked.length, 3)
})

test('member-changes - what is done or excluded is said at once', async (t) => {
  const desk = new Desk()
  t.is((await desk.make({ kind: 'add', member: memberInfo(B) }))(), 'done')
  t.is((await desk.make({ kind: 'remove', id: C }))(), 'done')
  t.is((await desk.make({ kind: 'remove', id: A }))(), 'conflict', 'the authority')
  t.is((await desk.make({ kind: 'tie-breaker', id: C }))(), 'conflict', 'no member')
  t.alike(desk.asked, [])
})

test('member-changes - another change gets in between', async (t) => {
  const desk = new Desk()
  const end = await desk.make(ADD_C)
  desk.chosen({
    kind: 'add',
    member: { ...memberInfo(C), name: 'other', publicKey: 'f'.repeat(64) }
  })
  await settle()
  t.is(end(), 'conflict', 'its number was given away')
})

test('member-changes - nobody leads: it ends all the same', async (t) => {
  const desk = new Desk()
  const end = await desk.make(ADD_C)
  for (let i = 0; i < 41; i++) desk.clock.advance(500)
  await settle()
  t.is(end(), 'unavailable')
  t.is(desk.clock.pending, 0)
  const other = await desk.make(ADD_C)
  desk.changes.stop()
  await settle()
  t.is(other(), 'unavailable', 'at the end of the replica')
  t.is((await desk.make(ADD_C))(), 'unavailable', 'and behind it')
})
