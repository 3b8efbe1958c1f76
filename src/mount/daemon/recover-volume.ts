/** What `tandemfs recover` does to a state directory that nobody uses. */

import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import { type Epoch, type Incarnation, makeWriterId } from '../../fs/primitives.ts'
import { DueSliceTable } from '../../fs/state/due-slice-table.ts'
import { openState } from '../../fs/state/open-state.ts'
import type { Admitted } from '../../replication/admission.ts'
import type { EpochRecord } from '../../replication/record.ts'
import { hasSlicesOnDisk } from '../../replication/replica/intake.ts'
import { closeLeftOpen } from '../../replication/replica/left-open.ts'
import { lacksState } from '../../replication/replica/record-cuts.ts'
import { scanHeld } from '../../replication/replica/recovery.ts'
import { Journal } from '../../replication/storage/journal.ts'
import { OpenEntryFile } from '../../replication/storage/open-entry.ts'
import { SegmentStore } from '../../replication/storage/segment-store.ts'
import { StateDirectory } from '../../replication/storage/state-directory.ts'
import { installReceived } from '../../replication/storage/state-exchange.ts'
import { Turns } from '../../replication/turns.ts'
import type { Vector } from '../../replication/vector.ts'
import { forcedRecord, newestRecord } from '../../replication/volume/forced-record.ts'
import { openVolume } from '../../replication/volume/open-volume.ts'
import { VolumeError } from '../../replication/volume/volume-error.ts'
import { saveRecord, saveVoter } from '../../replication/volume/volume-files.ts'

export interface RecoveryComponents {
  readonly clock: Clock
  readonly logger: Logger
}

export interface RecoveryPlan {
  /** The newest record this member knows. */
  readonly before: EpochRecord
  /** With which it would go on alone. */
  readonly after: EpochRecord
  /** It has everything that fsync has covered. */
  readonly wasInSync: boolean
  /** Bytes of files that never came here: reading them fails from then on. */
  readonly missingBytes: number
}

interface OnDisk {
  readonly held: Vector
  readonly stateEpoch: Epoch | 0
  readonly missingBytes: number
}

/**
 * Reads what is there; changes nothing of the volume. Throws the damage found, and a VolumeError
 * when this member has nothing to go on with.
 */
export async function planRecovery(
  stateDir: string,
  components: RecoveryComponents
): Promise<RecoveryPlan> {
  const { self, record, voter } = openVolume(stateDir)
  const before = newestRecord(record, voter)
  const onDisk = await readDisk(stateDir, before, components)
  if (lacksState(before, onDisk)) {
    const why = 'this member has nothing of the volume: it never fetched it, or put it aside'
    throw new VolumeError('refused', `recover ${stateDir}: ${why}: recover another member`)
  }
  return {
    before,
    after: forcedRecord(before, self.id, onDisk.held),
    wasInSync: before.inSync.includes(self.id),
    missingBytes: onDisk.missingBytes
  }
}

/** From now on the volume is what this member has. Durable on return. */
export function carryOutRecovery(stateDir: string, plan: RecoveryPlan): void {
  const { voter } = openVolume(stateDir)
  saveRecord(stateDir, plan.after)
  saveVoter(stateDir, { promised: voter.promised, accepted: undefined })
  // Last: without that record it would count as a member that lacks nothing.
  if (plan.missingBytes > 0) giveUpMissing(stateDir)
}

function giveUpMissing(stateDir: string): void {
  const state = openState(new StateDirectory(stateDir).state)
  try {
    new DueSliceTable(state.database).giveUp()
    state.commit(state.position())
  } finally {
    state.close()
  }
}

async function readDisk(
  stateDir: string,
  record: EpochRecord,
  { clock, logger }: RecoveryComponents
): Promise<OnDisk> {
  const directory = new StateDirectory(stateDir)
  const { self } = openVolume(stateDir)
  directory.prepare()
  const writer = makeWriterId(self.id, directory.nextIncarnation() as Incarnation)
  const onFailure = (error: Error): never => {
    throw error
  }
  installReceived(directory.state)
  const state = openState(directory.state)
  try {
    const journal = Journal.open({ dir: directory.journal, logger, onFailure }, { writer })
    const segments = SegmentStore.open({ dir: directory.segments, logger, onFailure }, { writer })
    try {
      const position = state.position()
      const left = OpenEntryFile.left(directory.openEntry)
      closeLeftOpen({ journal, segments }, left, position.applied)
      const hasSlices = (item: Admitted): boolean => hasSlicesOnDisk(segments, item)
      const held = await scanHeld(journal, { record, ...position }, hasSlices, new Turns(clock))
      const missingBytes = new DueSliceTable(state.database).left.bytes
      return { held: new Map(held), stateEpoch: position.epoch, missingBytes }
    } finally {
      await Promise.allSettled([journal.close(), segments.close()])
    }
  } finally {
    state.close()
  }
}
