/**
 * Runs the simulation over many seeds: `node dist/scripts/sim.js [--seed N] [--seeds K] [--steps M]
 * [--explain]`. Prints one line for each failing seed and one for all; exits 1 when one failed.
 */
import { parseArgs } from 'node:util'
import { explainTokens, runTokens } from '../test/sim/tokens-run.ts'

function number(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`sim: --${name}: not a number: ${text}`)
}

function main(): number {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '1000' },
      steps: { type: 'string', default: '300' },
      explain: { type: 'boolean', default: false }
    }
  })
  const first = number('seed', values.seed)
  const seeds = number('seeds', values.seeds)
  const steps = number('steps', values.steps)
  const totals = new Map<string, number>()
  let failed = 0
  for (let seed = first; seed < first + seeds; seed++) {
    const result = runTokens(seed, steps)
    if (result instanceof Error) {
      failed++
      console.log(`tokens seed ${seed} steps ${steps}: ${result.name}: ${result.message}`)
      if (values.explain) console.log(explainTokens(seed, steps))
      continue
    }
    const counters = { ...result.counters, events: result.events, reads: result.reads }
    for (const [name, count] of Object.entries(counters)) {
      totals.set(name, (totals.get(name) ?? 0) + count)
    }
  }
  const sums = Array.from(totals, ([name, count]) => `${name} ${count}`).join(', ')
  console.log(`tokens: ${seeds - failed} of ${seeds} seeds pass; ${sums}`)
  return failed > 0 ? 1 : 0
}

process.exitCode = main()
