import test, { type Test } from 'brittle'
import type { FreedSlice } from '../../../src/fs/ports/state-machine.ts'
import type { Epoch, Incarnation, Seq } from '../../../src/fs/primitives.ts'
import { makeSegmentId, makeWriterId } from '../../../src/fs/primitives.ts'
import type { UpkeepComponents } from '../../../src/replication/replica/upkeep.ts'
import { Upkeep } from '../../../src/replication/replica/upkeep.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A } from '../records.ts'
import { HandClock, NotedLogger, settle } from './support.ts'

const WRITER = makeWriterId(A, 1 as Incarnation)
const ONE = 1 as Epoch

function vectorAt(seq: number): Vector {
  return new Map([[WRITER, seq as Seq]])
}

const POSITION = { epoch: ONE, applied: vectorAt(1) }

/** Parts that are in nobody's way: everything is synced at once, there is room, nothing may fail. */
function surroundings(t: Test, clock: HandClock) {
  return {
    flushLogs: async () => {},
    sync: { sync: async () => vectorAt(1), syncNow: () => {} },
    position: () => POSITION,
    epoch: () => ONE,
    isSpaceShort: () => false,
    clock,
    logger: new NotedLogger(),
    onFatal: (error: Error) => t.fail(error.message)
  }
}

test('upkeep - what an open entry has freed waits for the checkpoint of that entry', async (t) => {
  const clock = new HandClock()
  const punched: number[] = []
  const asked: number[] = []
  let isOpen = true
  let covered = 1
  const segment = makeSegmentId(WRITER, 0)
  // Entry 2 is still being gathered: applied to the state, not yet counted as applied.
  const freed: FreedSlice = {
    segment,
    offset: 0,
    length: 10,
    origin: { writer: WRITER, seq: 2 as Seq }
  }
  const components = {
    ...surroundings(t, clock),
    state: {
      position: () => POSITION,
      commit: () => {},
      freedSlices: () => (punched.length === 0 ? [freed] : []),
      forgetFreed: () => {}
    },
    journal: { appended: 1, stats: () => ({ sizeBytes: 0 }) },
    segments: {
      canPunch: true,
      syncUnsynced: async () => {},
      punch: async (_segment: number, offset: number) => punched.push(offset)
    },
    checkpoint: async () => POSITION,
    flushOwn: () => {
      isOpen = false
    },
    applied: () => vectorAt(isOpen ? 1 : 2),
    checkpointedEverywhere: (vector: Vector) => {
      const seq = vector.get(WRITER) ?? 0
      asked.push(seq)
      return seq <= covered
    }
  }
  const upkeep = new Upkeep(components as unknown as UpkeepComponents)
  upkeep.start()
  const round = async () => {
    clock.advance(60_000)
    await settle()
  }
  await round()
  await round()
  t.alike(asked, [2])
  t.alike(punched, [], 'a power cut now leads back to entry 1, which needs the slice')
  covered = 2
  await round()
  t.alike(punched, [0])
  await upkeep.stop()
})

test('upkeep - commits do not wait for a checkpoint that is held up, its end does', async (t) => {
  const clock = new HandClock()
  const steps: string[] = []
  let appended = 1
  let endCheckpoint: () => void = () => {}
  const components = {
    ...surroundings(t, clock),
    state: { position: () => POSITION, commit: () => steps.push('commit') },
    journal: {
      get appended() {
        return appended
      },
      stats: () => ({ sizeBytes: 2 ** 40 }),
      prune: (covered: number) => steps.push(`prune ${covered}`)
    },
    segments: { canPunch: false, syncUnsynced: async () => {} },
    checkpoint: () =>
      new Promise((resolve) => {
        steps.push('checkpoint')
        endCheckpoint = () => resolve(POSITION)
      }),
    applied: () => vectorAt(1)
  }
  const upkeep = new Upkeep(components as unknown as UpkeepComponents)
  upkeep.start()
  for (appended = 1; appended <= 3; appended++) {
    clock.advance(1000)
    await settle()
  }
  t.alike(steps.splice(0), ['commit', 'checkpoint', 'commit', 'commit'])
  let isStopped = false
  const stopped = upkeep.stop().then(() => {
    isStopped = true
  })
  await settle()
  t.absent(isStopped)
  endCheckpoint()
  await stopped
  t.alike(steps, ['prune 1'], 'what the checkpoint covers and no more')
})
