/** Runs seeds of the token simulation. */
import type { Mutation } from './tokens-mutation.ts'
import { type SimResult, TokensWorld } from './tokens-world.ts'

export const UNCHANGED: Mutation = { name: 'unchanged' }

export function runTokens(
  seed: number,
  steps: number,
  mutation: Mutation = UNCHANGED
): SimResult | Error {
  const world = new TokensWorld({ seed, steps, mutation })
  try {
    return world.run()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** The last lines before a failure, for a person. */
export function explainTokens(seed: number, steps: number, mutation: Mutation = UNCHANGED): string {
  const world = new TokensWorld({ seed, steps, mutation, keepLines: 600 })
  try {
    world.run()
    return 'passes'
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return [JSON.stringify(world.parameters), ...world.lines, what].join('\n')
  }
}
