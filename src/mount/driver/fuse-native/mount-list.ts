/** The options of the mount as libfuse 2 takes them, in one list. */

import { MountError } from '../../mounting/mount-error.ts'
import type { FuseMountOptions, MountFlags } from '../../mounting/mount-options.ts'

/** The addon cuts what is longer. */
const LIST_MAX_BYTES = 1023

/**
 * libfuse's own: no caching of attributes and names, no page cache, and writes of 128 KiB instead
 * of 4. It sets nosuid and nodev itself, unless told otherwise.
 */
const FIXED = [
  'subtype=tandemfs',
  'default_permissions',
  'direct_io',
  'big_writes',
  'entry_timeout=0',
  'negative_timeout=0',
  'attr_timeout=0'
]

/** Flags of mount(2) by libfuse's words. The others it has no word for say how times are kept. */
const WORDS: readonly (readonly [keyof MountFlags, string, string?])[] = [
  ['readOnly', 'ro'],
  ['nosuid', 'nosuid', 'suid'],
  ['nodev', 'nodev', 'dev'],
  ['noexec', 'noexec'],
  ['sync', 'sync'],
  ['dirsync', 'dirsync'],
  ['noatime', 'noatime']
]

/**
 * The value for the package's `fsname`: it joins its options by commas as they are, and has none
 * for most of these. Throws MountError when it is too long.
 */
export function mountList(mountPoint: string, source: string, options: FuseMountOptions): string {
  const name = source.replace(/[\\,]/g, (character) => `\\${character}`)
  const words = WORDS.flatMap(([key, word, opposite]) => {
    if (options[key] === true) return [word]
    return opposite === undefined ? [] : [opposite]
  })
  const list = [name, ...FIXED, ...words].join(',')
  if (Buffer.byteLength(`-ofsname=${list}`) <= LIST_MAX_BYTES) return list
  const why = 'the name of the volume is too long for the driver fuse-native'
  throw new MountError('failed', { what: mountPoint, why, advice: 'use the default driver' })
}
