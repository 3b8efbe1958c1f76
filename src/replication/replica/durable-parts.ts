/**
 * The parts that make what is applied durable and say so: here, in the in-sync set, and in the
 * state's checkpoints. How they know each other.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import { Durability } from '../durability.ts'
import type { EpochRecord } from '../record.ts'
import type { JournalPosition } from '../storage/journal-record.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { AppliedWaits } from './applied-waits.ts'
import { Checkpoints } from './checkpoints.ts'
import type { ClusterSpace } from './cluster-space.ts'
import { ClusterSync } from './cluster-sync.ts'
import { liveVector } from './live-vector.ts'
import type { LocalLog } from './local-log.ts'
import { LocalSync } from './local-sync.ts'
import type { Peers } from './peers.ts'
import type { PublishedEntries } from './published-entries.ts'
import type { ReplicaComponents } from './replica-components.ts'
import type { ReplicaPorts } from './replica-ports.ts'
import type { Slices } from './slices.ts'
import { UPKEEP_DEFAULTS, Upkeep } from './upkeep.ts'

export interface DurablePartsComponents
  extends Pick<ReplicaComponents, 'state' | 'checkpoint' | 'clock' | 'logger'>,
    Pick<ReplicaPorts, 'journal' | 'segments' | 'defer'> {
  readonly self: MemberId
  readonly inSync: readonly MemberId[]
  readonly admission: Admission
  /** For the upkeep. */
  readonly beatClock: Clock
  readonly peers: Peers
  readonly waits: AppliedWaits
  readonly space: ClusterSpace
  readonly slices: Slices
  readonly published: PublishedEntries
  /** All bytes that the state names are here, and the volume's newest record is the one obeyed here. */
  readonly mayPunch: () => boolean
  /** Nothing is said to be durable, committed or punched behind own ops that have no entry. */
  readonly localLog: Pick<LocalLog, 'flushOrThrow'>
  readonly onFatal: (reason: unknown) => void
}

export class DurableParts {
  readonly durability: Durability
  readonly localSync: LocalSync
  readonly acknowledgements: Acknowledgements
  readonly clusterSync: ClusterSync
  readonly upkeep: Upkeep
  readonly checkpoints: Checkpoints
  readonly #components: DurablePartsComponents
  /** Where the journal was when the last entry with dead slices was applied. */
  #deadAppliedAt = 0 as JournalPosition
  readonly #record = (): EpochRecord => this.#components.admission.record
  readonly #flushOwn = (): void => this.#components.localLog.flushOrThrow()

  constructor(components: DurablePartsComponents) {
    const { self, inSync, admission, peers, waits, clock, logger, defer } = components
    this.#components = components
    this.durability = new Durability(inSync)
    this.localSync = this.#makeLocalSync()
    this.acknowledgements = new Acknowledgements({
      links: peers,
      received: () => liveVector(this.#record(), admission.applied),
      durable: () => liveVector(this.#record(), this.durability.durableOf(self)),
      clock,
      defer
    })
    this.clusterSync = new ClusterSync({
      self,
      record: this.#record,
      applied: () => admission.applied,
      flushOwn: this.#flushOwn,
      peers,
      durability: this.durability,
      localSync: this.localSync,
      acknowledgements: this.acknowledgements,
      waits,
      defer,
      logger
    })
    this.upkeep = this.#makeUpkeep()
    this.checkpoints = new Checkpoints({
      self,
      record: this.#record,
      own: () => this.upkeep.checkpointed
    })
  }

  /** See `SlicesComponents.onAppliedDead`; the entry is journaled. */
  onAppliedDead(): void {
    this.#deadAppliedAt = this.#components.journal.appended
  }

  #makeLocalSync(): LocalSync {
    const { journal, segments, slices, admission } = this.#components
    return new LocalSync({
      flushOwn: this.#flushOwn,
      applied: () => admission.applied,
      syncJournal: () => journal.sync(),
      takeUnjournaled: () => slices.takeUnjournaled(),
      syncSegments: (ids) => segments.syncSegments(ids),
      syncJournalNow: () => journal.syncNow(),
      syncSegmentsNow: (ids) => segments.syncSegmentsNow(ids),
      needsCheckpoint: () => this.#deadAppliedAt > this.upkeep.checkpointedAt,
      checkpoint: () => this.upkeep.checkpointNow(),
      onDurable: (vector) => this.clusterSync.onDurable(vector)
    })
  }

  #makeUpkeep(): Upkeep {
    const { journal, segments, published, state, checkpoint } = this.#components
    const { admission, space, onFatal, mayPunch, beatClock, logger } = this.#components
    return new Upkeep(
      {
        state,
        journal,
        segments,
        checkpoint,
        published,
        flushOwn: this.#flushOwn,
        sync: this.localSync,
        applied: () => admission.applied,
        position: () => ({ epoch: admission.passedEpoch, applied: admission.remembered }),
        epoch: () => admission.passedEpoch,
        checkpointedEverywhere: (vector) => mayPunch() && this.checkpoints.coverEverywhere(vector),
        isSpaceShort: () => space.isShort,
        clock: beatClock,
        logger,
        onFatal
      },
      UPKEEP_DEFAULTS
    )
  }
}
