import test from 'brittle'
import type { LockRow } from '../../../src/fs/ports/lock-service.ts'
import type { Ino, MemberId } from '../../../src/fs/primitives.ts'
import { LOCK_ROWS_MAX, LockSurvey } from '../../../src/replication/replica/lock-survey.ts'
import { HandClock, NotedLinks } from './support.ts'

const A = 1 as MemberId
const B = 2 as MemberId
const C = 3 as MemberId

function row(member: MemberId, pid: number): LockRow {
  return {
    ino: 5 as Ino,
    kind: 'record',
    type: 'read',
    start: 0n,
    end: 9n,
    member,
    pid,
    owner: 1n,
    state: 'held',
    ageMs: 1,
    waiters: 0
  }
}

function make(members: readonly MemberId[], own: readonly LockRow[] = [row(A, 10)]) {
  const links = new NotedLinks(members)
  const clock = new HandClock()
  const commandOf = (pid: number) => (pid === 10 ? 'git' : undefined)
  const survey = new LockSurvey({ links, clock, self: A, list: () => own, commandOf })
  return { links, clock, survey }
}

function summary(rows: readonly LockRow[]): string[] {
  return rows.map((r) => `${r.member}/${r.pid}/${r.command ?? ''}`)
}

test('lock survey - the rows of all members, each told by its own', async (t) => {
  const { links, clock, survey } = make([B, C], [row(A, 10), row(B, 99), row(A, 11)])
  const asked = survey.ask()
  const sent = links.takeControl()
  t.alike(
    sent.map((s) => s.to),
    [B, C]
  )
  const message = sent[0]?.message
  const query = message?.type === 'lock-query' ? message.query : 0
  survey.onRows(B, { type: 'lock-rows', query, rows: [row(C, 20)] })
  survey.onRows(B, { type: 'lock-rows', query, rows: [row(B, 21)] })
  survey.onRows(C, { type: 'lock-rows', query: query + 1, rows: [row(C, 22)] })
  survey.onRows(C, { type: 'lock-rows', query, rows: [] })
  const { rows, silent } = await asked
  t.alike(summary(rows), ['1/10/git', '1/11/', '2/20/'], 'the member comes from the connection')
  t.alike(silent, [])
  t.is(clock.pending, 0)
})

test('lock survey - a silent member is named after a while', async (t) => {
  const { clock, survey } = make([B, C])
  const asked = survey.ask()
  survey.onRows(C, { type: 'lock-rows', query: 1, rows: [row(C, 30)] })
  clock.advance(2000)
  const { rows, silent } = await asked
  t.alike(summary(rows), ['1/10/git', '3/30/'])
  t.alike(silent, [B])
  survey.onRows(B, { type: 'lock-rows', query: 1, rows: [row(B, 31)] })
  t.is(rows.length, 2, 'too late')
})

test('lock survey - alone it answers at once', async (t) => {
  const { clock, survey } = make([])
  t.alike(summary((await survey.ask()).rows), ['1/10/git'])
  t.is(clock.pending, 0)
})

test('lock survey - what a member is told is its own and bounded', (t) => {
  const own = Array.from({ length: LOCK_ROWS_MAX + 1 }, () => row(A, 12))
  const { links, survey } = make([B], [row(B, 99), ...own])
  survey.onQuery(B, { type: 'lock-query', query: 7 })
  const [{ to, message } = {}] = links.takeControl()
  t.is(to, B)
  if (message?.type !== 'lock-rows') return t.fail('no rows')
  t.is(message.query, 7)
  t.is(message.rows.length, LOCK_ROWS_MAX)
  t.ok(message.rows.every((r) => r.member === A))
})
