import { join } from 'node:path'
import test from 'brittle'
import { S_IFREG } from '../../../src/fs/attr.ts'
import type { Op, WriteOp } from '../../../src/fs/op.ts'
import { INLINE_MAX_BYTES } from '../../../src/fs/op.ts'
import type { Epoch, Ino, SegmentId, Seq, WriterId } from '../../../src/fs/primitives.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { Admission } from '../../../src/replication/admission.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import { openEntry } from '../../../src/replication/entry-codec.ts'
import type { EpochRecord } from '../../../src/replication/record.ts'
import { inlineSlices } from '../../../src/replication/replica/intake.ts'
import { LocalLog } from '../../../src/replication/replica/local-log.ts'
import { mergedWrite } from '../../../src/replication/replica/merged-write.ts'
import { SegmentStore, sliceMatches } from '../../../src/replication/storage/segment-store.ts'
import { freedSlices } from '../../fs/fixture.ts'
import { MemoryLogger, WRITER } from '../storage/support.ts'

const INO = 7 as Ino

function write(offset: number, at: number, bytes: Buffer, sec = 1): WriteOp {
  const slice = { segment: 16 as SegmentId, offset: at, length: bytes.length, crc32: 0 }
  const slices = [{ ...slice, sha256: Buffer.alloc(32, 1) }]
  return { type: 'write', ino: INO, offset, slices, time: { sec, nsec: 0 } }
}

test('merged write - only what follows in file and segment', (t) => {
  const bytes = Buffer.alloc(100, 1)
  const first = write(0, 500, bytes, 5)
  const merged = mergedWrite(first, write(100, 600, bytes, 4), bytes)
  t.is(merged?.offset, 0)
  t.is(merged?.slices[0]?.length, 200)
  t.is(merged?.time.sec, 5, 'a clock that was set back')
  const others: readonly Op[] = [
    write(101, 600, bytes),
    write(100, 601, bytes),
    { ...write(100, 600, bytes), ino: 8 as Ino },
    { ...write(100, 600, bytes), mode: 0o644 },
    { type: 'truncate', ino: INO, size: 0, time: { sec: 1, nsec: 0 } }
  ]
  for (const other of others) t.is(mergedWrite(first, other, bytes), undefined)
  t.is(mergedWrite(undefined, first, bytes), undefined)
  t.is(mergedWrite(first, write(100, 600, bytes), undefined), undefined, 'not inline')
  const large = Buffer.alloc(INLINE_MAX_BYTES - 99)
  t.is(mergedWrite(first, write(100, 600, large), large), undefined, 'too long for one payload')
})

test('merged write - the others get the state of the writer', async (t) => {
  const dir = await t.tmp()
  const [here, there] = ['here', 'there'].map((name) => openState(join(dir, `${name}.db`)))
  if (!here || !there) throw new Error('no state')
  const logger = new MemoryLogger()
  const segments = SegmentStore.open({ dir: join(dir, 'segments'), logger }, { writer: WRITER })
  const sent: SealedEntry[] = []
  let turnEnd = (): void => undefined
  const log = new LocalLog({
    writer: WRITER,
    state: here,
    admission: new Admission({
      record: record(),
      applied: new Map([[WRITER, 0 as Seq]]),
      epoch: 1 as Epoch
    }),
    journal: (entry) => void sent.push(entry),
    openEntry: { put: () => undefined },
    publish: () => undefined,
    defer: (work) => {
      turnEnd = work
      return { cancel: () => undefined }
    },
    clock: { monotonicMs: () => 0, setTimer: () => ({ cancel: () => undefined }) },
    onFatal: (error) => {
      throw error
    }
  })
  log.setWritable(true)
  void log.submit(create())
  log.flush()
  let random = 7
  const below = (n: number): number => {
    random = (random * 1103515245 + 12345) % 2 ** 31
    return Math.floor((random / 2 ** 31) * n)
  }
  let offset = 0
  for (let i = 0; i < 600; i++) {
    if (below(8) === 0) offset = below(20_000)
    const bytes = Buffer.alloc(1 + below(3000), i)
    const slices = segments.append(bytes)
    const time = { sec: 1000 + below(5), nsec: i }
    void log.submit({ type: 'write', ino: INO, offset, slices, time }, bytes)
    offset += bytes.length
    if (below(40) === 0) void log.submit({ type: 'truncate', ino: INO, size: below(9000), time })
    if (below(3) === 0) turnEnd()
    if (below(12) === 0) log.flush()
  }
  log.flush()
  let ops = 0
  for (const sealed of sent) {
    const entry = openEntry(sealed)
    for (const { slice, bytes } of inlineSlices(entry, sealed)) {
      if (!sliceMatches(slice, bytes)) t.fail('bytes are not those of the slice')
    }
    for (const op of entry.ops) there.apply(op)
    ops += entry.ops.length
  }
  t.ok(ops < 450, `${ops} ops of 600 writes`)
  t.is(here.digest(), there.digest())
  const [freedHere, freedThere] = [here, there].map((state) =>
    freedSlices(state)
      .map(({ offset }) => offset)
      .sort()
  )
  t.ok(freedHere && freedHere.length > 0)
  t.alike(freedHere, freedThere)
  here.close()
  there.close()
  await segments.close()
})

function create(): Op {
  return {
    type: 'create',
    parent: 1 as Ino,
    name: Buffer.from('file'),
    ino: INO,
    mode: S_IFREG | 0o644,
    uid: 0,
    gid: 0,
    rdev: 0,
    target: Buffer.alloc(0),
    cookie: 3,
    time: { sec: 1, nsec: 0 }
  }
}

function record(): EpochRecord {
  return {
    epoch: 1 as Epoch,
    live: [WRITER as WriterId],
    writers: [],
    history: []
  } as unknown as EpochRecord
}
