import test, { type Test } from 'brittle'
import type { FreedBatch } from '../../../src/fs/ports/state-machine.ts'
import type { Epoch, FreedBatchId, Incarnation, Seq } from '../../../src/fs/primitives.ts'
import { makeSegmentId, makeWriterId } from '../../../src/fs/primitives.ts'
import type { UpkeepComponents } from '../../../src/replication/replica/upkeep.ts'
import { Upkeep } from '../../../src/replication/replica/upkeep.ts'
import type { Vector } from '../../../src/replication/vector.ts'
import { A } from '../records.ts'
import { HandClock, NotedLogger, settle } from './support.ts'

const WRITER = makeWriterId(A, 1 as Incarnation)
const SEGMENT = makeSegmentId(WRITER, 0)
const ONE = 1 as Epoch

function vectorAt(seq: number): Vector {
  return new Map([[WRITER, seq as Seq]])
}

const POSITION = { epoch: ONE, applied: vectorAt(1) }

/** Parts that are in nobody's way: everything is synced at once, there is room, nothing may fail. */
function surroundings(t: Test, clock: HandClock) {
  return {
    published: { areWaiting: false, release: async () => {} },
    sync: { syncFiles: async () => vectorAt(1), syncNow: () => {} },
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
  // Entry 2 is still being gathered: applied to the state, not yet counted as applied.
  const slices = [{ segment: SEGMENT, offset: 0, length: 10 }]
  const freed: FreedBatch = { id: 1 as FreedBatchId, slices }
  const components = {
    ...surroundings(t, clock),
    state: {
      position: () => POSITION,
      commit: () => {},
      freedBatches: () => (punched.length === 0 ? [freed] : []),
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

/** A member whose freed slices stand in these batches, each slice of ten bytes at such an offset. */
function withBatches(t: Test, offsets: Record<number, readonly number[]>) {
  const clock = new HandClock()
  const steps: string[] = []
  const member = {
    epoch: 1,
    isSafe: true,
    /** What happens while a hole is punched. */
    onPunch: (): void => {}
  }
  const batches = new Map(
    Object.entries(offsets).map(([id, places]) => {
      const slices = places.map((offset) => ({ segment: SEGMENT, offset, length: 10 }))
      return [Number(id), { id: Number(id), slices }]
    })
  )
  const components = {
    ...surroundings(t, clock),
    epoch: () => member.epoch,
    state: {
      position: () => POSITION,
      commit: () => {},
      freedBatches: () => {
        steps.push('read')
        return [...batches.values()]
      },
      forgetFreed: (ids: readonly number[]) => {
        for (const id of ids) steps.push(`forget ${id}`)
        for (const id of ids) batches.delete(id)
      }
    },
    journal: { appended: 0, stats: () => ({ sizeBytes: 0 }) },
    segments: {
      canPunch: true,
      punch: async (_segment: number, offset: number, length: number) => {
        steps.push(`${offset}+${length}`)
        member.onPunch()
      }
    },
    checkpoint: async () => POSITION,
    flushOwn: () => {},
    applied: () => vectorAt(1),
    checkpointedEverywhere: () => member.isSafe
  }
  const upkeep = new Upkeep(components as unknown as UpkeepComponents)
  upkeep.start()
  /** What a round does. */
  const round = async () => {
    clock.advance(60_000)
    await settle()
    return steps.splice(0)
  }
  return { clock, upkeep, member, round }
}

test('upkeep - a round that takes too long is gone on with in the next', async (t) => {
  const { clock, upkeep, member, round } = withBatches(t, { 1: [0, 100], 2: [10, 300], 3: [200] })
  t.alike(await round(), ['read'])
  member.onPunch = () => clock.advance(300)
  t.alike(await round(), ['0+20', '100+10', 'forget 1'])
  t.alike(await round(), ['200+10', 'forget 3', '300+10', 'forget 2'], 'without reading it again')
  t.alike(await round(), ['read'])
  t.alike(await round(), ['read'])
  await upkeep.stop()
})

test('upkeep - what is left waits again for every live member', async (t) => {
  const { clock, upkeep, member, round } = withBatches(t, { 1: [0, 100], 2: [200] })
  await round()
  member.onPunch = () => clock.advance(600)
  t.alike(await round(), ['0+10'])
  member.isSafe = false
  t.alike(await round(), [])
  member.isSafe = true
  t.alike(await round(), ['100+10', 'forget 1'])
  await upkeep.stop()
})

test('upkeep - no more is punched from when a member has come that lacks what freed it', async (t) => {
  const { upkeep, member, round } = withBatches(t, { 1: [0, 100], 2: [200] })
  await round()
  member.onPunch = () => {
    member.isSafe = false
  }
  t.alike(await round(), ['0+10'])
  t.alike(await round(), [])
  member.isSafe = true
  t.alike(await round(), ['100+10', 'forget 1'])
  await upkeep.stop()
})

test('upkeep - in another epoch what is left is read anew', async (t) => {
  const { upkeep, member, round } = withBatches(t, { 1: [0, 100], 2: [200] })
  await round()
  member.onPunch = () => {
    member.epoch = 2
  }
  t.alike(await round(), ['0+10'], 'ends with the epoch')
  t.alike(await round(), ['read'])
  member.isSafe = false
  t.alike(await round(), [], 'and waits')
  member.isSafe = true
  t.alike(await round(), ['0+10', '100+10', 'forget 1', '200+10', 'forget 2'])
  await upkeep.stop()
})

test('upkeep - stopped while it punches it changes nothing any more', async (t) => {
  const { upkeep, member, round } = withBatches(t, { 1: [0], 2: [100] })
  await round()
  let stopped: Promise<void> | undefined
  member.onPunch = () => {
    stopped = upkeep.stop()
  }
  t.alike(await round(), ['0+10'])
  await stopped
  t.alike(await round(), [])
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

test('upkeep - a checkpoint lets published entries off the shelf, with a large journal before it is pruned', async (t) => {
  const clock = new HandClock()
  const steps: string[] = []
  const published = {
    areWaiting: true,
    release: async () => {
      await settle()
      steps.push('release')
    }
  }
  const journal = {
    appended: 1,
    sizeBytes: 0,
    stats: () => ({ sizeBytes: journal.sizeBytes }),
    prune: () => steps.push('prune')
  }
  const components = {
    ...surroundings(t, clock),
    published,
    journal,
    segments: { canPunch: false, syncUnsynced: async () => {} },
    state: {
      position: () => POSITION,
      commit: () => steps.push('commit'),
      freedBatches: () => [],
      forgetFreed: () => {}
    },
    checkpoint: async () => {
      steps.push('checkpoint')
      return POSITION
    },
    flushOwn: () => {},
    applied: () => vectorAt(1),
    checkpointedEverywhere: () => true
  }
  const options = { commitMs: 1000, commitsPerCheckpoint: 1, journalKeepBytes: 10, deadSlices: 1 }
  const upkeep = new Upkeep(components as unknown as UpkeepComponents, options)
  upkeep.start()
  const round = async () => {
    journal.appended++
    clock.advance(1000)
    await settle()
    await settle()
    return steps.splice(0)
  }
  t.alike(await round(), ['commit', 'checkpoint', 'release'])
  published.areWaiting = false
  t.alike(await round(), ['commit', 'checkpoint'], 'nothing to flush for')
  journal.sizeBytes = 11
  t.alike(await round(), ['commit', 'checkpoint', 'release', 'prune'])
  await upkeep.stop()
})
