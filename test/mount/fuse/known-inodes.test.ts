import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { KnownInodes } from '../../../src/mount/fuse/known-inodes.ts'

test('known inodes - lookups are counted to the last', (t) => {
  const known = new KnownInodes()
  const ino = 9 as Ino
  t.absent(known.giveAttributes(ino), 'nothing is given of an inode the kernel does not know')
  known.lookedUp(ino)
  known.lookedUp(ino)
  t.ok(known.giveAttributes(ino))
  t.absent(known.forgotten(ino, 1))
  t.ok(known.takeAttributes(ino))
  t.absent(known.takeAttributes(ino), 'taken once')
  t.ok(known.knows(ino))
  t.ok(known.forgotten(ino, 1))
  t.absent(known.knows(ino))
  t.absent(known.forgotten(ROOT_INO, 1), 'the root is always known')
  t.ok(known.giveAttributes(ROOT_INO))
  t.alike(known.withAttributes(), [ROOT_INO])
})
