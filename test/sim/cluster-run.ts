/** Runs seeds of the cluster simulation. */
import { type ClusterHooks, type ClusterResult, ClusterWorld } from './cluster-world.ts'

export async function runCluster(
  seed: number,
  steps: number,
  hooks: Partial<ClusterHooks> = {}
): Promise<ClusterResult | Error> {
  try {
    return await new ClusterWorld({ seed, steps, hooks }).run()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** The last lines before a failure, for a person. */
export async function explainCluster(
  seed: number,
  steps: number,
  hooks: Partial<ClusterHooks> = {}
): Promise<string> {
  const world = new ClusterWorld({ seed, steps, hooks, keepLines: 2000 })
  const parameters = JSON.stringify(world.parameters)
  try {
    const { counters } = await world.run()
    return [parameters, ...world.lines, JSON.stringify(counters), 'passes'].join('\n')
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return [parameters, ...world.lines, what].join('\n')
  }
}
