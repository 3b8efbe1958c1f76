/**
 * The proof that the simulations see what they are there for: each rule is broken in turn, and some
 * seed has to fail. One line for each mutant, with the seed that caught it.
 */
import { CLUSTER_MUTANTS } from '../test/sim/cluster-mutants.ts'
import { runCluster } from '../test/sim/cluster-run.ts'
import { LOCK_MUTATIONS } from '../test/sim/locks-mutation.ts'
import { runLocks } from '../test/sim/locks-world.ts'
import { REGISTER_MUTANTS } from '../test/sim/register-mutants.ts'
import { runRegister } from '../test/sim/register-world.ts'
import { MUTANTS } from '../test/sim/tokens-mutants.ts'
import { runTokens } from '../test/sim/tokens-run.ts'
import { UsageError } from './usage-error.ts'

interface Candidate {
  readonly name: string
  readonly firstSeed: number
  readonly withinSeeds: number
  /** What was wrong with that seed, or undefined. */
  readonly run: (seed: number) => Promise<Error | undefined>
  /** The same with no rule broken. */
  readonly runHonest: (seed: number) => Promise<Error | undefined>
}

const TOKEN_STEPS = 200
const LOCK_STEPS = 250
const LOCK_SEEDS = 400
const REGISTER_STEPS = 30
const CLUSTER_STEPS = 12

function errorOf(result: object): Error | undefined {
  return result instanceof Error ? result : undefined
}

/** Applied for one seed at a time. */
async function under<T>(apply: (() => () => void) | undefined, run: () => Promise<T>): Promise<T> {
  const undo = apply?.()
  try {
    return await run()
  } finally {
    undo?.()
  }
}

function candidates(): Readonly<Record<string, readonly Candidate[]>> {
  return {
    tokens: MUTANTS.map((mutant) => ({
      ...{ name: mutant.name, firstSeed: 1, withinSeeds: mutant.withinSeeds },
      run: async (seed) => errorOf(runTokens(seed, TOKEN_STEPS, mutant)),
      runHonest: async (seed) => errorOf(runTokens(seed, TOKEN_STEPS))
    })),
    locks: LOCK_MUTATIONS.map((make) => ({
      ...{ name: make().name, firstSeed: 1, withinSeeds: LOCK_SEEDS },
      run: async (seed) => (await runLocks(seed, LOCK_STEPS, make())).error,
      runHonest: async (seed) => (await runLocks(seed, LOCK_STEPS)).error
    })),
    register: REGISTER_MUTANTS.map(({ name, withinSeeds, parameters, apply }) => ({
      ...{ name, firstSeed: 1, withinSeeds },
      run: (seed) => {
        return under(apply, async () => errorOf(runRegister(seed, REGISTER_STEPS, parameters)))
      },
      runHonest: async (seed) => errorOf(runRegister(seed, REGISTER_STEPS, parameters))
    })),
    cluster: CLUSTER_MUTANTS.map((mutant) => ({
      ...{ name: mutant.name, firstSeed: mutant.firstSeed ?? 1, withinSeeds: mutant.withinSeeds },
      run: (seed) =>
        under(mutant.apply, async () => {
          return errorOf(await runCluster(seed, mutant.steps ?? CLUSTER_STEPS, mutant))
        }),
      runHonest: async (seed) => {
        const { steps = CLUSTER_STEPS, parameters = {} } = mutant
        return errorOf(await runCluster(seed, steps, { parameters }))
      }
    }))
  }
}

export interface MutantOptions {
  /** Those alone with this in their name. */
  readonly only: string | undefined
  /** In the place of what each mutant states. */
  readonly firstSeed: number | undefined
  readonly seeds: number | undefined
}

/** Of the named simulations, or of all; true when every mutant is caught. */
export async function runMutants(
  names: readonly string[],
  { only = '', firstSeed, seeds }: MutantOptions
): Promise<boolean> {
  const all = candidates()
  const unknown = names.find((name) => !(name in all))
  if (unknown !== undefined) {
    throw new UsageError(`mutants of one of ${Object.keys(all).join(', ')}, not ${unknown}`)
  }
  let missed = 0
  let caught = 0
  for (const name of names.length > 0 ? names : Object.keys(all)) {
    for (const stated of (all[name] ?? []).filter((one) => one.name.includes(only))) {
      const candidate = {
        ...stated,
        firstSeed: firstSeed ?? stated.firstSeed,
        withinSeeds: seeds ?? stated.withinSeeds
      }
      const startMs = performance.now()
      const found = await firstFailure(candidate)
      if (found) caught++
      else missed++
      const how = found ? `seed ${found.seed}: ${found.error.message.split('\n')[0]}` : 'NOT CAUGHT'
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
      console.log(
        `${name}: ${candidate.name} (within ${candidate.withinSeeds}): ${seconds} s, ${how}`
      )
    }
  }
  console.log(`${caught} of ${caught + missed} mutants caught`)
  return missed === 0
}

async function firstFailure({ name, firstSeed, withinSeeds, run, runHonest }: Candidate) {
  for (let seed = firstSeed; seed < firstSeed + withinSeeds; seed++) {
    const error = await run(seed)
    if (!error) continue
    const other = await runHonest(seed)
    if (other) throw new Error(`sim: seed ${seed} of "${name}" fails with no rule broken: ${other}`)
    return { seed, error }
  }
  return undefined
}
