import test from 'brittle'
import { FsError } from '../../../src/fs/errno.ts'
import type { Op } from '../../../src/fs/op.ts'
import { OPS_MAX } from '../../../src/fs/op-codec.ts'
import type { StateMachine } from '../../../src/fs/ports/state-machine.ts'
import type { Epoch, Incarnation, Ino, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import { decodeEntryHead } from '../../../src/replication/entry-codec.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { LocalLog } from '../../../src/replication/replica/local-log.ts'

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
  voters: [[1 as MemberId, 1]],
  votersBefore: [[1 as MemberId, 1]],
  nextMemberId: 2,
  removedKeys: []
}

function open() {
  const journaled: SealedEntry[] = []
  const applied: Op[] = []
  const turn: (() => void)[] = []
  const state = { apply: (op: Op) => void applied.push(op) } as unknown as StateMachine
  const log = new LocalLog({
    writer: WRITER,
    state,
    admission: new Admission({ record, applied: new Map([[WRITER, 0 as Seq]]) }),
    journal: (entry) => void journaled.push(entry),
    publish: () => undefined,
    defer: (work) => {
      turn.push(work)
      return { cancel: () => void turn.splice(turn.indexOf(work), 1) }
    },
    onFatal: () => undefined
  })
  const endTurn = () => {
    for (const work of turn.splice(0)) work()
  }
  const entries = () => journaled.map(({ head }) => decodeEntryHead(head).ops.length)
  return { log, applied, entries, endTurn }
}

function reap(ino: number): Op {
  return { type: 'reap', ino: ino as Ino }
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
  t.is(applied.length, full + 2, 'applied at once')
  void log.submitTogether([reap(10_004), reap(10_005)])
  endTurn()
  await done
  t.alike(entries(), [full + 2, 2], 'none of them is split')
})

test('local-log - who may not write gets EIO', async (t) => {
  const { log, applied } = open()
  await t.exception(() => log.submit(reap(1)), FsError)
  await t.exception(() => log.submitTogether([reap(1), reap(2)]), FsError)
  t.is(applied.length, 0)
})
