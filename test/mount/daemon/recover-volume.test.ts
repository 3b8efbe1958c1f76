import { join } from 'node:path'
import type { Test } from 'brittle'
import test from 'brittle'
import type { Epoch, Incarnation, MemberId, Seq } from '../../../src/fs/primitives.ts'
import { makeWriterId } from '../../../src/fs/primitives.ts'
import { DueSliceTable } from '../../../src/fs/state/due-slice-table.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { silentLogger } from '../../../src/mount/cli/silent-logger.ts'
import { carryOutRecovery, planRecovery } from '../../../src/mount/daemon/recover-volume.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { StateDirectory } from '../../../src/replication/storage/state-directory.ts'
import { createVolume } from '../../../src/replication/volume/create-volume.ts'
import { openVolume } from '../../../src/replication/volume/open-volume.ts'
import { VolumeError } from '../../../src/replication/volume/volume-error.ts'
import { saveRecord } from '../../../src/replication/volume/volume-files.ts'
import { memberInfo } from '../../replication/records.ts'
import { HandClock } from '../../replication/replica/support.ts'

const OTHER = 2 as MemberId
const WRITER = makeWriterId(OTHER, 1 as Incarnation)
const components = { clock: new HandClock(), logger: silentLogger }

/** A member that fell behind: another one has written up to 9 since, and is the only one in sync. */
async function makeBehind(t: Test): Promise<string> {
  const dir = join(await t.tmp(), 'v')
  const listen = { host: '127.0.0.1', port: 0 }
  const first = await createVolume(dir, { name: 'v', memberName: 'a', listen })
  const record: EpochRecord = {
    ...first,
    epoch: 4 as Epoch,
    authority: OTHER,
    members: [...first.members, memberInfo(OTHER)],
    inSync: [OTHER],
    live: [WRITER],
    writers: [{ writer: WRITER, coreKey: 'aa'.repeat(32) }],
    lastWriters: [WRITER],
    history: [{ epoch: 4 as Epoch, cuts: [[WRITER, 9 as Seq]] }],
    nextMemberId: 3
  }
  saveRecord(dir, record)
  return dir
}

function commitUpTo(dir: string, seq: number, dueBytes = 0): void {
  const state = openState(new StateDirectory(dir).state)
  if (dueBytes > 0) {
    const { left } = new DueSliceTable(state.database)
    if (left.slices > 0) throw new Error('something is due already')
    state.database
      .prepare('INSERT INTO local_due_slice VALUES (1, 0, ?, 0, zeroblob(32))')
      .run(dueBytes)
  }
  state.commit({ epoch: 3 as Epoch, applied: new Map([[WRITER, seq as Seq]]) })
  state.close()
}

test('recover volume - a member that was not in sync goes on with what it has', async (t) => {
  const dir = await makeBehind(t)
  commitUpTo(dir, 6)
  const plan = await planRecovery(dir, components)
  t.is(plan.wasInSync, false)
  t.is(plan.missingBytes, 0)
  t.is(plan.after.writers[0]?.finalSeq, 6)
  carryOutRecovery(dir, plan)
  t.is(openVolume(dir).record.epoch, plan.after.epoch)
})

test('recover volume - a member that has nothing is refused', async (t) => {
  const dir = await makeBehind(t)
  await t.exception(() => planRecovery(dir, components), VolumeError)
  t.is(openVolume(dir).record.epoch, 4)
})

test('recover volume - data that never came is named, and not waited for any more', async (t) => {
  const dir = await makeBehind(t)
  commitUpTo(dir, 9, 5000)
  const plan = await planRecovery(dir, components)
  t.is(plan.missingBytes, 5000)
  carryOutRecovery(dir, plan)
  const again = await planRecovery(dir, components)
  t.is(again.missingBytes, 0)
  t.is(again.after.writers[0]?.finalSeq, 9, 'its position is the same')
})
