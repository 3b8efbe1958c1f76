import { join } from 'node:path'
import test, { type Test } from 'brittle'
import type { Op, Slice } from '../../../src/fs/op.ts'
import { INLINE_MAX_BYTES } from '../../../src/fs/op.ts'
import type { Epoch, Ino, Seq } from '../../../src/fs/primitives.ts'
import type { Entry } from '../../../src/replication/entry.ts'
import { openEntry } from '../../../src/replication/entry-codec.ts'
import { closeLeftOpen } from '../../../src/replication/replica/left-open.ts'
import { SegmentStore, segmentPath } from '../../../src/replication/storage/segment-store.ts'
import { DamagedFileError } from '../../../src/replication/storage/storage-errors.ts'
import { flipBit, MemoryLogger, NEXT_WRITER, openJournal, WRITER } from '../storage/support.ts'

const NOTHING = new Map()

function left(seq: number, ops: readonly Op[]): Entry {
  return { epoch: 3 as Epoch, writer: WRITER, seq: seq as Seq, deps: new Map(), ops }
}

function write(slices: readonly Slice[]): Op {
  return { type: 'write', ino: 5 as Ino, offset: 0, slices, time: { sec: 1, nsec: 0 } }
}

/** The slices of a process that ended, the bytes first of each, and what the next one opens. */
async function afterTheEnd(t: Test, pieces: readonly Buffer[]) {
  const dir = await t.tmp()
  const components = { dir: join(dir, 'segments'), logger: new MemoryLogger() }
  const before = SegmentStore.open(components, { writer: WRITER })
  const writes = pieces.map((piece) => before.append(piece))
  await before.close()
  const segments = SegmentStore.open(components, { writer: NEXT_WRITER })
  const journal = openJournal(join(dir, 'journal'), { writer: NEXT_WRITER })
  t.teardown(async () => {
    await Promise.all([segments.close(), journal.close()])
  })
  const pathOf = ({ segment }: Slice) => segmentPath(components.dir, segment)
  return { writes, segments, journal, pathOf }
}

test('left-open - it is closed once, behind the last entry of its writer', async (t) => {
  const { journal, segments } = await afterTheEnd(t, [])
  const reap: Op = { type: 'reap', ino: 5 as Ino }
  const entry = left(1, [reap])
  const ports = { journal, segments }
  t.absent(closeLeftOpen(ports, entry, new Map([[WRITER, 1 as Seq]])), 'the state has it')
  t.absent(closeLeftOpen(ports, undefined, NOTHING))
  t.ok(closeLeftOpen(ports, entry, NOTHING))
  t.absent(closeLeftOpen(ports, entry, NOTHING), 'the journal has it')
  t.absent(closeLeftOpen(ports, left(3, [reap]), NOTHING), 'not the next')
  t.is([...journal.entries()].length, 1)
})

test('left-open - small writes get their bytes from the segments', async (t) => {
  const pieces = [
    Buffer.alloc(4096, 1),
    Buffer.alloc(INLINE_MAX_BYTES + 1, 2),
    Buffer.alloc(100, 3),
    Buffer.alloc(INLINE_MAX_BYTES, 4)
  ]
  const { journal, segments, writes } = await afterTheEnd(t, pieces)
  t.ok(closeLeftOpen({ journal, segments }, left(1, writes.map(write)), NOTHING))
  const [journaled] = [...journal.entries()]
  if (journaled === undefined) throw new Error('no entry')
  const { ops } = openEntry(journaled.entry)
  t.alike(
    ops.map((op) => op.type === 'write' && op.slices),
    writes,
    'each op by itself'
  )
  const small = pieces.filter(({ length }) => length <= INLINE_MAX_BYTES)
  t.alike(journaled.entry.payload, Buffer.concat(small))
})

test('left-open - other bytes than those that were answered are damage, unless it is closed', async (t) => {
  const pieces = [Buffer.alloc(4096, 1), Buffer.alloc(100, 3)]
  const { journal, segments, writes, pathOf } = await afterTheEnd(t, pieces)
  const [slice] = writes[1] ?? []
  if (slice === undefined) throw new Error('no slice')
  const path = pathOf(slice)
  flipBit(path, slice.offset + 50)
  const entry = left(1, writes.map(write))
  const ports = { journal, segments }
  try {
    closeLeftOpen(ports, entry, NOTHING)
    t.fail('it was closed with other bytes')
  } catch (error) {
    t.ok(error instanceof DamagedFileError && error.path === path, String(error))
  }
  t.is([...journal.entries()].length, 0, 'nothing of it in the journal')
  t.absent(closeLeftOpen(ports, entry, new Map([[WRITER, 1 as Seq]])), 'nobody asks for the bytes')
  flipBit(path, slice.offset + 50)
  t.ok(closeLeftOpen(ports, entry, NOTHING))
})
