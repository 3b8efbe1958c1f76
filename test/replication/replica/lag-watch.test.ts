import test from 'brittle'
import type { Incarnation, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { LagWatch } from '../../../src/replication/replica/lag-watch.ts'
import { A, B, epochRecord, memberInfo } from '../records.ts'

const WA = makeWriterId(A, 1 as Incarnation)
const record = epochRecord({ members: [memberInfo(A), memberInfo(B)], live: [WA] })
const newest = { writer: WA, seq: 10 as Seq, head: Buffer.alloc(300), payload: Buffer.alloc(0) }

function make() {
  const world = {
    nowMs: 0,
    applied: 10,
    held: undefined as number | undefined,
    left: 0,
    stateBytes: 0
  }
  const vector = (seq: number) => new Map([[WA, seq as Seq]])
  const lags = new LagWatch({
    record: () => record,
    applied: () => vector(world.applied),
    heldBy: () => (world.held === undefined ? undefined : vector(world.held)),
    ownLag: () => world.left,
    stateLeftBytes: () => world.stateBytes,
    recent: { get: (_writer, seq) => (seq === 10 ? newest : undefined), averageBytes: 100 },
    nowMs: () => world.nowMs
  })
  return { world, lags }
}

test('lag - entries, bytes, and how long without a break', (t) => {
  const { world, lags } = make()
  t.is(lags.lagOf(B), undefined, 'it has not said what it holds')
  world.held = 7
  lags.beat()
  world.nowMs = 1500
  lags.beat()
  t.alike(lags.lagOf(B), { entries: 3, bytes: 500, seconds: 1.5 })
  world.held = 10
  lags.beat()
  t.alike(lags.lagOf(B), { entries: 0, bytes: 0, seconds: 0 })
  world.applied = 11
  lags.beat()
  world.nowMs = 2000
  t.is(lags.lagOf(B)?.seconds, 0.5, 'counted anew')
})

test('catch-up progress - the rest at the rate of the last beats', (t) => {
  const { world, lags } = make()
  t.is(lags.progress(), undefined, 'nothing is missing')
  world.left = 1000
  lags.beat()
  t.alike(lags.progress(), { entriesLeft: 1000, bytesLeft: 100_000, secondsLeft: null })
  for (let beat = 0; beat < 20; beat++) {
    world.nowMs += 500
    world.left -= 25
    lags.beat()
  }
  t.is(lags.progress()?.secondsLeft, 11, '500 entries at 50 a second, smoothed')
})

test('catch-up progress - a state that is fetched counts with its bytes', (t) => {
  const { world, lags } = make()
  world.stateBytes = 10_000
  lags.beat()
  t.alike(lags.progress(), { entriesLeft: 0, bytesLeft: 10_000, secondsLeft: null })
  for (let beat = 0; beat < 20; beat++) {
    world.nowMs += 1000
    world.stateBytes -= 250
    lags.beat()
  }
  world.left = 1
  const progress = lags.progress()
  t.is(progress?.bytesLeft, 5100)
  t.is(progress?.secondsLeft, null, 'the entries do not fall')
})
