/** What `tandemfs recover` does to a state directory that nobody uses. */

import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import { type Incarnation, makeWriterId } from '../../fs/primitives.ts'
import { openState } from '../../fs/state/open-state.ts'
import type { Admitted } from '../../replication/admission.ts'
import type { EpochRecord } from '../../replication/record.ts'
import { hasSlicesOnDisk } from '../../replication/replica/intake.ts'
import { closeLeftOpen } from '../../replication/replica/left-open.ts'
import { scanHeld } from '../../replication/replica/recovery.ts'
import { Journal } from '../../replication/storage/journal.ts'
import { OpenEntryFile } from '../../replication/storage/open-entry.ts'
import { SegmentStore } from '../../replication/storage/segment-store.ts'
import { StateDirectory } from '../../replication/storage/state-directory.ts'
import { Turns } from '../../replication/turns.ts'
import type { Vector } from '../../replication/vector.ts'
import { forcedRecord, newestRecord } from '../../replication/volume/forced-record.ts'
import { openVolume } from '../../replication/volume/open-volume.ts'
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
}

/** Reads what is there; changes nothing of the volume. Throws the damage found. */
export async function planRecovery(
  stateDir: string,
  components: RecoveryComponents
): Promise<RecoveryPlan> {
  const { self, record, voter } = openVolume(stateDir)
  const before = newestRecord(record, voter)
  const held = await heldOnDisk(stateDir, before, components)
  return {
    before,
    after: forcedRecord(before, self.id, held),
    wasInSync: before.inSync.includes(self.id)
  }
}

/** From now on the volume is what this member has. Durable on return. */
export function carryOutRecovery(stateDir: string, plan: RecoveryPlan): void {
  const { voter } = openVolume(stateDir)
  saveRecord(stateDir, plan.after)
  saveVoter(stateDir, { promised: voter.promised, accepted: undefined })
}

async function heldOnDisk(
  stateDir: string,
  record: EpochRecord,
  { clock, logger }: RecoveryComponents
): Promise<Vector> {
  const directory = new StateDirectory(stateDir)
  const { self } = openVolume(stateDir)
  directory.prepare()
  const writer = makeWriterId(self.id, directory.nextIncarnation() as Incarnation)
  const onFailure = (error: Error): never => {
    throw error
  }
  const state = openState(directory.state)
  try {
    const journal = Journal.open({ dir: directory.journal, logger, onFailure }, { writer })
    const segments = SegmentStore.open({ dir: directory.segments, logger, onFailure }, { writer })
    try {
      const position = state.position()
      closeLeftOpen(journal, OpenEntryFile.left(directory.openEntry), position.applied)
      const hasSlices = (item: Admitted): boolean => hasSlicesOnDisk(segments, item)
      return new Map(await scanHeld(journal, { record, ...position }, hasSlices, new Turns(clock)))
    } finally {
      await Promise.allSettled([journal.close(), segments.close()])
    }
  } finally {
    state.close()
  }
}
