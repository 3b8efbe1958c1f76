import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { KernelNotifier } from '../../../src/mount/fuse/notify.ts'
import { FakeChannel } from './kernel-side.ts'

test('notify - golden bytes', async (t) => {
  const channel = new FakeChannel()
  const notifier = new KernelNotifier(channel)
  const ino = 5 as Ino
  await notifier.invalInode(ino, 4096, 8192)
  await notifier.invalAttributes(ino)
  await notifier.invalEntry(ino, Buffer.from('ab'))
  await notifier.expireEntry(ino, Buffer.from('ab'))
  await notifier.deleteEntry(ino, 6 as Ino, Buffer.from('ab'))
  notifier.incEpochNow()
  const none = '0000000000000000'
  t.alike(
    channel.notifications.map((bytes) => bytes.toString('hex')),
    [
      `2800000002000000${none}050000000000000000100000000000000020000000000000`,
      `2800000002000000${none}0500000000000000ffffffffffffffff0000000000000000`,
      `2300000003000000${none}05000000000000000200000000000000616200`,
      `2300000003000000${none}05000000000000000200000001000000616200`,
      `2b00000006000000${none}050000000000000006000000000000000200000000000000616200`,
      `1000000008000000${none}`
    ]
  )
  t.exception(() => notifier.invalEntry(ino, Buffer.alloc(0)))
  t.exception(() => notifier.invalEntry(ino, Buffer.alloc(256, 1)))
})
