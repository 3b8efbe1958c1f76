/**
 * Runs a simulation over many seeds: `node dist/scripts/sim.js [tokens|register|cluster] [--seed N]
 * [--seeds K] [--steps M] [--explain]`. Prints one line for each failing seed and one for all;
 * exits 1 when one failed. `sim.js mutants [tokens|locks|register|cluster]... [--only TEXT]
 * [--seed N] [--seeds K]` breaks one rule after the other instead; each has to be caught.
 */
import { parseArgs } from 'node:util'
import { explainCluster, runCluster } from '../test/sim/cluster-run.ts'
import { explainRegister, runRegister } from '../test/sim/register-world.ts'
import { explainTokens, runTokens } from '../test/sim/tokens-run.ts'
import { runMutants } from './sim-mutants.ts'
import { UsageError } from './usage-error.ts'

const USAGE = `usage: npm run sim -- [tokens|register|cluster] [--seed N] [--seeds K] [--steps M] [--explain]
       npm run sim -- mutants [tokens|locks|register|cluster]... [--only TEXT] [--seed N] [--seeds K]`

interface Outcome {
  readonly events: number
  readonly counters: Readonly<Record<string, number>>
}

interface Simulation {
  /** Operations or faults at most. */
  readonly steps: number
  run(seed: number, steps: number): Promise<Outcome | Error>
  explain(seed: number, steps: number): Promise<string>
}

const SIMULATIONS: Readonly<Record<string, Simulation>> = {
  tokens: {
    steps: 300,
    run: async (seed, steps) => {
      const result = runTokens(seed, steps)
      if (result instanceof Error) return result
      return { events: result.events, counters: { ...result.counters, reads: result.reads } }
    },
    explain: async (seed, steps) => explainTokens(seed, steps)
  },
  register: {
    steps: 30,
    run: async (seed, steps) => runRegister(seed, steps),
    explain: async (seed, steps) => explainRegister(seed, steps)
  },
  cluster: { steps: 20, run: runCluster, explain: explainCluster }
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new UsageError(`--${name}: not a number: ${text}`)
}

const OPTIONS = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  only: { type: 'string' },
  steps: { type: 'string' },
  explain: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false }
} as const

function parse() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parse()
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const name = positionals[0] ?? 'tokens'
  const given = (option: 'seed' | 'seeds'): number | undefined => {
    const text = values[option]
    return text === undefined ? undefined : number(option, text)
  }
  if (name === 'mutants') {
    const options = { only: values.only, firstSeed: given('seed'), seeds: given('seeds') }
    return (await runMutants(positionals.slice(1), options)) ? 0 : 1
  }
  const simulation = SIMULATIONS[name]
  if (!simulation || positionals.length > 1) {
    throw new UsageError(`one of ${Object.keys(SIMULATIONS).join(', ')}, not ${positionals}`)
  }
  const first = given('seed') ?? 1
  const seeds = given('seeds') ?? 1000
  const steps = values.steps === undefined ? simulation.steps : number('steps', values.steps)
  const totals = new Map<string, number>()
  let failed = 0
  for (let seed = first; seed < first + seeds; seed++) {
    const result = await simulation.run(seed, steps)
    if (result instanceof Error) {
      failed++
      console.log(`${name} seed ${seed} steps ${steps}: ${result.name}: ${result.message}`)
      if (values.explain) console.log(await simulation.explain(seed, steps))
      continue
    }
    for (const [what, count] of Object.entries({ ...result.counters, events: result.events })) {
      totals.set(what, (totals.get(what) ?? 0) + count)
    }
  }
  const sums = Array.from(totals, ([what, count]) => `${what} ${count}`).join(', ')
  console.log(`${name}: ${seeds - failed} of ${seeds} seeds pass; ${sums}`)
  return failed > 0 ? 1 : 0
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError)) throw error
  console.error(`sim: ${error.message}\n${USAGE}`)
  return 2
})
