import test from 'brittle'
import { isSoak, seed } from '../helpers/sizes.ts'
import { CLUSTER_MUTANTS } from './cluster-mutants.ts'
import { runCluster } from './cluster-run.ts'

const FIRST = isSoak ? 1 + (seed % 1_000_000) * 1000 : 1
const PATIENCE_MS = (isSoak ? 80 : 10) * 60_000
const SEEDS = isSoak ? 1000 : 48
const STEPS = isSoak ? 20 : 8
/** Found faults once; what they do changes with the protocols. */
const REGRESSION_SEEDS = [
  139, 410, 960, 1376, 1411, 1483, 1937, 1988, 2081, 2314, 2507, 2888, 3542, 4633, 4868, 5889, 6250,
  23021
]
const REGRESSION_STEPS = 20
const MUTANT_STEPS = 12
const DEAF_SEEDS = isSoak ? 500 : 20
const DEAF_STEPS = 4
/** What some seed has to have seen, or the simulation has become too tame. */
const EXPECTED = [
  ...['epochs', 'reads', 'syncs', 'largeWrites', 'voided'],
  ...['locked', 'lockedWrites'],
  ...['kills', 'powerCuts', 'cuts', 'isolations', 'splits', 'stranded'],
  ...['freezes', 'left', 'diskStalls', 'memberChanges', 'straggled', 'disturbed', 'slowReturns']
]

test(`cluster simulation - ${SEEDS} seeds keep every promise`, {
  timeout: PATIENCE_MS
}, async (t) => {
  const seen = new Map<string, number>()
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const result = await runCluster(seed, STEPS)
    if (result instanceof Error) {
      t.fail(`seed ${seed} steps ${STEPS}: ${result.name}: ${result.message}`)
      continue
    }
    for (const [name, count] of Object.entries(result.counters)) {
      seen.set(name, (seen.get(name) ?? 0) + count)
    }
  }
  for (const name of EXPECTED) t.ok((seen.get(name) ?? 0) > 0, `${name} happened`)
})

test('cluster simulation - seeds that failed once', { timeout: 120_000 }, async (t) => {
  for (const seed of REGRESSION_SEEDS) {
    const result = await runCluster(seed, REGRESSION_STEPS)
    t.absent(result instanceof Error ? result.message : undefined, `seed ${seed}`)
  }
})

test('cluster simulation - who hears nobody holds up the others hardly longer than the dead', {
  timeout: PATIENCE_MS
}, async (t) => {
  let deafened = 0
  for (let seed = FIRST; seed < FIRST + DEAF_SEEDS; seed++) {
    const parameters = { killsHealthy: true, deafens: true }
    const result = await runCluster(seed, DEAF_STEPS, { parameters })
    if (result instanceof Error) t.fail(`seed ${seed} steps ${DEAF_STEPS}: ${result.message}`)
    else deafened += result.counters['deafened'] ?? 0
  }
  t.ok(deafened > DEAF_SEEDS / 2)
})

test('cluster simulation - the same seed does the same', { timeout: 120_000 }, async (t) => {
  for (let seed = 1; seed <= 5; seed++) {
    const first = await runCluster(seed, STEPS)
    const second = await runCluster(seed, STEPS)
    if (first instanceof Error || second instanceof Error) t.fail(`seed ${seed} fails`)
    else t.is(first.hash, second.hash)
  }
})

for (const mutant of CLUSTER_MUTANTS.filter(({ isQuick }) => isQuick)) {
  test(`cluster simulation - caught: ${mutant.name}`, { timeout: 300_000 }, async (t) => {
    const undo = mutant.apply?.()
    t.teardown(() => undo?.())
    for (let i = 0; i < mutant.withinSeeds; i++) {
      const seed = (mutant.firstSeed ?? 1) + i
      const result = await runCluster(seed, mutant.steps ?? MUTANT_STEPS, mutant)
      if (!(result instanceof Error)) continue
      t.pass(`seed ${seed}: ${result.name}: ${result.message.split('\n')[0]}`)
      return
    }
    t.fail(`not caught by ${mutant.withinSeeds} seeds`)
  })
}
