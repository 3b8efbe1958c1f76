import test from 'brittle'
import type { Epoch, Incarnation, Ino, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { makeSegmentId, makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { Entry, SealedEntry } from '../../../src/replication/entry.ts'
import { encodeEntryHead } from '../../../src/replication/entry-codec.ts'
import { Intake, type IntakeComponents } from '../../../src/replication/replica/intake.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A, B, epochRecord } from '../records.ts'

const WB = makeWriterId(B, 1 as Incarnation)
const record = epochRecord({
  inSync: [A],
  live: [WB],
  writers: [{ writer: WB, coreKey: 'k' }],
  history: [{ epoch: 1 as Epoch, cuts: [] }]
})

function largeWrite(seq: number): SealedEntry {
  const slice = {
    segment: makeSegmentId(WB, 0),
    offset: seq * 100_000,
    length: 100_000,
    crc32: 1,
    sha256: Buffer.alloc(32, seq)
  }
  const time = { sec: 1, nsec: 0 }
  const op = { type: 'write', ino: 5 as Ino, offset: 0, slices: [slice], time } as const
  const entry: Entry = {
    epoch: 1 as Epoch,
    writer: WB,
    seq: seq as Seq,
    deps: new Map(),
    ops: [op]
  }
  return {
    writer: WB,
    seq: seq as Seq,
    head: encodeEntryHead(entry),
    payload: Buffer.alloc(0)
  }
}

function make(known = record, applied: Vector = new Map()) {
  const admission = new Admission({ record: known, applied, epoch: 0 })
  const voids: number[] = []
  const wanted: number[] = []
  const shelved: number[] = []
  const nothing = () => {}
  const components = {
    admission,
    journal: nothing,
    segments: { writeAt: nothing, markUnsynced: nothing, verifySha: () => 'missing' as const },
    state: { apply: nothing },
    shelf: { put: (_writer: WriterId, seq: Seq) => shelved.push(seq) },
    isInOwnLog: (_writer: WriterId, seq: Seq) => seq <= 2,
    recent: { add: nothing },
    slices: {
      holds: () => false,
      want: (entry: Entry) => wanted.push(entry.seq),
      noteUnjournaled: nothing
    },
    self: A,
    onVoid: (entry: Entry) => voids.push(entry.seq),
    logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    nowMs: () => 0,
    flushOwn: nothing,
    onApplied: nothing,
    later: () => ({ cancel: nothing }),
    onFatal: (error: Error) => {
      throw error
    }
  }
  const intake = new Intake(components as unknown as IntakeComponents)
  return { intake, admission, wanted, voids, shelved }
}

test('intake - nothing of a peer is taken before the replay is done', (t) => {
  const { intake, admission } = make()
  intake.receive(B, largeWrite(1), true)
  t.is(admission.waitingEntries, 0)
  intake.open()
  intake.receive(B, largeWrite(1), true)
  t.is(admission.waitingEntries, 1)
  intake.stop()
  intake.receive(B, largeWrite(2), true)
  t.is(admission.waitingEntries, 1)
})

test('intake - what the replay left without its slices asks for all of them at once', (t) => {
  const { intake, admission, wanted } = make()
  for (const seq of [1, 2, 3]) intake.replay(largeWrite(seq))
  t.is(admission.waitingEntries, 3)
  t.alike(wanted, [], 'nobody can be asked yet')
  intake.open()
  t.alike(wanted, [1, 2, 3])
  t.is(intake.missingBytes(1e9), 300_000)
  t.is(intake.missingBytes(150_000), 200_000, 'counted up to the limit')
})

test('intake - what the journal has of a forgotten writer is in the state, and not lost', (t) => {
  const forgotten = { ...record, epoch: 9 as Epoch, forgotten: 8 as Epoch, live: [], writers: [] }
  const history = [{ epoch: 9 as Epoch, cuts: [] }]
  const { intake, voids, admission } = make({ ...forgotten, history })
  intake.replay(largeWrite(4))
  t.alike(voids, [])
  t.is(admission.waitingEntries, 0)
})

test('intake - what was pushed before bytes could come is asked for when they can', (t) => {
  const { intake, wanted } = make()
  intake.bulkConnected(B)
  intake.open()
  intake.receive(B, largeWrite(1), false)
  t.alike(wanted, [], 'its slices may be on their way')
  intake.bulkConnected(A)
  t.alike(wanted, [])
  intake.bulkConnected(B)
  t.alike(wanted, [1])
})

test('intake - replayed entries of this member are shelved where its log has a gap, those of others always', (t) => {
  const own = makeWriterId(A, 1 as Incarnation)
  const known = epochRecord({
    live: [WB],
    writers: [
      { writer: own, coreKey: 'aa', finalSeq: 4 as Seq },
      { writer: WB, coreKey: 'ab' }
    ],
    history: [{ epoch: 1 as Epoch, cuts: [[own, 4 as Seq]] }]
  })
  const applied = new Map([
    [own, 4 as Seq],
    [WB, 2 as Seq]
  ])
  const { intake, shelved } = make(known, applied)
  for (const seq of [1, 2, 3, 4]) intake.replay({ ...largeWrite(seq), writer: own })
  t.alike(shelved.splice(0), [3, 4])
  for (const seq of [1, 2]) intake.replay(largeWrite(seq))
  t.alike(shelved, [1, 2])
})
