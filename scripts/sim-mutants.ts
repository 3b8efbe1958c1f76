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

interface Candidate {
  readonly name: string
  readonly firstSeed: number
  readonly withinSeeds: number
  /** What was wrong with that seed, or undefined. */
  readonly run: (seed: number) => Promise<Error | undefined>
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
      run: async (seed) => errorOf(runTokens(seed, TOKEN_STEPS, mutant))
    })),
    locks: LOCK_MUTATIONS.map((make) => ({
      ...{ name: make().name, firstSeed: 1, withinSeeds: LOCK_SEEDS },
      run: async (seed) => (await runLocks(seed, LOCK_STEPS, make())).error
    })),
    register: REGISTER_MUTANTS.map(({ name, withinSeeds, apply }) => ({
      ...{ name, firstSeed: 1, withinSeeds },
      run: (seed) => under(apply, async () => errorOf(runRegister(seed, REGISTER_STEPS)))
    })),
    cluster: CLUSTER_MUTANTS.map((mutant) => ({
      ...{ name: mutant.name, firstSeed: mutant.firstSeed ?? 1, withinSeeds: mutant.withinSeeds },
      run: (seed) =>
        under(mutant.apply, async () => {
          return errorOf(await runCluster(seed, mutant.steps ?? CLUSTER_STEPS, mutant))
        })
    }))
  }
}

/** Of the named simulations, or of all; true when every mutant is caught. */
export async function runMutants(names: readonly string[]): Promise<boolean> {
  const all = candidates()
  const unknown = names.find((name) => !(name in all))
  if (unknown !== undefined) {
    throw new Error(`sim: mutants of one of ${Object.keys(all).join(', ')}, not ${unknown}`)
  }
  let missed = 0
  let caught = 0
  for (const name of names.length > 0 ? names : Object.keys(all)) {
    for (const candidate of all[name] ?? []) {
      const found = await firstFailure(candidate)
      if (found) caught++
      else missed++
      const how = found ? `seed ${found.seed}: ${found.error.message.split('\n')[0]}` : 'NOT CAUGHT'
      console.log(`${name}: ${candidate.name} (within ${candidate.withinSeeds}): ${how}`)
    }
  }
  console.log(`${caught} of ${caught + missed} mutants caught`)
  return missed === 0
}

async function firstFailure({ firstSeed, withinSeeds, run }: Candidate) {
  for (let seed = firstSeed; seed < firstSeed + withinSeeds; seed++) {
    const error = await run(seed)
    if (error) return { seed, error }
  }
  return undefined
}
