/**
 * The replication with one of its rules broken each; every one of them must be caught. Here what
 * is kept and what an fsync promises; leases, seals and cuts, and file locks, are beside.
 */
import { Admission } from '../../src/replication/admission.ts'
import { Durability } from '../../src/replication/durability.ts'
import { AppliedWaits } from '../../src/replication/replica/applied-waits.ts'
import { CatchUp } from '../../src/replication/replica/catch-up.ts'
import { Checkpoints } from '../../src/replication/replica/checkpoints.ts'
import { DurableParts } from '../../src/replication/replica/durable-parts.ts'
import { PublishedEntries } from '../../src/replication/replica/published-entries.ts'
import { SliceFetches } from '../../src/replication/replica/slice-fetches.ts'
import { Slices } from '../../src/replication/replica/slices.ts'
import { Disk, ToyJournal, ToySegments } from './cluster-disk.ts'
import { CLUSTER_EPOCH_MUTANTS } from './cluster-epoch-mutants.ts'
import { CLUSTER_HISTORY_MUTANTS } from './cluster-history-mutants.ts'
import { CLUSTER_LOCK_MUTANTS } from './cluster-lock-mutants.ts'
import { ToyLogs } from './cluster-logs.ts'
import { SimMember } from './cluster-member.ts'
import { type ClusterMutant, several } from './cluster-mutant.ts'
import { StateDisk, ToyState } from './cluster-state.ts'
import { swap } from './swap.ts'

const DURABILITY_MUTANTS: readonly ClusterMutant[] = [
  {
    name: 'the journal is not synced before `durable` is said',
    withinSeeds: 60,
    isQuick: true,
    apply: () => swap(ToyJournal.prototype, 'sync', () => async () => {})
  },
  {
    name: 'an fsync does not wait for the other members (RULES 2)',
    withinSeeds: 60,
    isQuick: true,
    apply: () => swap(Durability.prototype, 'missing', () => () => [])
  },
  {
    name: 'the large slices are not synced before `durable` is said (RULES 3)',
    withinSeeds: 60,
    isQuick: true,
    apply: () =>
      several(
        swap(ToySegments.prototype, 'syncSegments', () => async () => {}),
        swap(ToySegments.prototype, 'syncSegmentsNow', () => () => {})
      )
  },
  {
    name: 'an entry is admitted without its slices (RULES 3)',
    withinSeeds: 60,
    apply: () => swap(Slices.prototype, 'holds', () => () => true)
  },
  {
    name: 'an entry is admitted without its causes',
    withinSeeds: 30,
    isQuick: true,
    apply: () =>
      swap(
        Admission.prototype,
        'offer',
        (original) =>
          function (this: Admission, item) {
            return original.call(this, { ...item, entry: { ...item.entry, deps: new Map() } })
          }
      )
  },
  {
    name: 'nobody waits for entries to be applied (RULES 16, 18)',
    withinSeeds: 20,
    isQuick: true,
    apply: () => swap(AppliedWaits.prototype, 'wait', () => () => Promise.resolve())
  },
  {
    name: 'the replay applies doubtful entries without their slices (RULES 3)',
    withinSeeds: 20,
    isQuick: true,
    apply: () => swap(ToySegments.prototype, 'verifySha', () => () => 'ok')
  },
  {
    name: 'the journal is pruned before the segments are durable (RULES 1)',
    withinSeeds: 400,
    isQuick: true,
    apply: () => swap(ToySegments.prototype, 'syncUnsynced', () => async () => {})
  },
  {
    name: 'a part of the open entry is used after a power cut',
    withinSeeds: 600,
    apply: () =>
      swap(
        Disk.prototype,
        'powerCut',
        (original) =>
          function (this: Disk, random) {
            const parts = this.openParts
            original.call(this, random)
            this.openParts = parts.slice(0, random.between(0, parts.length))
          }
      )
  },
  {
    name: 'nobody asks for what is missing',
    withinSeeds: 20,
    isQuick: true,
    apply: () => swap(CatchUp.prototype, 'pull', () => () => {})
  },
  {
    name: 'a restart goes on as the old writer (RULES 6)',
    withinSeeds: 20,
    isQuick: true,
    hooks: {
      nextIncarnation: (disk) => {
        disk.incarnation = 1
        return 1
      }
    }
  },
  {
    name: 'inode numbers are handed out again after a restart (RULES 7)',
    withinSeeds: 60,
    hooks: { nextInoRange: () => 1 }
  },
  {
    name: 'the journal is pruned ahead of the checkpoint (RULES 1)',
    withinSeeds: 30,
    apply: () => swap(StateDisk.prototype, 'checkpointed', () => () => {})
  },
  {
    name: 'the journal is pruned before the logs are durable (RULES 1)',
    withinSeeds: 30,
    apply: () => swap(ToyLogs.prototype, 'flush', () => async () => new Map())
  },
  {
    name: 'an entry leaves the shelf before its block is durable (RULES 1)',
    withinSeeds: 30,
    apply: () =>
      swap(
        PublishedEntries.prototype,
        'add',
        () =>
          function (this: PublishedEntries, writer) {
            this.forget(writer)
          }
      )
  },
  {
    name: 'the state is committed ahead of the journal (RULES 13)',
    withinSeeds: 30,
    apply: () =>
      several(
        swap(ToyJournal.prototype, 'syncNow', () => () => {}),
        swap(ToySegments.prototype, 'syncSegmentsNow', () => () => {})
      )
  },
  {
    name: 'dead slices are punched before what freed them is safe (RULES 11)',
    withinSeeds: 30,
    apply: () => swap(Checkpoints.prototype, 'coverEverywhere', () => () => true)
  },
  {
    name: 'a slice that nobody has is taken for dead (RULES 3, 11)',
    withinSeeds: 600,
    apply: () =>
      swap(
        SliceFetches.prototype,
        'fetch',
        (original) =>
          function (this: SliceFetches, slice) {
            return original.call(this, slice, () => true)
          }
      )
  },
  {
    name: 'an entry with dead slices is durable without a checkpoint (RULES 3)',
    withinSeeds: 200,
    apply: () => swap(DurableParts.prototype, 'onAppliedDead', () => () => {})
  },
  {
    name: 'entries of others are not kept until their log has them (RULES 15)',
    withinSeeds: 30,
    apply: () => swap(ToyState.prototype, 'put', () => () => {})
  },
  {
    name: 'an orphan is removed while another member has it open (RULES 27)',
    withinSeeds: 60,
    apply: () => swap(SimMember.prototype, 'closeForGood', () => (inos) => inos)
  }
]

export const CLUSTER_MUTANTS: readonly ClusterMutant[] = [
  ...DURABILITY_MUTANTS,
  ...CLUSTER_EPOCH_MUTANTS,
  ...CLUSTER_LOCK_MUTANTS,
  ...CLUSTER_HISTORY_MUTANTS
]
