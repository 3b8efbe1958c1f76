import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { DropLog } from '../../../src/mount/fuse/drop-log.ts'

test('drop log - what was dropped since a position', (t) => {
  const log = new DropLog()
  const before = log.position
  log.note(5 as Ino)
  const between = log.position
  log.note(6 as Ino)
  t.alike(
    [before, between, log.position].map((at) => log.droppedSince(5 as Ino, at)),
    [true, false, false]
  )
  t.ok(log.droppedSince(6 as Ino, between))
  t.absent(log.droppedSince(7 as Ino, before))
  log.noteAll()
  t.ok(log.droppedSince(7 as Ino, between), 'all')
  t.absent(log.droppedSince(5 as Ino, log.position))
})

test('drop log - bounded: what is long past counts as dropped', (t) => {
  const log = new DropLog()
  log.note(1 as Ino)
  const start = log.position
  for (let i = 0; i < 4096; i++) log.note((100 + i) as Ino)
  t.absent(log.droppedSince(1 as Ino, start), 'still exact')
  for (let i = 0; i < 8192; i++) log.note((10_000 + i) as Ino)
  t.ok(log.droppedSince(1 as Ino, start), 'not known any more')
  t.ok(log.droppedSince(18_191 as Ino, log.position - 1))
  t.absent(log.droppedSince(1 as Ino, log.position - 10))
})
