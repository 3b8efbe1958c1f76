/** The options of a mount as the kernel and fusermount3 want them. */
import { PAYLOAD_MAX_BYTES } from '../channel/channel-limits.ts'

export interface MountFlags {
  readonly readOnly?: boolean
  readonly nosuid?: boolean
  readonly nodev?: boolean
  readonly noexec?: boolean
  readonly noatime?: boolean
}

export interface FuseMountOptions extends MountFlags {
  /** Users other than the mounting one may look in. Default false. */
  readonly allowOther?: boolean
  /** The kernel checks modes and owners itself. Default true. */
  readonly defaultPermissions?: boolean
}

const MS_RDONLY = 1
const MS_NOSUID = 2
const MS_NODEV = 4
const MS_NOEXEC = 8
const MS_NOATIME = 1024

const FLAGS: readonly (readonly [keyof MountFlags, number, string])[] = [
  ['readOnly', MS_RDONLY, 'ro'],
  ['nosuid', MS_NOSUID, 'nosuid'],
  ['nodev', MS_NODEV, 'nodev'],
  ['noexec', MS_NOEXEC, 'noexec'],
  ['noatime', MS_NOATIME, 'noatime']
]

/** The flags argument of mount(2). */
export function mountFlags(options: MountFlags): number {
  return FLAGS.reduce((bits, [key, bit]) => (options[key] === true ? bits | bit : bits), 0)
}

/** The same flags as words, for the mount programs. */
export function mountWords(options: MountFlags): string[] {
  return FLAGS.filter(([key]) => options[key] === true).map(([, , word]) => word)
}

function shared(options: FuseMountOptions): string[] {
  const words = [`max_read=${PAYLOAD_MAX_BYTES}`]
  if (options.defaultPermissions ?? true) words.push('default_permissions')
  if (options.allowOther === true) words.push('allow_other')
  return words
}

/** The data of a mount by root: `fd` is the descriptor's number in the mounting process. */
export function kernelData(fd: number, options: FuseMountOptions): string {
  const identity = [`fd=${fd}`, 'rootmode=40000', 'user_id=0', 'group_id=0']
  return [...identity, ...shared(options)].join(',')
}

/** The -o list of fusermount3, which adds fd, rootmode and the user itself. */
export function fusermountData(source: string, options: FuseMountOptions): string {
  const name = source.replace(/[\\,]/g, (character) => `\\${character}`)
  return [`fsname=${name}`, 'subtype=tandemfs', ...shared(options), ...mountWords(options)].join(
    ','
  )
}
