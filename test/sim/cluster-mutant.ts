/** What a mutant of the cluster is; the lists are in cluster-mutants.ts and beside. */
import type { ClusterParameters } from './cluster-parameters.ts'
import type { ClusterHooks } from './cluster-world.ts'

export interface ClusterMutant {
  readonly name: string
  /** So many seeds from the first on (default 1), one of which must fail. */
  readonly withinSeeds: number
  /** Caught by one of the first few: `npm test` runs it. */
  readonly isQuick?: true
  readonly firstSeed?: number
  /** Faults at most, where the usual number does not do. */
  readonly steps?: number
  /** Changes a class for the time of a run and gives back what undoes it. */
  readonly apply?: () => () => void
  readonly hooks?: Partial<ClusterHooks>
  /** Where the rule matters: in the place of what a seed draws. */
  readonly parameters?: Partial<ClusterParameters>
}

/** All of them, undone together. */
export function several(...undo: (() => void)[]): () => void {
  return () => {
    for (const one of undo) one()
  }
}
