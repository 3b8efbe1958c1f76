/**
 * A filesystem mounted by the driver fuse-native, until it is told to end or is unmounted: its
 * threads would keep a test process. Called with the mount point and a scratch folder, or nothing
 * for the naive filesystem.
 */

import { fuseNativeDriver } from '../../../src/mount/driver/fuse-native-driver.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { openFixture } from '../../fs/fixture.ts'
import { MemoryLogger, realClock } from '../fuse/kernel-side.ts'
import { NaiveFilesystem } from '../fuse/naive-filesystem.ts'

const [mountPoint = '', scratch] = process.argv.slice(2)
const logger = new MemoryLogger()
const mount = await fuseNativeDriver(
  {
    fs: scratch === undefined ? new NaiveFilesystem() : openFixture(scratch).fs,
    gate: openGate,
    policy: uncachedPolicy,
    clock: realClock(),
    logger
  },
  { mountPoint, source: 'vol,a b', stateDirectory: import.meta.dirname }
)
process.on('SIGTERM', () => void mount.unmount({ lazy: true }))
process.stdout.write('ready\n')
await mount.closed
process.stdout.write(JSON.stringify(logger.lines.filter(({ level }) => level === 'error')))
process.exit(0)
