import test from 'brittle'
import type { Epoch, Incarnation, MemberId, Seq, WriterId } from '../../src/fs/primitives.ts'
import { makeWriterId } from '../../src/fs/primitives.ts'
import { Admission, type Admitted } from '../../src/replication/admission.ts'
import type { EpochCuts, EpochRecord, WriterInfo } from '../../src/replication/record.ts'
import { Random } from '../sim/random.ts'
import { epochRecord } from './records.ts'

const W1 = makeWriterId(1 as MemberId, 1 as Incarnation)
const W2 = makeWriterId(2 as MemberId, 1 as Incarnation)
const W3 = makeWriterId(3 as MemberId, 1 as Incarnation)
const ALL = () => true

type Pairs = readonly (readonly [WriterId, number])[]

function cutsOf(epoch: number, cuts: Pairs): EpochCuts {
  return { epoch: epoch as Epoch, cuts: cuts.map(([w, seq]) => [w, seq as Seq] as const) }
}

function recordOf(epoch: number, history: readonly EpochCuts[], ended: Pairs = []): EpochRecord {
  const writers: WriterInfo[] = [W1, W2, W3].map((writer) => {
    const end = ended.find(([w]) => w === writer)
    return { writer, coreKey: 'k', ...(end ? { finalSeq: end[1] as Seq } : {}) }
  })
  const live = [W1, W2, W3].filter((w) => !ended.some(([e]) => e === w))
  return epochRecord({ epoch: epoch as Epoch, live, inSync: [], writers, history })
}

function item(writer: WriterId, seq: number, deps: Pairs = [], epoch = 1, bytes = 10): Admitted {
  const sealed = { writer, seq: seq as Seq, head: Buffer.alloc(bytes), payload: Buffer.alloc(0) }
  const vector = new Map(deps.map(([w, s]) => [w, s as Seq]))
  const entry = { epoch: epoch as Epoch, writer, seq: seq as Seq, deps: vector, ops: [] }
  return { sealed, entry }
}

function make(record = recordOf(1, [cutsOf(1, [])]), options?: { waitingEntriesMax: number }) {
  const limits = { waitingEntriesMax: 100, waitingBytesMax: 1e6, ...options }
  return new Admission({ record, applied: new Map(), epoch: 0 }, limits)
}

/** Takes out all that is ready: `writer:seq` in order. */
function drain(admission: Admission, hasSlices: (item: Admitted) => boolean = ALL): string[] {
  const taken: string[] = []
  for (let next = admission.next(hasSlices); next; next = admission.next(hasSlices)) {
    taken.push(`${next.entry.writer === W1 ? 'A' : 'B'}${next.entry.seq}`)
  }
  return taken
}

test('admission - entries follow their causes', (t) => {
  const admission = make()
  t.is(admission.offer(item(W2, 1, [[W1, 2]])), 'waiting')
  t.is(admission.offer(item(W1, 2)), 'waiting')
  t.alike(drain(admission), [])
  t.is(admission.firstMissing(W1), 1)
  t.is(admission.offer(item(W1, 1)), 'waiting')
  t.is(admission.offer(item(W1, 1)), 'duplicate')
  t.alike(drain(admission), ['A1', 'A2', 'B1'])
  t.is(admission.offer(item(W1, 2)), 'duplicate')
  t.is(admission.waitingEntries, 0)
})

test('admission - an entry waits for its slices', (t) => {
  const admission = make()
  const first = item(W1, 1)
  admission.offer(first)
  admission.offer(item(W2, 1, [[W1, 1]]))
  const missing = (next: Admitted) => next !== first
  t.alike(drain(admission, missing), [])
  t.ok(admission.waitingForSlices(missing).includes(first))
  t.alike(drain(admission), ['A1', 'B1'])
})

test('admission - what is beyond a cut, or of an epoch its place cannot have, is void', (t) => {
  const admission = make(recordOf(2, [cutsOf(1, []), cutsOf(2, [[W1, 3]])], [[W2, 1]]))
  t.is(admission.offer(item(W1, 4, [], 1)), 'void', 'of the old epoch, behind the cut')
  t.is(admission.offer(item(W1, 3, [], 2)), 'void', 'of the new epoch, before the cut')
  t.is(admission.offer(item(W2, 2, [], 2)), 'void', 'behind the last entry of its writer')
  t.is(admission.offer(item(W1, 3, [], 1)), 'waiting')
  t.is(admission.offer(item(W1, 4, [], 2)), 'waiting')
})

test('admission - a record drops what it makes void', (t) => {
  const admission = make()
  admission.offer(item(W1, 2))
  admission.offer(item(W1, 3))
  admission.install(recordOf(2, [cutsOf(1, []), cutsOf(2, [[W1, 2]])], [[W1, 2]]))
  t.is(admission.waitingEntries, 1)
  admission.offer(item(W1, 1))
  t.alike(drain(admission), ['A1', 'A2'])
})

test('admission - nothing of an epoch before everything up to its cuts (RULES 18)', (t) => {
  const admission = make(recordOf(2, [cutsOf(1, []), cutsOf(2, [[W1, 1]])]))
  t.is(admission.atCuts, false)
  admission.offer(item(W2, 1, [], 2))
  t.alike(drain(admission), [])
  admission.offer(item(W1, 1, [], 1))
  t.alike(drain(admission), ['A1', 'B1'])
  t.is(admission.atCuts, true)
})

test('admission - nothing of live writers beyond the limit, until it is lifted', (t) => {
  const admission = make()
  admission.limitTo(new Map([[W1, 1 as Seq]]))
  for (const seq of [1, 2]) admission.offer(item(W1, seq))
  t.alike(drain(admission), ['A1'])
  admission.install(recordOf(1, [cutsOf(1, [])]))
  t.alike(drain(admission), [], 'the same record again changes nothing')
  admission.install(recordOf(2, [cutsOf(1, []), cutsOf(2, [[W1, 2]])]))
  t.alike(drain(admission), ['A2'])
})

test('admission - nothing beyond the cuts of a record that may still be chosen, whatever a seal lifts', (t) => {
  const admission = make()
  admission.limitToPending(new Map([[W1, 1 as Seq]]))
  admission.limitTo(undefined)
  for (const seq of [1, 2]) admission.offer(item(W1, seq))
  for (const seq of [1, 2]) admission.offer(item(W2, seq))
  t.alike(drain(admission), ['A1', 'B1', 'B2'], 'it ends others later')
  admission.limitTo(new Map([[W1, 2 as Seq]]))
  t.alike(drain(admission), [])
  admission.install(recordOf(2, [cutsOf(1, []), cutsOf(2, [[W1, 2]])]))
  t.alike(drain(admission), ['A2'])
})

test('admission - what waits is bounded, the next one is always taken', (t) => {
  const admission = make(undefined, { waitingEntriesMax: 2 })
  t.is(admission.offer(item(W1, 3)), 'waiting')
  t.is(admission.offer(item(W1, 4)), 'waiting')
  t.is(admission.offer(item(W1, 5)), 'dropped')
  t.is(admission.offer(item(W1, 1)), 'waiting')
})

test('admission - in any order of arrival the same as one by one', (t) => {
  const random = new Random(7)
  for (let round = 0; round < 500; round++) {
    // Three writers that write and apply at random make the entries.
    const applied = new Map<WriterId, Map<WriterId, number>>()
    const entries: Admitted[] = []
    const writers = [W1, W2, W3]
    for (const writer of writers) applied.set(writer, new Map())
    for (let i = 0; i < 12; i++) {
      const writer = random.pick(writers)
      const mine = applied.get(writer) ?? new Map<WriterId, number>()
      const other = random.pick(entries.length > 0 ? entries : [item(W1, 0)])
      const { writer: from, seq, deps } = other.entry
      const complete = [...deps].every(([w, s]) => (mine.get(w) ?? 0) >= s)
      if (from !== writer && complete && (mine.get(from) ?? 0) === seq - 1) mine.set(from, seq)
      const next = (mine.get(writer) ?? 0) + 1
      entries.push(
        item(
          writer,
          next,
          [...mine].filter(([w]) => w !== writer)
        )
      )
      mine.set(writer, next)
    }
    const admission = make()
    const taken: Admitted[] = []
    const pool = [...entries, ...entries.slice(0, 3)]
    while (pool.length > 0) {
      const [offered] = pool.splice(random.below(pool.length), 1)
      if (offered) admission.offer(offered)
      for (let next = admission.next(ALL); next; next = admission.next(ALL)) taken.push(next)
    }
    if (taken.length !== entries.length) t.fail(`round ${round}: ${taken.length} taken`)
    const seen = new Map<WriterId, number>()
    for (const { entry } of taken) {
      const causal = [...entry.deps].every(([w, s]) => (seen.get(w) ?? 0) >= s)
      if (!causal || entry.seq !== (seen.get(entry.writer) ?? 0) + 1) t.fail(`round ${round}`)
      seen.set(entry.writer, entry.seq)
    }
  }
  t.pass()
})
