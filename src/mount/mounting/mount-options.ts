/** The options of a mount as the kernel and fusermount3 want them. */
import { PAYLOAD_MAX_BYTES } from '../channel/channel-limits.ts'

export interface MountFlags {
  readonly readOnly?: boolean
  readonly nosuid?: boolean
  readonly nodev?: boolean
  readonly noexec?: boolean
  readonly nosymfollow?: boolean
  /** Every write and every change of names is on disk everywhere before it returns. */
  readonly sync?: boolean
  /** The same for changes of names alone. */
  readonly dirsync?: boolean
  readonly noatime?: boolean
  readonly nodiratime?: boolean
  readonly relatime?: boolean
  readonly strictatime?: boolean
  readonly lazytime?: boolean
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
const MS_SYNCHRONOUS = 16
const MS_REMOUNT = 32
const MS_DIRSYNC = 128
const MS_NOSYMFOLLOW = 256
const MS_NOATIME = 1024
const MS_NODIRATIME = 2048
const MS_RELATIME = 1 << 21
const MS_STRICTATIME = 1 << 24
const MS_LAZYTIME = 1 << 25

interface Flag {
  readonly key: keyof MountFlags
  readonly bit: number
  readonly word: string
  /** fusermount3 knows the word; it refuses the others, which say nothing about FUSE anyway. */
  readonly forUsers: boolean
}

const FLAGS: readonly Flag[] = [
  { key: 'readOnly', bit: MS_RDONLY, word: 'ro', forUsers: true },
  { key: 'nosuid', bit: MS_NOSUID, word: 'nosuid', forUsers: true },
  { key: 'nodev', bit: MS_NODEV, word: 'nodev', forUsers: true },
  { key: 'noexec', bit: MS_NOEXEC, word: 'noexec', forUsers: true },
  { key: 'nosymfollow', bit: MS_NOSYMFOLLOW, word: 'nosymfollow', forUsers: true },
  { key: 'sync', bit: MS_SYNCHRONOUS, word: 'sync', forUsers: true },
  { key: 'dirsync', bit: MS_DIRSYNC, word: 'dirsync', forUsers: true },
  { key: 'noatime', bit: MS_NOATIME, word: 'noatime', forUsers: true },
  { key: 'nodiratime', bit: MS_NODIRATIME, word: 'nodiratime', forUsers: false },
  { key: 'relatime', bit: MS_RELATIME, word: 'relatime', forUsers: false },
  { key: 'strictatime', bit: MS_STRICTATIME, word: 'strictatime', forUsers: false },
  { key: 'lazytime', bit: MS_LAZYTIME, word: 'lazytime', forUsers: false }
]

/** The flags argument of mount(2). */
export function mountFlags(options: MountFlags): number {
  return FLAGS.reduce((bits, { key, bit }) => (options[key] === true ? bits | bit : bits), 0)
}

/** The flags argument of mount(2) that changes a mount into one with these options. */
export function remountFlags(options: MountFlags): number {
  return MS_REMOUNT | mountFlags(options)
}

/** The same flags as words, for the mount programs. */
export function mountWords(options: MountFlags): string[] {
  return FLAGS.filter(({ key }) => options[key] === true).map(({ word }) => word)
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
  const flags = FLAGS.filter(({ key, forUsers }) => forUsers && options[key] === true)
  const words = flags.map(({ word }) => word)
  return [`fsname=${name}`, 'subtype=tandemfs', ...shared(options), ...words].join(',')
}
