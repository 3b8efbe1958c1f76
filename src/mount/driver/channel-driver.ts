/** The default driver: the FUSE protocol over our own channel to /dev/fuse. */
import { FuseDispatcher } from '../fuse/dispatch.ts'
import { killPending } from '../fuse/kill-pending.ts'
import { mountVolume } from '../mounting/mount-volume.ts'
import type { Driver } from './driver.ts'

export const channelDriver: Driver = async (components, options) => {
  const mounted = await mountVolume(options)
  const { channel, fallbackReason } = mounted
  const dispatcher = new FuseDispatcher({ ...components, channel, killPending })
  dispatcher.start()
  try {
    await dispatcher.ready
  } catch (error) {
    await mounted.unmount({ lazy: true })
    await channel.close()
    throw error
  }
  return {
    kind: channel.kind,
    fallbackReason,
    closed: dispatcher.closed,
    endWaits: (reason) => dispatcher.endWaits(reason),
    unmount: (how) => mounted.unmount(how),
    close: () => channel.close(),
    // Reads of the device that are blocked in the thread pool would keep the process.
    beforeExit: async () => {
      if (channel.kind === 'threadpool') await channel.close()
    }
  }
}
