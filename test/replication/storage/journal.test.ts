import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { DiskIo } from '../../../src/replication/storage/disk-io.ts'
import { diskIo } from '../../../src/replication/storage/disk-io.ts'
import type { JournalPosition } from '../../../src/replication/storage/journal-record.ts'
import { journalPaths } from '../../../src/replication/storage/journal-scan.ts'
import { entry, failing, MemoryLogger, NEXT_WRITER, openJournal, range, seqsOf } from './support.ts'

test('journal - entries come back in order after a reopen, without a close', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const first = openJournal(dir)
  for (const seq of range(1, 20)) first.append([entry(seq)])
  first.append(range(21, 40).map((seq) => entry(seq)))
  t.alike(seqsOf(t, first), range(1, 40), 'readable before anything was synced')
  const second = openJournal(dir, { writer: NEXT_WRITER })
  t.alike(seqsOf(t, second), range(1, 40))
  second.append([entry(41)])
  await second.close()
  const third = openJournal(dir, { writer: NEXT_WRITER })
  t.alike(seqsOf(t, third), range(1, 41))
  await third.close()
  await first.close()
})

test('journal - empty batch, empty payload, largest entry', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const journal = openJournal(dir)
  const before = journal.appended
  t.is(journal.append([]), before)
  const big = { ...entry(2), head: Buffer.alloc(1024 * 1024, 1), payload: Buffer.alloc(4 << 20, 2) }
  journal.append([entry(1, 0), big])
  const read = [...journal.entries()]
  t.is(read.length, 2)
  t.is(read[0]?.entry.payload.length, 0)
  t.ok(read[1]?.entry.head.equals(big.head))
  t.ok(read[1]?.entry.payload.equals(big.payload))
  await t.exception(
    () => journal.append([{ ...big, head: Buffer.alloc(1024 * 1024 + 1) }]),
    /too long/
  )
  t.is([...journal.entries()].length, 2, 'a refused batch leaves nothing')
  await journal.close()
})

test('journal - positions grow over files and entries can be read from any of them', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const journal = openJournal(dir, { fileMaxBytes: 1000 })
  const positions: JournalPosition[] = []
  for (const seq of range(1, 60)) positions.push(journal.append([entry(seq)]))
  t.ok(journal.stats().files > 3)
  t.alike(
    [...positions].sort((a, b) => a - b),
    positions
  )
  for (const index of [0, 17, 30, 58, 59]) {
    const seqs = [...journal.entries(positions[index])].map((read) => read.entry.seq)
    t.alike(seqs, range(index + 2, 60) as typeof seqs)
  }
  await journal.close()
})

test('journal - sync raises the durable position to what was appended before', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  let began = 0
  let letGo = (): void => undefined
  const io = {
    ...diskIo,
    fdatasync: (fd: number) => {
      began++
      return new Promise<void>((resolve) => {
        letGo = resolve
      }).then(() => diskIo.fdatasync(fd))
    }
  }
  const journal = openJournal(dir, {}, io)
  const p1 = journal.append([entry(1)])
  const sync1 = journal.sync()
  const p2 = journal.append([entry(2)])
  const sync2 = journal.sync()
  const sync3 = journal.sync()
  t.is(began, 1, 'one fdatasync runs')
  t.ok(journal.durable < p1)
  letGo()
  await sync1
  t.ok(journal.durable >= p1 && journal.durable < p2)
  letGo()
  await Promise.all([sync2, sync3])
  t.is(began, 2, 'the other two shared one')
  t.ok(journal.durable >= p2)
  await journal.sync()
  t.is(began, 2, 'nothing to do')
  const p3 = journal.append([entry(3)])
  journal.syncNow()
  t.ok(journal.durable >= p3)
  await journal.close()
})

test('journal - rotation while an fdatasync runs, then everything becomes durable', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const journal = openJournal(dir, { fileMaxBytes: 500 })
  const syncs: Promise<void>[] = []
  for (const seq of range(1, 100)) {
    journal.append([entry(seq)])
    if (seq % 3 === 0) syncs.push(journal.sync())
    if (seq % 7 === 0) journal.syncNow()
    if (seq % 10 === 0) await Promise.all(syncs.splice(0))
  }
  await Promise.all(syncs)
  await journal.sync()
  t.ok(journal.durable >= journal.appended)
  t.alike(seqsOf(t, journal), range(1, 100))
  await journal.close()
})

test('journal - records between two syncs are written over zeros that are there', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const journal = openJournal(dir)
  journal.append([entry(1)])
  await journal.sync()
  const [path = ''] = journalPaths(dir)
  const { size, blocks } = statSync(path)
  for (const seq of range(2, 100)) {
    journal.append([entry(seq, 4096)])
    await journal.sync()
  }
  t.is(statSync(path).size, size, 'it did not grow')
  t.is(statSync(path).blocks, blocks)
  for (const seq of range(101, 300)) journal.append([entry(seq, 4096)])
  journal.syncNow()
  t.ok(statSync(path).size > size, 'more is made when little is left')
  t.alike(seqsOf(t, journal), range(1, 300))
  await journal.close()
})

test('journal - a disk without room for zeros still takes records', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const io: DiskIo = {
    ...diskIo,
    write: () => {
      throw failing('ENOSPC')
    }
  }
  const journal = openJournal(dir, {}, io)
  for (const seq of range(1, 3)) {
    journal.append([entry(seq)])
    await journal.sync()
  }
  t.absent(journal.failed)
  t.alike(seqsOf(t, journal), range(1, 3))
  await journal.close()
})

test('journal - prune removes whole files below a position and no others', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const journal = openJournal(dir, { fileMaxBytes: 1000 })
  const positions = range(1, 100).map((seq) => journal.append([entry(seq)]))
  await t.exception(() => journal.prune(journal.appended), /not durable/)
  await journal.sync()
  const middle = positions[49] ?? (0 as JournalPosition)
  t.ok(journal.prune(middle) > 0)
  const left = seqsOf(t, journal)
  t.ok((left[0] ?? 0) > 1 && (left[0] ?? 99) <= 51, 'nothing after the position is gone')
  t.is(left.at(-1), 100)
  journal.prune(journal.durable)
  t.is(journal.stats().files, 1)
  t.is(journalPaths(dir).length, 1, 'on the disk as well')
  await journal.close()
  const again = openJournal(dir, { writer: NEXT_WRITER })
  t.ok(again.appended > (positions[99] ?? Number.MAX_VALUE), 'positions are not used again')
  await again.close()
})

test('journal - failed fdatasync fails it for good, the rest waits for nothing', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  let broken = true
  let calls = 0
  const failures: Error[] = []
  const io = {
    ...diskIo,
    fdatasync: (fd: number) => {
      calls++
      return broken ? Promise.reject(failing('EIO')) : diskIo.fdatasync(fd)
    }
  }
  const { Journal } = await import('../../../src/replication/storage/journal.ts')
  const journal = Journal.open(
    { dir, logger: new MemoryLogger(), io, onFailure: (error) => failures.push(error) },
    { writer: NEXT_WRITER }
  )
  journal.append([entry(1)])
  const waits = [journal.sync(), journal.sync()]
  for (const wait of waits) await t.exception(wait, /journal failed: EIO/)
  t.is(failures.length, 1)
  broken = false
  await t.exception(journal.sync(), /journal failed/)
  await t.exception(() => journal.append([entry(2)]), /journal failed/)
  await t.exception(() => journal.syncNow(), /journal failed/)
  await t.exception(() => journal.prune(journal.durable), /journal failed/)
  t.is(calls, 1, 'never tried again')
  t.ok(journal.failed)
  await journal.close()
})

test('journal - failed synchronous fdatasync fails it for good', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  let broken = false
  const io = {
    ...diskIo,
    fdatasyncNow: (fd: number) => {
      if (broken) throw failing('EIO')
      diskIo.fdatasyncNow(fd)
    }
  }
  const journal = openJournal(dir, {}, io)
  journal.append([entry(1)])
  broken = true
  await t.exception(() => journal.syncNow(), /journal failed: EIO/)
  await t.exception(journal.sync(), /journal failed/)
  t.ok(journal.failed)
  await journal.close()
})

for (const [name, mode] of [
  ['error', 'error'],
  ['short write, then an error', 'short']
] as const) {
  test(`journal - append on a full disk (${name}) leaves nothing and goes on later`, async (t) => {
    const dir = join(await t.tmp(), 'journal')
    let full = false
    let took = false
    const io = {
      ...diskIo,
      writev: (fd: number, parts: readonly Uint8Array[], position: number) => {
        if (!full) return diskIo.writev(fd, parts, position)
        if (mode === 'error' || took) throw failing('ENOSPC')
        took = true
        return diskIo.write(fd, (parts[0] ?? new Uint8Array(1)).subarray(0, 20), position)
      }
    }
    const journal = openJournal(dir, {}, io)
    journal.append([entry(1), entry(2)])
    const end = journal.appended
    full = true
    await t.exception(() => journal.append([entry(3), entry(4)]), /ENOSPC/)
    t.is(journal.appended, end)
    t.absent(journal.failed)
    full = false
    journal.append([entry(3)])
    t.alike(seqsOf(t, journal), [1, 2, 3])
    await journal.close()
    const again = openJournal(dir, { writer: NEXT_WRITER })
    t.alike(seqsOf(t, again), [1, 2, 3])
    await again.close()
  })
}

test('journal - a short write and a failed cut fail it for good, the rest is a tail', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  let full = false
  const io = {
    ...diskIo,
    writev: (fd: number, parts: readonly Uint8Array[], position: number) => {
      if (!full) return diskIo.writev(fd, parts, position)
      if (position % 8 !== 0) throw failing('EIO')
      return diskIo.write(fd, (parts[0] ?? new Uint8Array(1)).subarray(0, 21), position)
    },
    truncate: () => {
      throw failing('EIO')
    }
  }
  const journal = openJournal(dir, {}, io)
  journal.append([entry(1)])
  await journal.sync()
  full = true
  await t.exception(() => journal.append([entry(2)]), /journal failed/)
  t.ok(journal.failed)
  full = false
  await t.exception(() => journal.append([entry(2)]), /journal failed/)
  await journal.close()
  const again = openJournal(dir, { writer: NEXT_WRITER })
  t.alike(seqsOf(t, again), [1])
  await again.close()
})

test('journal - a journal stored inside an entry is not taken for its records', async (t) => {
  const tmp = await t.tmp()
  const inner = openJournal(join(tmp, 'inner'))
  for (const seq of range(1, 5)) inner.append([entry(seq)])
  await inner.close()
  const innerBytes = journalPaths(join(tmp, 'inner')).map((path) => readFileSync(path))
  const dir = join(tmp, 'outer')
  const journal = openJournal(dir)
  journal.append([entry(1)])
  journal.append([{ ...entry(2), payload: Buffer.concat(innerBytes) }])
  const [path] = journalPaths(dir)
  const bytes = readFileSync(path ?? '')
  // The header of the second record is torn: a search for records runs over the inner ones.
  const at = bytes.indexOf('head of entry 2')
  bytes.fill(0, at - 56, at)
  writeFileSync(path ?? '', bytes)
  const again = openJournal(dir, { writer: NEXT_WRITER })
  t.alike(seqsOf(t, again), [1])
  await again.close()
  await journal.close()
})

test('journal - what was not known to be durable is written again and synced at open', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const first = openJournal(dir, { fileMaxBytes: 500 })
  for (const seq of range(1, 4)) first.append([entry(seq)])
  first.syncNow()
  for (const seq of range(5, 20)) first.append([entry(seq)])
  const unsyncedBytes = first.appended - first.durable
  let written = 0
  let syncs = 0
  const io = {
    ...diskIo,
    write: (fd: number, bytes: Uint8Array, position: number) => {
      written += bytes.length
      return diskIo.write(fd, bytes, position)
    },
    fdatasyncNow: (fd: number) => {
      syncs++
      diskIo.fdatasyncNow(fd)
    }
  }
  const before = journalPaths(dir).map((path) => readFileSync(path))
  const second = openJournal(dir, { writer: NEXT_WRITER }, io)
  t.is(written, unsyncedBytes)
  t.ok(syncs >= first.stats().files - 1)
  t.alike(
    journalPaths(dir)
      .slice(0, before.length)
      .map((path) => readFileSync(path)),
    before,
    'the same bytes'
  )
  t.alike(seqsOf(t, second), range(1, 20))
  t.is(second.durable, second.appended)
  await second.close()
  await first.close()
})
