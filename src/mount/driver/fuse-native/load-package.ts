/**
 * Finds the optional package. Its prebuilt addon asks the system for libfuse.so.2, which current
 * systems no longer have; the library comes with another package, so it is loaded first, and the
 * dynamic linker then takes the one that is there by its name.
 */
import { createRequire } from 'node:module'
import os from 'node:os'
import type Fuse from 'fuse-native'
import { MountError } from '../../mounting/mount-error.ts'

/** <dlfcn.h>: the library stays although Node closes it, finding that it is no addon. */
const RTLD_NODELETE = 0x1000

const require = createRequire(import.meta.url)

function loadLibrary(): void {
  const { lib } = require('fuse-shared-library') as typeof import('fuse-shared-library')
  try {
    process.dlopen({ exports: {} }, lib, os.constants.dlopen.RTLD_NOW | RTLD_NODELETE)
  } catch {
    // It always throws. Whether the library is there shows when the addon is loaded.
  }
}

/** Throws MountError 'driver-missing'. `what` is what the package is needed for. */
export function loadFuseNative(what: string): typeof Fuse {
  try {
    loadLibrary()
    return require('fuse-native') as typeof Fuse
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    throw new MountError(
      'driver-missing',
      {
        what,
        why: `the driver fuse-native cannot be loaded (${said.split('\n')[0]})`,
        advice: 'install the optional package (npm install), or use the default driver'
      },
      { cause: error }
    )
  }
}
