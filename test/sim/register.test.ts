import test from 'brittle'
import { isSoak, seed } from '../helpers/sizes.ts'
import { REGISTER_MUTANTS } from './register-mutants.ts'
import { runRegister } from './register-world.ts'

const FIRST = isSoak ? 1 + (seed % 1_000_000) * 5000 : 1
const PATIENCE_MS = (isSoak ? 80 : 10) * 60_000
const SEEDS = isSoak ? 5000 : 150
const STEPS = 20
const MUTANT_STEPS = 30
/** Of the rarer ones `npm run sim -- mutants register` sees to it that they are caught. */
const CHEAP_SEEDS = 40

test(`register simulation - ${SEEDS} seeds keep every promise`, { timeout: PATIENCE_MS }, (t) => {
  const seen = new Map<string, number>()
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const result = runRegister(seed, STEPS)
    if (result instanceof Error) {
      t.fail(`seed ${seed} steps ${STEPS}: ${result.name}: ${result.message}`)
      continue
    }
    for (const [name, count] of Object.entries(result.counters)) {
      seen.set(name, (seen.get(name) ?? 0) + count)
    }
  }
  for (const name of ['elected', 'deposed', 'chosen', 'kills']) {
    t.ok((seen.get(name) ?? 0) > SEEDS, `${name} happened`)
  }
})

test('register simulation - voters that take leaders for deaf, right or wrong', {
  timeout: PATIENCE_MS
}, (t) => {
  let taken = 0
  for (let seed = FIRST; seed < FIRST + SEEDS / 5; seed++) {
    const result = runRegister(seed, STEPS, { takenForDeaf: 0.5 })
    if (result instanceof Error) t.fail(`seed ${seed} steps ${STEPS}: ${result.message}`)
    else taken += result.counters['takenForDeaf'] ?? 0
  }
  t.ok(taken > SEEDS, 'it happened')
})

test('register simulation - the same seed does the same', { timeout: 60_000 }, (t) => {
  for (let seed = 1; seed <= 5; seed++) {
    const first = runRegister(seed, STEPS)
    const second = runRegister(seed, STEPS)
    if (first instanceof Error || second instanceof Error) t.fail(`seed ${seed} fails`)
    else t.is(first.hash, second.hash)
  }
})

for (const mutant of REGISTER_MUTANTS.filter(({ withinSeeds }) => withinSeeds <= CHEAP_SEEDS)) {
  test(`register simulation - caught: ${mutant.name}`, { timeout: 120_000 }, (t) => {
    const undo = mutant.apply()
    t.teardown(undo)
    for (let seed = 1; seed <= mutant.withinSeeds; seed++) {
      const result = runRegister(seed, MUTANT_STEPS, mutant.parameters)
      if (!(result instanceof Error)) continue
      t.pass(`seed ${seed}: ${result.name}: ${result.message}`)
      return
    }
    t.fail(`not caught by ${mutant.withinSeeds} seeds`)
  })
}
