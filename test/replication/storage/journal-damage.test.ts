/** RULES 14: what is a torn tail and what is damage. */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { JournalOptions } from '../../../src/replication/storage/journal.ts'
import { FILE_HEADER_BYTES } from '../../../src/replication/storage/journal-record.ts'
import { JournalFileReader, journalPaths } from '../../../src/replication/storage/journal-scan.ts'
import { DamagedJournalError } from '../../../src/replication/storage/storage-errors.ts'
import { entry, flipBit, MemoryLogger, NEXT_WRITER, openJournal, range, seqsOf } from './support.ts'

/** Nothing made in advance. */
const BARE: Partial<JournalOptions> = { aheadBytes: 0 }
/** As another incarnation. */
const NEXT = { ...BARE, writer: NEXT_WRITER }

interface RecordSpan {
  readonly path: string
  readonly offset: number
  readonly end: number
  readonly kind: 'entry' | 'mark'
  readonly seq: number
}

function recordsIn(dir: string): RecordSpan[] {
  const spans: RecordSpan[] = []
  for (const path of journalPaths(dir)) {
    const reader = new JournalFileReader(path)
    let offset = FILE_HEADER_BYTES
    while (offset < reader.info.sizeBytes && !reader.isEmptyFrom(offset)) {
      const record = reader.record(offset)
      if (typeof record === 'string') throw new Error(record)
      const end = offset + record.bytes.length
      spans.push({ path, offset, end, kind: record.header.kind, seq: record.header.seq })
      offset = end
    }
    reader.close()
  }
  return spans
}

function copyJournal(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to)
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name))
}

/** A journal with entries 1..synced durable and known to be, and the rest only written. */
async function makeJournal(
  dir: string,
  synced: number,
  total: number,
  options: Partial<JournalOptions> = BARE
): Promise<void> {
  const journal = openJournal(dir, options)
  for (const seq of range(1, synced)) journal.append([entry(seq)])
  if (synced > 0) journal.syncNow()
  for (const seq of range(synced + 1, total)) journal.append([entry(seq)])
  const copy = `${dir}.copy`
  copyJournal(dir, copy)
  await journal.close()
  rmSync(dir, { recursive: true })
  copyJournal(copy, dir)
}

test('torn tail - cut at every byte of the last records, the sound ones stay', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 2, 5)
  const entries = recordsIn(origin).filter((record) => record.kind === 'entry')
  const firstTorn = entries[2]
  if (!firstTorn) throw new Error('no third record')
  const dir = join(tmp, 'torn')
  const size = statSync(firstTorn.path).size
  const [name] = readdirSync(origin)
  for (let length = firstTorn.offset; length < size; length++) {
    copyJournal(origin, dir)
    truncateSync(join(dir, name ?? ''), length)
    const logger = new MemoryLogger()
    const journal = openJournal(dir, NEXT, undefined, logger)
    const sound = entries.filter((record) => record.end <= length).map((record) => record.seq)
    const seqs = seqsOf(t, journal)
    if (seqs.join() !== sound.join()) t.fail(`cut at ${length}: ${seqs} instead of ${sound}`)
    const onBoundary = entries.some((record) => record.end === length || record.offset === length)
    if (!onBoundary && !logger.has('warn', /torn tail/)) t.fail(`cut at ${length}: not logged`)
    journal.append([entry(9)])
    await journal.close()
    const again = openJournal(dir, NEXT)
    const after = seqsOf(t, again)
    if (after.join() !== [...sound, 9].join()) t.fail(`reopened after cut at ${length}: ${after}`)
    await again.close()
  }
  t.pass(`${size - firstTorn.offset} cuts`)
})

test('torn tail - zeros or noise where the last records should be', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 2, 6)
  const entries = recordsIn(origin).filter((record) => record.kind === 'entry')
  const dir = join(tmp, 'torn')
  const [name] = readdirSync(origin)
  const path = join(dir, name ?? '')
  for (const fill of [0, 0xa5]) {
    for (const index of [2, 3, 5]) {
      copyJournal(origin, dir)
      const bytes = readFileSync(path)
      bytes.fill(fill, entries[index]?.offset, entries[index]?.end)
      writeFileSync(path, bytes)
      const journal = openJournal(dir, NEXT)
      t.alike(seqsOf(t, journal), range(1, index), 'sound records behind a bad one are not kept')
      await journal.close()
    }
  }
})

test('made in advance - zeros behind the records are no part of the file', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 3, 5, {})
  const records = recordsIn(origin)
  const [path = ''] = journalPaths(origin)
  const end = records.at(-1)?.end ?? 0
  t.ok(statSync(path).size > end + 64 * 1024, 'zeros are there')

  const logger = new MemoryLogger()
  const journal = openJournal(origin, NEXT, undefined, logger)
  t.alike(seqsOf(t, journal), range(1, 5))
  t.absent(logger.has('warn', /torn tail/))
  journal.append([entry(6)])
  await journal.sync()
  t.alike(seqsOf(t, journal), range(1, 6))
  await journal.close()
  const again = openJournal(origin, NEXT)
  t.alike(seqsOf(t, again), range(1, 6), 'the next file goes on where the records ended')
  await again.close()
})

test('made in advance - what is torn or damaged before the zeros is told apart as ever', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 3, 5, {})
  const entries = recordsIn(origin).filter((record) => record.kind === 'entry')
  const dir = join(tmp, 'torn')
  const [name = ''] = readdirSync(origin)
  const path = join(dir, name)
  const damaged = (index: number, change: (bytes: Buffer, at: number, end: number) => void) => {
    copyJournal(origin, dir)
    const record = entries[index]
    if (record === undefined) throw new Error('no such record')
    const bytes = readFileSync(path)
    change(bytes, record.offset, record.end)
    writeFileSync(path, bytes)
  }
  // The beginning of the last record reached the disk, the rest is still zeros.
  damaged(4, (bytes, at, end) => bytes.fill(0, at + 60, end))
  const logger = new MemoryLogger()
  const torn = openJournal(dir, NEXT, undefined, logger)
  t.alike(seqsOf(t, torn), range(1, 4))
  t.ok(logger.has('warn', /torn tail/))
  await torn.close()
  // It did not reach the disk at all: as if it had never been written.
  damaged(4, (bytes, at, end) => bytes.fill(0, at, end))
  const lost = openJournal(dir, NEXT)
  t.alike(seqsOf(t, lost), range(1, 4))
  await lost.close()
  for (const index of [0, 2]) {
    damaged(index, (bytes, at) => bytes.fill(0, at + 8, at + 12))
    t.exception(() => openJournal(dir, NEXT), /damaged/)
    damaged(index, (bytes, at, end) => bytes.fill(0, at, end))
    t.exception(() => openJournal(dir, NEXT), /damaged/)
  }
})

test('flipped bit - in every byte of every durable record: refused, naming the place', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 4, 4)
  const records = recordsIn(origin)
  t.is(records.at(-1)?.kind, 'mark', 'the last entry is known to be durable')
  const dir = join(tmp, 'flipped')
  const [name] = readdirSync(origin)
  const path = join(dir, name ?? '')
  let flips = 0
  for (const record of records.filter((one) => one.kind === 'entry')) {
    for (let offset = record.offset; offset < record.end; offset++) {
      copyJournal(origin, dir)
      flipBit(path, offset)
      flips++
      try {
        openJournal(dir, NEXT)
        t.fail(`flip at ${offset} was not noticed`)
      } catch (error) {
        if (!(error instanceof DamagedJournalError)) throw error
        if (error.path !== path || error.offset !== record.offset) {
          t.fail(`flip at ${offset} reported as ${error.message}`)
        }
      }
    }
  }
  t.pass(`${flips} flips`)
})

test('flipped bit - in every byte of a record after the last sync: cut', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 2, 5)
  const third = recordsIn(origin).find((record) => record.seq === 3)
  if (!third) throw new Error('no third record')
  const dir = join(tmp, 'flipped')
  const [name] = readdirSync(origin)
  for (let offset = third.offset; offset < third.end; offset++) {
    copyJournal(origin, dir)
    flipBit(join(dir, name ?? ''), offset)
    const journal = openJournal(dir, NEXT)
    const seqs = seqsOf(t, journal)
    if (seqs.join() !== '1,2') t.fail(`flip at ${offset}: ${seqs}`)
    await journal.close()
  }
  t.pass()
})

test('flipped bit - in a file header is damage even with nothing synced', async (t) => {
  const tmp = await t.tmp()
  const origin = join(tmp, 'origin')
  await makeJournal(origin, 0, 3)
  const dir = join(tmp, 'flipped')
  const [name] = readdirSync(origin)
  for (let offset = 0; offset < FILE_HEADER_BYTES; offset++) {
    copyJournal(origin, dir)
    flipBit(join(dir, name ?? ''), offset)
    try {
      openJournal(dir, NEXT)
      t.fail(`flip at ${offset} was not noticed`)
    } catch (error) {
      if (!(error instanceof DamagedJournalError)) throw error
    }
  }
  t.pass()
})

test('bad record before a synced position named only by a record behind it - refused', async (t) => {
  const tmp = await t.tmp()
  const dir = join(tmp, 'journal')
  const journal = openJournal(dir)
  journal.append([entry(1), entry(2)])
  journal.syncNow()
  journal.append([entry(3)])
  const copy = join(tmp, 'copy')
  copyJournal(dir, copy)
  await journal.close()
  const records = recordsIn(copy)
  const first = records[0]
  if (!first) throw new Error('no record')
  flipBit(first.path, first.offset + 60)
  // Only the third entry and the mark say that the first was durable; a length field is hit too.
  flipBit(first.path, first.offset + 18)
  await t.exception(() => openJournal(copy, NEXT), /damaged: at byte 64/)
})

test('several files - the end of an unsynced file is missing: later files go with it', async (t) => {
  const tmp = await t.tmp()
  const dir = join(tmp, 'journal')
  const journal = openJournal(dir, { fileMaxBytes: 400 })
  for (const seq of range(1, 12)) journal.append([entry(seq, 40)])
  const copy = join(tmp, 'copy')
  copyJournal(dir, copy)
  await journal.close()
  t.ok(journalPaths(copy).length >= 3)
  const records = recordsIn(copy)
  const [first] = journalPaths(copy)
  const inFirst = records.filter((record) => record.path === first)
  truncateSync(first ?? '', inFirst.at(-1)?.offset)
  const again = openJournal(copy, NEXT)
  t.alike(seqsOf(t, again), range(1, inFirst.length - 1))
  t.is(journalPaths(copy).length, 2, 'the cut one and a new one')
  await again.close()
})

test('several files - a middle file is missing or renamed: refused', async (t) => {
  const tmp = await t.tmp()
  const dir = join(tmp, 'journal')
  const journal = openJournal(dir, { fileMaxBytes: 400 })
  for (const seq of range(1, 12)) journal.append([entry(seq, 40)])
  await journal.close()
  const copy = join(tmp, 'copy')
  copyJournal(dir, copy)
  rmSync(journalPaths(copy)[1] ?? '')
  await t.exception(() => openJournal(copy), /damaged/)
  copyJournal(dir, copy)
  const paths = journalPaths(copy)
  copyFileSync(paths[0] ?? '', paths[1] ?? '')
  await t.exception(() => openJournal(copy), /damaged/)
})

test('left-over of a file that was being made is removed', async (t) => {
  const dir = join(await t.tmp(), 'journal')
  const journal = openJournal(dir)
  journal.append([entry(1)])
  await journal.close()
  writeFileSync(join(dir, '.000000000002.journal.tmp'), 'half')
  const again = openJournal(dir, NEXT)
  t.alike(seqsOf(t, again), [1])
  t.absent(readdirSync(dir).some((name) => name.endsWith('.tmp')))
  await again.close()
})
