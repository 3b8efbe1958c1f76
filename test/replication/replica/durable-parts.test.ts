import test from 'brittle'
import type { Epoch, Incarnation, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import type { DurablePartsComponents } from '../../../src/replication/replica/durable-parts.ts'
import { DurableParts } from '../../../src/replication/replica/durable-parts.ts'
import { A, epochRecord } from '../records.ts'
import { HandClock, NotedLogger, settle } from './support.ts'

const WRITER = makeWriterId(A, 1 as Incarnation)

/** A member alone, whose own ops find their entry or do not. */
function makeParts() {
  const clock = new HandClock()
  const steps: string[] = []
  const fatal: unknown[] = []
  const log = {
    failure: undefined as Error | undefined,
    checkpointFailure: undefined as Error | undefined
  }
  const applied = new Map([[WRITER, 1 as Seq]])
  const position = { epoch: 1 as Epoch, applied }
  const components = {
    self: A,
    inSync: [A],
    admission: {
      record: epochRecord({ live: [WRITER], writers: [{ writer: WRITER, coreKey: 'ab' }] }),
      applied,
      remembered: applied,
      passedEpoch: 1
    },
    state: {
      position: () => position,
      commit: () => steps.push('commit'),
      freedBatches: () => []
    },
    checkpoint: async () => {
      if (log.checkpointFailure) throw log.checkpointFailure
      steps.push('checkpoint')
      return position
    },
    clock,
    beatClock: clock,
    logger: new NotedLogger(),
    journal: {
      appended: 1,
      stats: () => ({ sizeBytes: 0 }),
      sync: async () => steps.push('sync'),
      syncNow: () => steps.push('sync now')
    },
    segments: {
      canPunch: false,
      syncSegments: async () => {},
      syncSegmentsNow: () => {},
      syncUnsynced: async () => {}
    },
    published: { areWaiting: false, release: async () => {} },
    defer: (work: () => void) => clock.setTimer(0, work),
    peers: { connected: () => [] },
    waits: {},
    space: { isShort: false },
    slices: { takeUnjournaled: () => [] },
    mayPunch: () => true,
    localLog: {
      flushOrThrow: () => {
        if (log.failure) throw log.failure
      }
    },
    onFatal: (error: unknown) => fatal.push(error)
  }
  const parts = new DurableParts(components as unknown as DurablePartsComponents)
  const durable = () => Number(parts.durability.durableOf(A).get(WRITER) ?? 0)
  return { parts, clock, steps, fatal, log, durable }
}

test('durable parts - nothing is synced or committed behind own ops that have no entry', async (t) => {
  const { parts, clock, steps, fatal, log } = makeParts()
  log.failure = new Error('the journal is full')
  const round = parts.clusterSync.sync()
  clock.advance(0)
  await t.exception(round, /the journal is full/)
  await t.exception(async () => await parts.localSync.sync(), /the journal is full/)
  t.exception(() => parts.localSync.syncNow(), /the journal is full/)
  parts.upkeep.start()
  clock.advance(60_000)
  await settle()
  t.alike(fatal, [log.failure])
  t.alike(steps, [])
  await parts.upkeep.stop()
})

test('durable parts - an entry with dead slices is durable by a checkpoint', async (t) => {
  const { parts, steps, durable } = makeParts()
  await parts.localSync.sync()
  t.alike(steps.splice(0), ['sync'])
  t.is(durable(), 1)
  parts.onAppliedDead()
  await parts.localSync.sync()
  t.alike(steps.splice(0), ['sync', 'sync', 'sync now', 'commit', 'checkpoint'])
  await parts.localSync.sync()
  t.alike(steps.splice(0), ['sync'], 'what was applied since is in the journal')
})

test('durable parts - when that checkpoint fails nothing is durable', async (t) => {
  const { parts, fatal, durable, log } = makeParts()
  log.checkpointFailure = new Error('disk broken')
  parts.onAppliedDead()
  await t.exception(async () => await parts.localSync.sync(), /no checkpoint/)
  t.alike(fatal, [log.checkpointFailure])
  t.is(durable(), 0)
})

test('durable parts - with them it is', async (t) => {
  const { parts, clock, steps, fatal } = makeParts()
  parts.upkeep.start()
  clock.advance(60_000)
  await settle()
  t.alike(fatal, [])
  t.alike(steps.slice(0, 3), ['sync', 'sync now', 'commit'])
  await parts.upkeep.stop()
})
