/** The default driver: the FUSE protocol over our own channel to /dev/fuse. */
import type { Logger } from '../../fs/ports/logger.ts'
import type { FuseChannel } from '../channel/channel.ts'
import { FuseDispatcher } from '../fuse/dispatch.ts'
import { killPending } from '../fuse/kill-pending.ts'
import { mountVolume } from '../mounting/mount-volume.ts'
import type { Driver } from './driver.ts'

export const channelDriver: Driver = async (components, options) => {
  const { turnEnd, plainHandles } = components
  const channelOptions = { ...(turnEnd && { turnEnd }), ...(plainHandles && { plainHandles }) }
  const mounted = await mountVolume({ ...options, channelOptions })
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
  const letGo = (): Promise<void> => {
    if (channel.kind !== 'threadpool') return channel.close()
    return closeBlocking(channel, components.logger)
  }
  return {
    kind: channel.kind,
    fallbackReason,
    closed: dispatcher.closed,
    endWaits: (reason) => dispatcher.endWaits(reason),
    unmount: (how) => mounted.unmount(how),
    close: letGo,
    beforeExit: async () => {
      if (channel.kind === 'threadpool') await letGo()
    }
  }
}

/**
 * Reads that are blocked in the thread pool would keep the process: libuv waits for its threads at
 * the end. They end with the connection, and that ends with its last mount, but a copy of the mount
 * in another mount namespace is out of reach. Then only a signal is left to end the process by.
 */
async function closeBlocking(channel: FuseChannel, logger: Logger): Promise<void> {
  const end = (): void => {
    process.kill(process.pid, 'SIGKILL')
  }
  process.once('exit', end)
  try {
    await channel.close()
    process.off('exit', end)
  } catch (error) {
    logger.error({ error }, 'reads of /dev/fuse do not end, the process will end by SIGKILL')
  }
}
