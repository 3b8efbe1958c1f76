import test from 'brittle'
import { FsError } from '../../../src/fs/errno.ts'
import type { Op, WriteOp } from '../../../src/fs/op.ts'
import { OPS_MAX } from '../../../src/fs/op-codec.ts'
import type { StateMachine } from '../../../src/fs/ports/state-machine.ts'
import type {
  Epoch,
  Incarnation,
  Ino,
  MemberId,
  SegmentId,
  Seq
} from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import { decodeEntryHead } from '../../../src/replication/entry-codec.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { LocalLog } from '../../../src/replication/replica/local-log.ts'
import type { EntryPart } from '../../../src/replication/storage/open-entry.ts'

const WRITER = makeWriterId(1 as MemberId, 1 as Incarnation)
const record: EpochRecord = {
  version: 1,
  volumeId: '00',
  volumeName: 'v',
  epoch: 1 as Epoch,
  authority: 1 as MemberId,
  members: [],
  live: [WRITER],
  inSync: [1 as MemberId],
  writers: [],
  history: [],
  forgotten: 0,
  lastWriters: [],
  voters: [[1 as MemberId, 1]],
  votersBefore: [[1 as MemberId, 1]],
  nextMemberId: 2,
  removedKeys: []
}

function open(
  openEntry?: { put(part: EntryPart): void },
  onFatal: (error: Error) => void = () => undefined
) {
  const journaled: SealedEntry[] = []
  const timers: (() => void)[] = []
  const now = { ms: 0 }
  const fails: { apply: Error | undefined } = { apply: undefined }
  const applied: Op[] = []
  const turn: (() => void)[] = []
  const apply = (op: Op) => void applied.push(op)
  const unapplied: Op[] = []
  const finishApply = () => {
    if (fails.apply !== undefined && unapplied.length > 0) throw fails.apply
    for (const op of unapplied.splice(0)) apply(op)
  }
  const applySoon = (op: Op) => {
    finishApply()
    unapplied.push(op)
  }
  const extend = finishApply
  const state = { apply, applySoon, finishApply, extend } as unknown as StateMachine
  const log = new LocalLog({
    writer: WRITER,
    state,
    admission: new Admission({ record, applied: new Map([[WRITER, 0 as Seq]]), epoch: 0 }),
    journal: (entry) => void journaled.push(entry),
    openEntry,
    publish: () => undefined,
    defer: (work) => {
      turn.push(work)
      return { cancel: () => void turn.splice(turn.indexOf(work), 1) }
    },
    clock: {
      monotonicMs: () => now.ms,
      setTimer: (_delayMs, work) => {
        timers.push(work)
        return { cancel: () => void timers.splice(timers.indexOf(work), 1) }
      }
    },
    onFatal
  })
  const endTurn = () => {
    for (const work of turn.splice(0)) work()
  }
  const entries = () => journaled.map(({ head }) => decodeEntryHead(head).ops.length)
  return { log, applied, fails, journaled, entries, endTurn, timers, now }
}

/** Its head is the log's again when it is written down. */
function copyOf(part: EntryPart): EntryPart {
  return { ...part, head: Buffer.from(part.head) }
}

function reap(ino: number): Op {
  return { type: 'reap', ino: ino as Ino }
}

function write(ino: number): Op {
  const slice = {
    segment: 1 as SegmentId,
    offset: 0,
    length: 3,
    crc32: 0,
    sha256: Buffer.alloc(32)
  }
  return { type: 'write', ino: ino as Ino, offset: 0, slices: [slice], time: { sec: 1, nsec: 0 } }
}

test('local-log - ops submitted together stand in one entry, also when one is nearly full', async (t) => {
  const single = open()
  single.log.setWritable(true)
  for (let ino = 1; ino <= OPS_MAX; ino++) void single.log.submit(reap(ino))
  const [full = 0] = single.entries()
  t.ok(full > 10, `${full} ops fill an entry`)

  const { log, applied, entries, endTurn } = open()
  log.setWritable(true)
  for (let ino = 1; ino < full; ino++) void log.submit(reap(ino))
  const done = log.submitTogether([reap(10_001), reap(10_002), reap(10_003)])
  t.ok(applied.length >= full + 1, 'applied at once, but for the last')
  void log.submitTogether([reap(10_004), reap(10_005)])
  endTurn()
  t.is(applied.length, full + 4)
  await done
  t.alike(entries(), [full + 2, 2], 'none of them is split')
})

test('local-log - who may not write gets EIO', async (t) => {
  const { log, applied } = open()
  await t.exception(() => log.submit(reap(1)), FsError)
  await t.exception(() => log.submitTogether([reap(1), reap(2)]), FsError)
  t.is(applied.length, 0)
})

test('local-log - while ops keep coming an entry stays open, and each op is answered at once', async (t) => {
  const parts: EntryPart[] = []
  const { log, journaled, entries, endTurn, timers, now } = open({
    put: (part) => parts.push(copyOf(part))
  })
  log.setWritable(true)
  const first = log.submit(reap(1))
  endTurn()
  await first
  t.alike(entries(), [1], 'a single op is sent at once')
  for (const ino of [2, 3, 4]) {
    now.ms++
    t.is(log.submit(reap(ino)), undefined, 'nothing to wait for')
    t.is(parts.length, ino - 1, 'written down')
  }
  endTurn()
  t.alike(entries(), [1])
  t.alike(
    parts.map(({ index, seq }) => [index, seq]),
    [
      [0, 2],
      [1, 2],
      [2, 2]
    ]
  )
  t.alike(
    parts.map(({ head }) => decodeEntryHead(Buffer.from(head)).ops.map((op) => op.ino)),
    [[2], [3], [4]]
  )
  t.is(timers.length, 1)
  timers[0]?.()
  t.alike(entries(), [1, 3])
  t.alike(
    journaled.map(({ seq }) => seq),
    [1, 2]
  )
  void log.submit(reap(5))
  endTurn()
  log.flush()
  t.alike(entries(), [1, 3, 1], 'closed when somebody asks')
  t.is(timers.length, 0)
  now.ms += 1000
  void log.submit(reap(6))
  endTurn()
  t.alike(entries(), [1, 3, 1, 1])
  t.is(parts.length, 4)
})

test('local-log - ops submitted together are written down together', (t) => {
  const parts: EntryPart[] = []
  const { log, entries, endTurn } = open({ put: (part) => parts.push(copyOf(part)) })
  log.setWritable(true)
  void log.submit(reap(1))
  endTurn()
  t.is(log.submitTogether([reap(2), reap(3)]), undefined)
  t.alike(
    parts.map(({ head }) => decodeEntryHead(Buffer.from(head)).ops.map((op) => op.ino)),
    [[2, 3]]
  )
  log.flushOrThrow()
  t.alike(entries(), [1, 2])
})

test('local-log - an op that cannot be written down is refused, and everything after it', async (t) => {
  const fatal: Error[] = []
  const put = () => {
    throw new Error('disk')
  }
  const { log, entries, endTurn, timers } = open({ put }, (error) => void fatal.push(error))
  log.setWritable(true)
  void log.submit(reap(1))
  endTurn()
  await t.exception(async () => log.submit(reap(2)), /EIO|journaled/)
  t.is(fatal.length, 1)
  await t.exception(async () => log.submit(reap(3)), /may not write/)
  t.exception(() => log.flushOrThrow(), /disk/, 'nothing that it changed is committed')
  log.flush()
  for (const timer of timers.splice(0)) timer()
  t.alike(entries(), [1])
})

test('local-log - an op is answered when it is written down, and applied by the end of the turn', (t) => {
  const parts: EntryPart[] = []
  const { log, applied, entries, endTurn } = open({ put: (part) => parts.push(copyOf(part)) })
  log.setWritable(true)
  void log.submit(reap(1))
  endTurn()
  t.is(log.submit(write(2), Buffer.alloc(3)), undefined)
  t.is(parts.length, 1)
  t.is(applied.length, 1, 'not yet')
  endTurn()
  t.is(applied.length, 2)
  void log.submit(write(3), Buffer.alloc(3))
  t.ok(log.flush())
  t.is(applied.length, 3, 'before it is journaled')
  t.alike(entries(), [1, 2])
  endTurn()
})

test('local-log - an op that cannot be applied is in no entry, and the member ends', async (t) => {
  for (const closes of [false, true]) {
    const fatal: Error[] = []
    const { log, fails, entries, endTurn, timers } = open({ put: () => undefined }, (error) => {
      fatal.push(error)
    })
    log.setWritable(true)
    void log.submit(reap(1))
    endTurn()
    fails.apply = new Error('contradiction')
    void log.submit(write(2), Buffer.alloc(3))
    if (closes) t.absent(log.flush(), 'nothing may be said behind it')
    endTurn()
    t.alike(fatal, [fails.apply])
    t.absent(log.flush())
    await t.exception(async () => log.submit(reap(3)), /may not write/)
    t.exception(() => log.flushOrThrow(), /contradiction/)
    t.is(timers.length, 0)
    t.alike(entries(), [1])
  }
})

test('local-log - the payload of an entry may be used again when its op is answered', async (t) => {
  const { log, journaled, endTurn } = open({ put: () => undefined })
  log.setWritable(true)
  const bytes = Buffer.alloc(3)
  void log.submit(reap(1))
  endTurn()
  for (const fill of [1, 2]) {
    bytes.fill(fill)
    const done = log.submit(write(fill), bytes)
    endTurn()
    await done
  }
  bytes.fill(9)
  log.flush()
  t.alike([...(journaled[1]?.payload ?? [])], [1, 1, 1, 2, 2, 2])
})

test('local-log - what the parts of an entry hold is an entry, too, however much was merged', async (t) => {
  const parts: EntryPart[] = []
  const { log, journaled, endTurn, now } = open({ put: (part) => parts.push(copyOf(part)) })
  log.setWritable(true)
  void log.submit(reap(1))
  endTurn()
  now.ms++
  const payload = Buffer.alloc(3)
  for (let i = 0; i < 2 * OPS_MAX; i++) {
    const { slices, ...op } = write(5) as WriteOp
    const [slice] = slices
    if (!slice) throw new Error('no slice')
    void log.submit({ ...op, offset: 3 * i, slices: [{ ...slice, offset: 3 * i }] }, payload)
    if (i % 100 === 0) endTurn()
  }
  endTurn()
  const left = new Map<Seq, number>()
  for (const { seq, head } of parts) {
    const { ops } = decodeEntryHead(Buffer.from(head))
    left.set(seq, (left.get(seq) ?? 0) + ops.length)
  }
  t.ok(left.size > 1)
  t.ok([...left.values()].every((ops) => ops <= OPS_MAX))
  t.ok(journaled.length > 2, 'closed before the payload fills it')
})
