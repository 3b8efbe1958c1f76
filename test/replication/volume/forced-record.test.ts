import test from 'brittle'
import type { Epoch, Incarnation, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { Ballot } from '../../../src/replication/register/ballot.ts'
import { allCuts } from '../../../src/replication/replica/record-cuts.ts'
import { vectorCovers } from '../../../src/replication/vector.ts'
import { forcedRecord, newestRecord } from '../../../src/replication/volume/forced-record.ts'
import { validateRecord } from '../../../src/replication/volume/record-codec.ts'
import { A, B, C, epochRecord, memberInfo } from '../records.ts'

const WA = makeWriterId(A, 1 as Incarnation)
const WB = makeWriterId(B, 1 as Incarnation)
const before = epochRecord({
  epoch: 5 as Epoch,
  members: [memberInfo(A), memberInfo(B), memberInfo(C, 'witness')],
  inSync: [A, B],
  tieBreaker: A,
  live: [WA, WB],
  writers: [
    { writer: WA, coreKey: 'aa'.repeat(32) },
    { writer: WB, coreKey: 'bb'.repeat(32) }
  ],
  history: [{ epoch: 5 as Epoch, cuts: [] }]
})

test('forced record - one member alone, every writer ends at what it holds', (t) => {
  const record = forcedRecord(before, B, new Map([[WA, 7 as Seq]]))
  t.alike(validateRecord(JSON.parse(JSON.stringify(record))), record, 'it holds together')
  t.alike(
    record.members.map((m) => m.id),
    [B]
  )
  t.alike([record.authority, record.inSync, record.live], [B, [B], []])
  t.alike([record.voters, record.votersBefore], [[[B, 1]], [[B, 1]]])
  t.alike(
    record.writers.map((w) => w.finalSeq),
    [7, 0]
  )
  t.alike(record.history.at(-1), {
    epoch: record.epoch,
    cuts: [
      [WA, 7],
      [WB, 0]
    ]
  })
  t.is(record.removedKeys.length, 2, 'the others are refused')
  t.is(record.tieBreaker, undefined)
  t.ok(record.epoch > before.epoch + 1000, 'above what the others may have made meanwhile')
})

test('forced record - a member that was behind holds all that it says', (t) => {
  const newer = makeWriterId(A, 2 as Incarnation)
  const behind = epochRecord({
    epoch: 5 as Epoch,
    members: [memberInfo(A), memberInfo(B)],
    live: [newer, WB],
    writers: [
      { writer: WA, coreKey: 'aa'.repeat(32), finalSeq: 9 as Seq },
      { writer: newer, coreKey: 'cc'.repeat(32) },
      { writer: WB, coreKey: 'bb'.repeat(32) }
    ],
    history: [
      { epoch: 4 as Epoch, cuts: [[WA, 9 as Seq]] },
      {
        epoch: 5 as Epoch,
        cuts: [
          [newer, 3 as Seq],
          [WB, 4 as Seq]
        ]
      }
    ]
  })
  const held = new Map([
    [WA, 6 as Seq],
    [newer, 7 as Seq],
    [WB, 2 as Seq]
  ])
  const record = forcedRecord(behind, B, held)
  t.alike(validateRecord(JSON.parse(JSON.stringify(record))), record)
  t.ok(vectorCovers(held, allCuts(record)), 'so it may lead')
  t.ok(new Admission({ record, applied: held, epoch: 0 }).atCuts)
  t.alike(
    record.writers.map((w) => w.finalSeq),
    [6, 7, 2]
  )
})

test('forced record - it goes on from what the own voter has accepted', (t) => {
  const later = { ...before, epoch: 6 as Epoch }
  const promised = 257 as Ballot
  t.is(newestRecord(before, { promised, accepted: undefined }), before)
  t.is(newestRecord(before, { promised, accepted: { ballot: promised, record: later } }), later)
  t.is(newestRecord(later, { promised, accepted: { ballot: promised, record: before } }), later)
})
