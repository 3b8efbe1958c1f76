import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import test, { type Test } from 'brittle'
import type { SegmentId } from '../../../src/fs/primitives.ts'
import { makeSegmentId } from '../../../src/fs/primitives.ts'
import type { FileRangeCalls } from '../../../src/replication/storage/disk-io.ts'
import { SegmentStore } from '../../../src/replication/storage/segment-store.ts'
import { StoreFailedError } from '../../../src/replication/storage/storage-errors.ts'
import { failing, MemoryLogger, WRITER, writerOf } from './support.ts'

const MIB = 1024 * 1024
const OTHER = makeSegmentId(writerOf(2, 1), 0)

interface Begun {
  readonly offset: number
  readonly lengthBytes: number
  end(error?: Error): void
}

async function openStore(t: Test) {
  const begun: Begun[] = []
  const forgotten: [from: number, to: number][] = []
  const failures: Error[] = []
  const ranges: FileRangeCalls = {
    crc32,
    punchHole: async () => {},
    readChecked: () => 0,
    sha256Each: async () => Buffer.alloc(0),
    forgetPages: async (_fd, offset, lengthBytes) => {
      forgotten.push([offset / MIB, (offset + lengthBytes) / MIB])
    },
    startWriteBack: (_fd, offset, lengthBytes) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error): void => (error === undefined ? resolve() : reject(error))
        begun.push({ offset, lengthBytes, end })
      })
  }
  const onFailure = (error: Error): void => void failures.push(error)
  const store = SegmentStore.open(
    { dir: await t.tmp(), logger: new MemoryLogger(), ranges, onFailure },
    { writer: WRITER }
  )
  const write = (segment: SegmentId, offset: number, sizeBytes: number): void => {
    for (let at = offset; at < offset + sizeBytes; at += MIB / 8) {
      store.writeAt(segment, at, randomBytes(Math.min(MIB / 8, offset + sizeBytes - at)))
    }
  }
  return { store, begun, forgotten, failures, write }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('write-back - a stream is written while it goes on, one range at a time', async (t) => {
  const { store, begun, failures } = await openStore(t)
  for (let mib = 0; mib < 3; mib++) store.append(randomBytes(MIB))
  await turn()
  t.is(begun.length, 0, 'too little yet')
  for (let mib = 3; mib < 10; mib++) store.append(randomBytes(MIB))
  await turn()
  t.is(begun.length, 1, 'the next waits for the first')
  t.is(begun[0]?.offset, 0)
  t.is(begun[0]?.lengthBytes, 4 * MIB)
  begun[0]?.end()
  await turn()
  store.append(randomBytes(1000))
  await turn()
  t.is(begun.length, 2)
  t.is(begun[1]?.offset, 4 * MIB, 'goes on where the first ended')
  t.is(begun[1]?.lengthBytes, 6 * MIB, 'whole blocks: the last one is still written to')
  begun[1]?.end()
  await store.close()
  t.alike(failures, [])
})

test('write-back - what is not written behind each other waits for the sync', async (t) => {
  const { store, begun, write } = await openStore(t)
  for (let at = 0; at < 40 * MIB; at += 4 * MIB) write(OTHER, at, 3 * MIB)
  await turn()
  t.is(begun.length, 0)
  write(OTHER, 100 * MIB, 4 * MIB)
  await turn()
  t.is(begun[0]?.offset, 100 * MIB, 'the slices of another writer as well')
  begun[0]?.end()
  await store.close()
})

test('write-back - closing waits for it', async (t) => {
  const { store, begun, write } = await openStore(t)
  write(OTHER, 0, 4 * MIB)
  await turn()
  let closed = false
  const closing = store.close().then(() => {
    closed = true
  })
  await store.syncUnsynced()
  await turn()
  t.absent(closed)
  begun[0]?.end()
  await closing
  t.ok(closed)
})

test('write-back - a refusing disk fails the store, a missing call does not', async (t) => {
  const broken = await openStore(t)
  broken.write(OTHER, 0, 4 * MIB)
  await turn()
  broken.begun[0]?.end(failing('EIO'))
  await turn()
  t.ok(broken.failures[0] instanceof StoreFailedError)
  await t.exception(() => broken.store.append(randomBytes(10)), /segment store/)
  await broken.store.close()

  const without = await openStore(t)
  without.write(OTHER, 0, 4 * MIB)
  await turn()
  without.begun[0]?.end(failing('ENOSYS'))
  await turn()
  without.write(OTHER, 4 * MIB, 8 * MIB)
  await turn()
  t.is(without.begun.length, 1, 'not asked for again')
  t.alike(without.failures, [])
  await without.store.close()
})

test('write-back - what a stream has left behind on the disk is let go of, its end is kept', async (t) => {
  const { store, begun, forgotten, write } = await openStore(t)
  const stream = async (fromMib: number, toMib: number): Promise<void> => {
    for (let mib = fromMib; mib < toMib; mib += 4) {
      write(OTHER, mib * MIB, 4 * MIB)
      await turn()
      begun.at(-1)?.end()
      await turn()
    }
  }
  await stream(0, 8)
  t.alike(forgotten, [], 'a file of this size is kept whole')
  await stream(8, 20)
  const ranges = [
    [0, 4],
    [4, 8],
    [8, 12]
  ]
  t.alike(forgotten, ranges)
  await store.close()
})

test('write-back - a piece with small writes in it stays in the page cache', async (t) => {
  const { store, begun, forgotten, write } = await openStore(t)
  for (let at = 0; at < 32; at += 4) {
    write(OTHER, at * MIB, 2 * MIB)
    if (at === 4) {
      store.writeAt(OTHER, 6 * MIB, randomBytes(4096))
      store.writeAt(OTHER, 6 * MIB + 4096, randomBytes(MIB / 8 - 4096))
      write(OTHER, 6 * MIB + MIB / 8, 2 * MIB - MIB / 8)
    } else write(OTHER, (at + 2) * MIB, 2 * MIB)
    await turn()
    begun.at(-1)?.end()
    await turn()
  }
  const ranges = [
    [0, 4],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 24]
  ]
  t.alike(forgotten, ranges)
  await store.close()
})

test('write-back - less than a block behind each MiB may come by itself, later, or not at all', async (t) => {
  for (const comes of ['in turn', 'later', 'never'] as const) {
    const { store, begun, forgotten } = await openStore(t)
    for (let mib = 0; mib < 28; mib++) {
      if (mib > 0 && comes === 'in turn') store.writeAt(OTHER, mib * MIB - 16, randomBytes(16))
      store.writeAt(OTHER, mib * MIB, randomBytes(MIB - 16))
      if (mib > 0 && comes === 'later') store.writeAt(OTHER, mib * MIB - 16, randomBytes(16))
      await turn()
      begun.at(-1)?.end()
      await turn()
    }
    t.is(begun.length, 6, comes)
    t.is(forgotten.length, 4, comes)
    for (const { lengthBytes } of begun) t.ok(lengthBytes >= 4 * MIB && lengthBytes <= 5 * MIB)
    await store.close()
  }
})
