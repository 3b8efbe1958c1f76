import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { OpenFiles } from '../../../src/fs/open-files.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { silentLogger } from '../../../src/mount/cli/silent-logger.ts'
import { setStateAside } from '../../../src/mount/daemon/incarnation.ts'
import { StateDirectory } from '../../../src/replication/storage/state-directory.ts'
import { createVolume } from '../../../src/replication/volume/create-volume.ts'
import { HandClock } from '../../replication/replica/support.ts'

test('incarnation - a state is put aside, also where earlier ones were removed', async (t) => {
  const dir = join(await t.tmp(), 'v')
  const listen = { host: '127.0.0.1', port: 0 }
  await createVolume(dir, { name: 'v', memberName: 'a', listen })
  const directory = new StateDirectory(dir)
  const components = { clock: new HandClock(), logger: silentLogger }
  // The first one is gone: one folder, and its number is 2.
  mkdirSync(join(directory.salvage, 'state-0002'), { recursive: true })
  for (const name of ['state-0003', 'state-0004']) {
    openState(directory.state).close()
    mkdirSync(directory.journal)
    await setStateAside(dir, new OpenFiles(), components)
    t.absent(existsSync(directory.state))
    t.ok(readdirSync(join(directory.salvage, name)).includes('state.db'))
  }
})
