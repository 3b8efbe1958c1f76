/** Mutants of what is forgotten, and of how a whole state goes from one member to another. */
import type { Epoch } from '../../src/fs/primitives.ts'
import { Upkeep } from '../../src/replication/replica/upkeep.ts'
import type { ClusterMutant } from './cluster-mutant.ts'
import { ToyState } from './cluster-state.ts'
import { swapGetter } from './swap.ts'

export const CLUSTER_HISTORY_MUTANTS: readonly ClusterMutant[] = [
  {
    name: 'a member that lacks the bytes of the state it fetched joins (RULES 3)',
    withinSeeds: 60,
    apply: () => swapGetter(ToyState.prototype, 'left', () => ({ slices: 0, bytes: 0 }))
  },
  {
    name: 'an epoch counts as passed before a durable checkpoint contains it (RULES 19)',
    withinSeeds: 10,
    isQuick: true,
    apply: () =>
      swapGetter(Upkeep.prototype, 'checkpointed', () => {
        return { epoch: (2 ** 40) as Epoch, applied: new Map() }
      })
  }
]
