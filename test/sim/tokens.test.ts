import test from 'brittle'
import { isSoak, seed } from '../helpers/sizes.ts'
import { MUTANTS } from './tokens-mutants.ts'
import { runTokens } from './tokens-run.ts'

const FIRST = isSoak ? 1 + (seed % 1_000_000) * 5000 : 1
const PATIENCE_MS = (isSoak ? 80 : 10) * 60_000
const SEEDS = isSoak ? 5000 : 200
const STEPS = 200

test(`tokens simulation - ${SEEDS} seeds keep every promise`, { timeout: PATIENCE_MS }, (t) => {
  const seen = new Map<string, number>()
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const result = runTokens(seed, STEPS)
    if (result instanceof Error) {
      t.fail(`seed ${seed} steps ${STEPS}: ${result.name}: ${result.message}`)
      continue
    }
    for (const [name, count] of Object.entries(result.counters)) {
      seen.set(name, (seen.get(name) ?? 0) + count)
    }
  }
  for (const [name, count] of seen) t.ok(count > 0, `${name} happened`)
})

test('tokens simulation - the same seed does the same', { timeout: 60_000 }, (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const first = runTokens(seed, STEPS)
    const second = runTokens(seed, STEPS)
    if (first instanceof Error || second instanceof Error) t.fail(`seed ${seed} fails`)
    else t.is(first.hash, second.hash)
  }
})

for (const mutant of MUTANTS) {
  test(`tokens simulation - caught: ${mutant.name}`, { timeout: 120_000 }, (t) => {
    for (let seed = 1; seed <= mutant.withinSeeds; seed++) {
      const result = runTokens(seed, STEPS, mutant)
      if (!(result instanceof Error)) continue
      t.pass(`seed ${seed}: ${result.name}: ${result.message}`)
      return
    }
    t.fail(`not caught by ${mutant.withinSeeds} seeds`)
  })
}
