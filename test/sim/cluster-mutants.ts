/**
 * The replication with one of its rules broken each; every one of them must be caught. A mutant
 * changes a class for the time of a run and gives back what undoes it.
 */
import { Admission } from '../../src/replication/admission.ts'
import { Durability } from '../../src/replication/durability.ts'
import { EpochAuthority } from '../../src/replication/epoch/epoch-authority.ts'
import { LEASE_DEFAULTS, Lease, LeasePromises } from '../../src/replication/lease.ts'
import { AppliedWaits } from '../../src/replication/replica/applied-waits.ts'
import { CatchUp } from '../../src/replication/replica/catch-up.ts'
import { LocalLog } from '../../src/replication/replica/local-log.ts'
import { Slices } from '../../src/replication/replica/slices.ts'
import { TokenNode } from '../../src/replication/token/token-node.ts'
import { Disk, ToyJournal, ToySegments } from './cluster-disk.ts'
import type { ClusterHooks } from './cluster-world.ts'
import { swap, swapGetter } from './swap.ts'

export interface ClusterMutant {
  readonly name: string
  /** So many seeds from the first on (default 1), one of which must fail. */
  readonly withinSeeds: number
  /** Caught by one of the first few: `npm test` runs it. */
  readonly isQuick?: true
  readonly firstSeed?: number
  /** Faults at most, where the usual number does not do. */
  readonly steps?: number
  readonly apply?: () => () => void
  readonly hooks?: Partial<ClusterHooks>
}

export const CLUSTER_MUTANTS: readonly ClusterMutant[] = [
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
    apply: () => {
      const undo = [
        swap(ToySegments.prototype, 'syncSegments', () => async () => {}),
        swap(ToySegments.prototype, 'syncSegmentsNow', () => () => {})
      ]
      return () => undo.forEach((one) => void one())
    }
  },
  {
    name: 'an entry is admitted without its slices (RULES 3)',
    withinSeeds: 400,
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
    name: 'the cuts are not collected (RULES 10)',
    withinSeeds: 600,
    apply: () =>
      swap(
        EpochAuthority.prototype,
        'step',
        (original) =>
          function (this: EpochAuthority, event) {
            return original.call(this, event).flatMap((effect) => {
              if (effect.type !== 'seal' || effect.cuts.size === 0) return [effect]
              const { member, epoch, round, cuts } = effect
              return original.call(this, { type: 'sealed', member, epoch, round, held: cuts })
            })
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
    name: 'a lease has no end',
    withinSeeds: 30,
    isQuick: true,
    apply: () => swap(Lease.prototype, 'leftMs', () => () => LEASE_DEFAULTS.marginMs)
  },
  {
    name: 'a silent member is lost before its lease is over',
    withinSeeds: 30,
    isQuick: true,
    apply: () => swap(LeasePromises.prototype, 'isOver', () => () => true)
  },
  {
    name: 'a lost member gets a lease again',
    withinSeeds: 2000,
    apply: () => swap(EpochAuthority.prototype, 'isLost', () => () => false)
  },
  {
    name: 'a sealed member goes on writing',
    withinSeeds: 30,
    isQuick: true,
    apply: () => {
      const undo = [
        swap(TokenNode.prototype, 'seal', () => () => Promise.resolve()),
        swap(
          LocalLog.prototype,
          'setWritable',
          (original) =>
            function (this: LocalLog) {
              original.call(this, true)
            }
        )
      ]
      return () => undo.forEach((one) => void one())
    }
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
    withinSeeds: 400,
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
    name: 'entries beyond the answer to a seal are admitted',
    withinSeeds: 400,
    apply: () => swap(Admission.prototype, 'limitTo', () => () => {})
  },
  {
    name: 'a member is removed while its lease runs',
    withinSeeds: 200,
    apply: () => swapGetter(EpochAuthority.prototype, 'expiring', () => [])
  }
]
