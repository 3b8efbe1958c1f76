/**
 * A daemon for tests in a process of its own: mounts the tiny filesystem at its first argument with
 * the channel of its second, says `ready`, and serves until it is killed or told to stop.
 */
import { mountVolume } from '../../../src/mount/mounting/mount-volume.ts'
import { serveTiny } from '../channel/tiny-responder.ts'

const [mountPoint = '', channel] = process.argv.slice(2)
if (channel !== 'native' && channel !== 'threadpool') throw new Error(`no channel ${channel}`)
const volume = await mountVolume({ mountPoint, source: 'vol,a b', channel })
const responder = serveTiny(volume.channel)
await responder.initialised
process.once('SIGTERM', () => {
  void volume.unmount()
})
console.log('ready')
const error = await responder.closed
await volume.channel.close()
console.log(error === undefined ? 'ended' : error.message)
