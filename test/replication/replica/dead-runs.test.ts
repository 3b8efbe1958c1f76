import test from 'brittle'
import type { FreedBatch, FreedSlice } from '../../../src/fs/ports/state-machine.ts'
import type { FreedBatchId, SegmentId } from '../../../src/fs/primitives.ts'
import { DeadRuns } from '../../../src/replication/replica/dead-runs.ts'
import { Random } from '../../model/random.ts'

function batch(id: number, ...places: (readonly [number, number, number])[]): FreedBatch {
  const slices = places.map(([segment, offset, length]) => {
    return { segment: segment as SegmentId, offset, length }
  })
  return { id: id as FreedBatchId, slices }
}

test('dead runs - neighbours of all batches are one run', (t) => {
  const runs = new DeadRuns([
    batch(4, [1, 0, 10], [1, 20, 10], [2, 50, 5]),
    batch(5, [1, 10, 10], [1, 31, 4]),
    batch(6, [2, 30, 20], [3, 55, 5])
  ])
  t.is(runs.slices, 7)
  const steps = []
  for (let run = runs.next(); run; run = runs.next()) {
    t.alike(runs.next(), run, 'until it is punched')
    steps.push([run.segment, run.offset, run.length, ...runs.punched()])
  }
  t.alike(steps, [
    [1, 0, 30],
    [1, 31, 4, 5],
    [2, 30, 25, 4],
    [3, 55, 5, 6]
  ])
  t.alike(runs.punched(), [])
})

test('dead runs - a slice that was freed twice is punched twice', (t) => {
  const runs = new DeadRuns([batch(1, [1, 0, 10]), batch(2, [1, 0, 10], [1, 5, 5])])
  const done = []
  for (let run = runs.next(); run; run = runs.next()) {
    t.ok(run.offset + run.length <= 10)
    done.push(...runs.punched())
  }
  t.alike(done, [1, 2])
})

test('dead runs - any batches come to the same as all slices in one', (t) => {
  const random = new Random(3)
  for (let round = 0; round < 50; round++) {
    const batches = Array.from({ length: 1 + random.below(12) }, (_, id) => batch(id))
    const places = new Set<number>()
    // Ascending, so that each batch is: what a member's table gives.
    for (let at = 0; at < 300; at++) if (random.chance(0.7)) places.add(at)
    for (const at of places) {
      const segment = (at < 150 ? 1 : 2) as SegmentId
      const { slices } = random.pick(batches)
      const list = slices as FreedSlice[]
      list.push({ segment, offset: at * 10, length: 10 })
    }
    const runs = new DeadRuns(batches)
    const left = new Set(places)
    const open = new Map(batches.map(({ id, slices }) => [id, slices]))
    let end = -1
    for (let run = runs.next(); run; run = runs.next()) {
      if (run.offset === end && run.offset !== 1500) t.fail('two runs are neighbours')
      end = run.offset + run.length
      for (let at = run.offset / 10; at < end / 10; at++) if (!left.delete(at)) t.fail('twice')
      for (const id of runs.punched()) {
        if (open.get(id)?.some(({ offset }) => left.has(offset / 10))) t.fail('ended too early')
        open.delete(id)
      }
    }
    t.is(left.size, 0)
    t.ok(
      [...open.values()].every((slices) => slices.length === 0),
      'all ended'
    )
  }
})
