import test from 'brittle'
import { LOCK_MUTATIONS } from './locks-mutation.ts'
import { runLocks } from './locks-world.ts'

const SEEDS = 120
const STEPS = 250
/** Enough for the rarest of the mutations, with room to spare. */
const MUTANT_SEEDS = 400

test('locks in simulation - safety under faults, then everybody gets on', async (t) => {
  const failures: string[] = []
  let epochs = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { world, error } = await runLocks(seed, STEPS)
    epochs += world.counters.epochs
    if (error !== undefined) failures.push(`seed ${seed}: ${error.name}: ${error.message}`)
  }
  t.alike(failures, [])
  t.ok(epochs > SEEDS, 'epochs changed')
})

test('locks in simulation - a seed repeats exactly', async (t) => {
  for (const seed of [3, 30, 115]) {
    const [a, b] = [await runLocks(seed, STEPS), await runLocks(seed, STEPS)]
    t.is(a.world.hash, b.world.hash)
  }
})

for (const make of LOCK_MUTATIONS) {
  test(`locks in simulation - caught: ${make().name}`, async (t) => {
    let caught: Error | undefined
    for (let seed = 1; seed <= MUTANT_SEEDS && caught === undefined; seed++) {
      const { error } = await runLocks(seed, STEPS, make())
      caught = error
    }
    t.ok(caught !== undefined, caught?.message)
  })
}
