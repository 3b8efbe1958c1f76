/** Runs seeds of the cluster simulation. */
import { type ClusterOptions, type ClusterResult, ClusterWorld } from './cluster-world.ts'

type Changes = Pick<ClusterOptions, 'hooks' | 'parameters'>

export async function runCluster(
  seed: number,
  steps: number,
  changes: Changes = {}
): Promise<ClusterResult | Error> {
  try {
    return await new ClusterWorld({ seed, steps, ...changes }).run()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** The last lines before a failure, for a person. */
export async function explainCluster(
  seed: number,
  steps: number,
  changes: Changes = {}
): Promise<string> {
  const world = new ClusterWorld({ seed, steps, ...changes, keepLines: 2000 })
  const parameters = JSON.stringify(world.parameters)
  try {
    const { counters } = await world.run()
    return [parameters, ...world.lines, JSON.stringify(counters), 'passes'].join('\n')
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return [parameters, ...world.lines, what].join('\n')
  }
}
