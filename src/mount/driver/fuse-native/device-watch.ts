/**
 * Notices that libfuse has given its device back: the mount is gone, or reading failed. The package
 * tells nobody, and nothing else in this process opens /dev/fuse while it is used.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import type { Clock } from '../../../fs/ports/clock.ts'

const DEVICE = '/dev/fuse'
const FOLDER = '/proc/self/fd'
const LOOK_EVERY_MS = 200

function isDevice(fd: string): boolean {
  try {
    return readlinkSync(`${FOLDER}/${fd}`) === DEVICE
  } catch {
    return false // Closed between the listing and now, or the listing's own.
  }
}

/** Descriptors of the device that this process has open. */
export function openDevices(): string[] {
  return readdirSync(FOLDER).filter(isDevice)
}

/** Resolves when the descriptor is no longer the device. */
export function untilDeviceCloses(clock: Clock, fd: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (isDevice(fd)) clock.setTimer(LOOK_EVERY_MS, look)
      else resolve()
    }
    look()
  })
}
