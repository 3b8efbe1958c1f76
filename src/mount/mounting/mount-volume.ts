/** Mounts a volume and opens the channel to its kernel side. */
import { closeSync, constants, openSync } from 'node:fs'
import type { FuseChannel } from '../channel/channel.ts'
import { codeOf } from '../channel/channel-error.ts'
import { loadAddon, type NativeAddon } from '../channel/load-addon.ts'
import { NativeChannel, type NativeChannelOptions } from '../channel/native-channel.ts'
import { ThreadpoolChannel } from '../channel/threadpool-channel.ts'
import { explainMountFailure, MountError } from './mount-error.ts'
import {
  type FuseMountOptions,
  fusermountData,
  kernelData,
  mountFlags,
  mountWords
} from './mount-options.ts'
import { prepareMountPoint } from './mount-point.ts'
import { FUSE_TYPE, findMount } from './mountinfo.ts'
import { setReadAhead } from './read-ahead.ts'
import { runProgram } from './run-program.ts'
import {
  abortConnection,
  detach,
  fusermountMissing,
  isRoot,
  type UnmountOptions,
  unmountPath
} from './unmount.ts'

export type ChannelKind = FuseChannel['kind']

export interface MountVolumeOptions extends FuseMountOptions {
  readonly mountPoint: string
  /** Shown as the source of the mount: the volume's name or state directory. */
  readonly source: string
  readonly stateDirectory?: string
  /** Forces a channel; default is TANDEMFS_CHANNEL, else native with threadpool as fallback. */
  readonly channel?: ChannelKind
  readonly channelOptions?: NativeChannelOptions
}

export interface MountedVolume {
  readonly channel: FuseChannel
  /** As mountinfo names it. */
  readonly mountPoint: string
  /** Why the channel is not the native one; undefined when it is or when it was asked for. */
  readonly fallbackReason: string | undefined
  /**
   * Unmounts; the channel must go on being served until it resolves, then it reports its end and
   * wants to be closed. Does nothing when this mount is gone already. Throws MountError (busy).
   */
  unmount(options?: UnmountOptions): Promise<void>
}

interface Choice {
  readonly addon: NativeAddon | undefined
  readonly fallbackReason: string | undefined
}

/**
 * Checks the mount point, mounts, and returns the channel, not yet started: the kernel's INIT waits
 * in it. Throws MountError; nothing is left mounted or open then.
 */
export async function mountVolume(options: MountVolumeOptions): Promise<MountedVolume> {
  const choice = chooseChannel(options)
  const checks =
    options.stateDirectory === undefined ? {} : { stateDirectory: options.stateDirectory }
  const mountPoint = await prepareMountPoint(options.mountPoint, checks)
  const fd = await mountDevice(mountPoint, options, choice.addon)
  try {
    return attach(fd, mountPoint, options, choice)
  } catch (error) {
    closeSync(fd)
    await detach(mountPoint)
    throw explainMountFailure(mountPoint, error)
  }
}

function chooseChannel(options: MountVolumeOptions): Choice {
  const asked = options.channel ?? process.env['TANDEMFS_CHANNEL']
  if (asked !== undefined && asked !== 'native' && asked !== 'threadpool') {
    throw new MountError('failed', {
      what: `TANDEMFS_CHANNEL=${asked}`,
      why: 'no such channel',
      advice: 'use native or threadpool'
    })
  }
  if (asked === 'threadpool') return { addon: undefined, fallbackReason: undefined }
  const { addon, reason } = loadAddon()
  if (addon === undefined && asked === 'native') throw addonMissing(options.mountPoint, reason)
  return { addon, fallbackReason: reason }
}

function addonMissing(what: string, reason: string): MountError {
  const advice = 'build the native addon (npm run build)'
  return new MountError('addon-missing', { what, why: reason, advice })
}

async function mountDevice(
  mountPoint: string,
  options: MountVolumeOptions,
  addon: NativeAddon | undefined
): Promise<number> {
  try {
    if (isRoot()) {
      return addon === undefined
        ? await mountByProgram(mountPoint, options)
        : mountAsRoot(mountPoint, options, addon)
    }
    if (addon !== undefined) return await mountAsUser(mountPoint, options, addon)
  } catch (error) {
    throw explainMountFailure(mountPoint, error)
  }
  throw addonMissing(mountPoint, 'an ordinary user needs the native addon to mount')
}

function mountAsRoot(mountPoint: string, options: MountVolumeOptions, addon: NativeAddon): number {
  const fd = addon.openDevice()
  try {
    const data = kernelData(fd, options)
    addon.mountDevice(options.source, mountPoint, FUSE_TYPE, mountFlags(options), data)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** mount(8) makes the call; it inherits the device as its descriptor 3. */
async function mountByProgram(mountPoint: string, options: MountVolumeOptions): Promise<number> {
  const fd = openSync('/dev/fuse', constants.O_RDWR)
  try {
    const words = [...mountWords(options), kernelData(3, options)].join(',')
    const args = ['-i', '-n', '-t', FUSE_TYPE, '-o', words, '--', options.source, mountPoint]
    const result = await runProgram('mount', args, { inheritFd: fd })
    if (result.status !== 0) throw programRefused(mountPoint, 'mount', result.said)
    return fd
  } catch (error) {
    closeSync(fd)
    if (codeOf(error) !== 'ENOENT') throw error
    const advice = 'install the mount program of util-linux, or build the native addon'
    const parts = { what: mountPoint, why: 'there is no mount program', advice }
    throw new MountError('mount-program-missing', parts, { cause: error })
  }
}

/** fusermount3 opens and mounts the device and sends it back over a socket. */
async function mountAsUser(
  mountPoint: string,
  options: MountVolumeOptions,
  addon: NativeAddon
): Promise<number> {
  const [ours, theirs] = addon.socketPair()
  try {
    const args = ['-o', fusermountData(options.source, options), '--', mountPoint]
    const result = await runProgram('fusermount3', args, {
      inheritFd: theirs,
      env: { _FUSE_COMMFD: '3' }
    })
    if (result.status !== 0) throw programRefused(mountPoint, 'fusermount3', result.said)
    return await receiveOrDetach(ours, mountPoint, addon)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw fusermountMissing(mountPoint, error)
    throw error
  } finally {
    closeSync(ours)
    closeSync(theirs)
  }
}

async function receiveOrDetach(
  socketFd: number,
  mountPoint: string,
  addon: NativeAddon
): Promise<number> {
  try {
    return addon.receiveDevice(socketFd)
  } catch (error) {
    if (findMount(mountPoint)?.type === FUSE_TYPE) await detach(mountPoint)
    throw error
  }
}

function programRefused(what: string, program: string, said: string): MountError {
  const why = `${program}: ${said === '' ? 'failed without a word' : said.replaceAll('\n', ' ')}`
  if (/allow_other/.test(said)) {
    const advice = 'add user_allow_other to /etc/fuse.conf or leave allow_other out'
    return new MountError('permission', { what, why, advice })
  }
  if (/device not found|modprobe|No such device/i.test(said)) {
    const advice = 'load the kernel module (modprobe fuse)'
    return new MountError('no-fuse-device', { what, why, advice })
  }
  if (/permission|not permitted|must be superuser/i.test(said)) {
    const advice = 'mount as root, or where you may write'
    return new MountError('permission', { what, why, advice })
  }
  return new MountError('failed', { what, why, advice: 'see the kernel log (dmesg)' })
}

function attach(
  fd: number,
  mountPoint: string,
  options: MountVolumeOptions,
  choice: Choice
): MountedVolume {
  const entry = findMount(mountPoint)
  if (entry === undefined || entry.type !== FUSE_TYPE) {
    const parts = { what: mountPoint, why: 'the mount is not in mountinfo', advice: 'see findmnt' }
    throw new MountError('failed', parts)
  }
  const { minor } = entry
  setReadAhead(minor)
  const abort = (): Promise<void> => abortConnection(mountPoint, minor)
  const { addon, fallbackReason } = choice
  const channel =
    addon === undefined
      ? new ThreadpoolChannel({ fd, abort }, options.channelOptions)
      : new NativeChannel({ addon, fd, abort }, options.channelOptions)
  return {
    channel,
    mountPoint,
    fallbackReason,
    unmount: async (unmountOptions) => {
      if (findMount(mountPoint)?.minor !== minor) return
      await unmountPath(mountPoint, unmountOptions)
    }
  }
}
