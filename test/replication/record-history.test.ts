import test from 'brittle'
import type { Epoch, Incarnation, MemberId, Seq, WriterId } from '../../src/fs/primitives.ts'
import { makeWriterId } from '../../src/fs/primitives.ts'
import { Admission } from '../../src/replication/admission.ts'
import type { EpochCuts, WriterInfo } from '../../src/replication/record.ts'
import {
  forgetPassed,
  HISTORY_EPOCHS_MAX,
  hasEnded,
  isForgotten,
  lastWritersWith
} from '../../src/replication/record-history.ts'
import { A, B, C, epochRecord, memberInfo } from './records.ts'

function writerOf(member: MemberId, incarnation: number) {
  return makeWriterId(member, incarnation as Incarnation)
}

/** B was started anew in each of the epochs 2 to `epoch`; A went on. */
function restarts(epoch: number) {
  const a = writerOf(A, 1)
  const writers: WriterInfo[] = [{ writer: a, coreKey: '' }]
  const history: EpochCuts[] = [{ epoch: 1 as Epoch, cuts: [] }]
  for (let i = 2; i <= epoch; i++) {
    const isLast = i === epoch
    writers.push({
      writer: writerOf(B, i),
      coreKey: '',
      ...(isLast ? {} : { finalSeq: i as Seq })
    })
    const before = i > 2 ? [[writerOf(B, i - 1), (i - 1) as Seq] as const] : []
    history.push({ epoch: i as Epoch, cuts: [[a, i as Seq], ...before] })
  }
  return epochRecord({
    epoch: epoch as Epoch,
    members: [memberInfo(A), memberInfo(B), memberInfo(C, 'witness')],
    live: [a, writerOf(B, epoch)],
    writers,
    history
  })
}

const BOTH = new Set([A, B])

test('record history - what every data member has passed is forgotten', (t) => {
  const record = restarts(10)
  const kept = forgetPassed(record, BOTH, (member) => (member === A ? 9 : 7))
  t.is(kept.forgotten, 7)
  t.alike(
    kept.history.map(({ epoch }) => epoch),
    [8, 9, 10]
  )
  t.alike(
    kept.writers.map(({ writer }) => writer),
    [writerOf(A, 1), writerOf(B, 7), writerOf(B, 8), writerOf(B, 9), writerOf(B, 10)],
    'those that ended later than in epoch 7, and the live ones'
  )
  t.ok(isForgotten(kept, writerOf(B, 6)))
  t.ok(hasEnded(kept, writerOf(B, 6)))
  t.ok(hasEnded(kept, writerOf(B, 7)))
  t.absent(isForgotten(kept, writerOf(B, 7)))
  t.absent(hasEnded(kept, writerOf(B, 11)), 'the next one is new')
  t.absent(isForgotten(kept, writerOf(B, 11)))
})

test('record history - the newest cuts stay, a member that has said nothing holds all', (t) => {
  const record = restarts(10)
  t.is(forgetPassed(record, BOTH, () => 99).forgotten, 9)
  t.is(
    forgetPassed(record, BOTH, (member) => (member === A ? 9 : 0)),
    record
  )
  const kept = forgetPassed(record, BOTH, () => 5)
  t.is(
    forgetPassed(kept, BOTH, () => 4),
    kept,
    'what is forgotten stays so'
  )
})

test('record history - a member that is away is waited for so many epochs', (t) => {
  const away = new Set([A])
  const soon = restarts(HISTORY_EPOCHS_MAX)
  t.is(
    forgetPassed(soon, away, () => soon.epoch),
    soon
  )
  const late = restarts(HISTORY_EPOCHS_MAX + 20)
  t.is(forgetPassed(late, away, () => late.epoch).forgotten, 20)
  t.is(forgetPassed(late, away, () => 7).forgotten, 7, 'never more than the others have passed')
})

test('record history - of each member the last writer is remembered', (t) => {
  const last = lastWritersWith({ lastWriters: [writerOf(A, 3), writerOf(B, 2)] }, [
    writerOf(A, 1),
    writerOf(B, 5),
    writerOf(C, 1)
  ])
  t.alike(last, [writerOf(A, 3), writerOf(B, 5), writerOf(C, 1)])
})

/** All of A, and of these starts of B what they wrote until they ended. */
function appliedOf(...startsOfB: readonly number[]): Map<WriterId, Seq> {
  const applied = new Map([[writerOf(A, 1), 10 as Seq]])
  for (const start of startsOfB) applied.set(writerOf(B, start), start as Seq)
  return applied
}

test('record history - entries of forgotten writers are void, positions leave them out', (t) => {
  const record = forgetPassed(restarts(10), BOTH, () => 9)
  const applied = appliedOf(5, 9)
  const admission = new Admission({ record, applied, epoch: 9 as Epoch })
  t.is(admission.passedEpoch, 10)
  const ofWriter = (incarnation: number) => {
    const entry = {
      epoch: 10 as Epoch,
      writer: writerOf(B, incarnation),
      seq: 50 as Seq,
      deps: new Map(),
      ops: []
    }
    const empty = Buffer.alloc(0)
    return { entry, sealed: { ...entry, head: empty, payload: empty } }
  }
  t.is(admission.offer(ofWriter(5)), 'void')
  t.is(admission.offer(ofWriter(10)), 'waiting')
  t.is(admission.offer(ofWriter(11)), 'waiting', 'its record is on its way')
  t.alike([...admission.remembered.keys()], [writerOf(A, 1), writerOf(B, 9)])
})

test('record history - an older state never passes what is forgotten', (t) => {
  const record = forgetPassed(restarts(10), BOTH, () => 8)
  const applied = appliedOf(8, 9)
  const admission = new Admission({ record, applied, epoch: 7 as Epoch })
  t.is(admission.passedEpoch, 7)
  t.absent(admission.atCuts)
  t.is(new Admission({ record, applied, epoch: 8 as Epoch }).passedEpoch, 10)
})
