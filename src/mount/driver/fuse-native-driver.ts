/**
 * The optional driver: the package fuse-native with libfuse 2 between the kernel and us. What it
 * gives up is in native-notes/fuse-native.md; driver-limits.ts says it to who mounts.
 *
 * The package's own unmounting is not used: it hands the mount point to a shell.
 */
import type { Operations } from 'fuse-native'
import { AssertionError } from '../../fs/assert.ts'
import { MountError } from '../mounting/mount-error.ts'
import { prepareMountPoint } from '../mounting/mount-point.ts'
import { FUSE_TYPE, findMount } from '../mounting/mountinfo.ts'
import { abortConnection, detach, isRoot, unmountPath } from '../mounting/unmount.ts'
import type { Driver, DriverComponents, DriverOptions, ServedMount } from './driver.ts'
import type { AdapterParts } from './fuse-native/adapter-parts.ts'
import { attributeOperations } from './fuse-native/attribute-operations.ts'
import { openDevices, untilDeviceCloses } from './fuse-native/device-watch.ts'
import { entryOperations } from './fuse-native/entry-operations.ts'
import { fileOperations } from './fuse-native/file-operations.ts'
import { loadFuseNative } from './fuse-native/load-package.ts'
import { mountList } from './fuse-native/mount-list.ts'
import { OpenNumbers } from './fuse-native/open-numbers.ts'
import { replacedOperations, withoutFaults } from './fuse-native/package-faults.ts'
import { PathLookup } from './fuse-native/path-lookup.ts'
import { ServedCalls } from './fuse-native/served-calls.ts'

/** The addon cuts what is longer. */
const MOUNT_POINT_MAX_BYTES = 1023

export const fuseNativeDriver: Driver = async (components, options) => {
  const { stateDirectory } = options
  const mountPoint = await prepareMountPoint(options.mountPoint, { stateDirectory })
  checkMountable(mountPoint, options)
  const { fs, gate, logger } = components
  const parts: AdapterParts = {
    fs,
    calls: new ServedCalls({ gate, logger }),
    lookup: new PathLookup(fs),
    open: new OpenNumbers()
  }
  await mountByPackage(mountPoint, options, parts)
  const [device] = openDevices()
  const minor = findMount(mountPoint)?.minor
  if (device === undefined || minor === undefined) {
    const parts = { what: mountPoint, why: 'the mount is gone already', advice: 'see findmnt' }
    throw new MountError('failed', parts)
  }
  const closed = untilClosed(components, parts, device)
  return servedMount(mountPoint, minor, closed, parts.calls)
}

function checkMountable(mountPoint: string, options: DriverOptions): void {
  if (!isRoot()) {
    const why = 'the driver fuse-native mounts for root only'
    const advice = 'use the default driver, or mount as root'
    throw new MountError('permission', { what: mountPoint, why, advice })
  }
  if (options.nosymfollow) {
    const why = 'the driver fuse-native does not know nosymfollow'
    throw new MountError('failed', { what: mountPoint, why, advice: 'use the default driver' })
  }
  if (options.allowOther) throw new AssertionError('fuse-native is not told who asks')
  if (Buffer.byteLength(mountPoint) > MOUNT_POINT_MAX_BYTES) {
    const why = 'the path is too long for the driver fuse-native'
    throw new MountError('failed', { what: mountPoint, why, advice: 'use the default driver' })
  }
}

async function mountByPackage(
  mountPoint: string,
  options: DriverOptions,
  parts: AdapterParts
): Promise<void> {
  const Package = withoutFaults(loadFuseNative(mountPoint), parts)
  const operations: Operations = {
    ...entryOperations(parts),
    ...fileOperations(parts),
    ...attributeOperations(parts),
    ...replacedOperations
  }
  const fsname = mountList(mountPoint, options.source, options)
  // No time limit: it would answer for an operation that goes on. Ours end by themselves.
  const fuse = new Package(mountPoint, operations, { fsname, timeout: false })
  try {
    await new Promise<void>((resolve, reject) => {
      fuse.mount((error) => (error === null ? resolve() : reject(error)))
    })
  } catch (error) {
    if (findMount(mountPoint)?.type === FUSE_TYPE) await detach(mountPoint)
    const why = `fuse-native: ${error instanceof Error ? error.message : String(error)}`
    const advice = 'the daemon log has what libfuse said'
    throw new MountError('failed', { what: mountPoint, why, advice }, { cause: error })
  }
}

async function untilClosed(
  { clock }: DriverComponents,
  { calls }: AdapterParts,
  device: string
): Promise<undefined> {
  await untilDeviceCloses(clock, device)
  await calls.idle()
}

function servedMount(
  mountPoint: string,
  minor: number,
  closed: Promise<undefined>,
  calls: ServedCalls
): ServedMount {
  const isThere = (): boolean => findMount(mountPoint)?.minor === minor
  return {
    kind: 'fuse-native',
    fallbackReason: undefined,
    closed,
    endWaits: (reason) => calls.endWaits(reason),
    unmount: async (options) => {
      if (isThere()) await unmountPath(mountPoint, options)
    },
    // The descriptor is libfuse's: the connection is ended instead.
    close: async () => {
      const isClosed = await Promise.race([closed.then(() => true), Promise.resolve(false)])
      if (!isClosed) await abortConnection(mountPoint, minor)
    },
    beforeExit: async () => {}
  }
}
