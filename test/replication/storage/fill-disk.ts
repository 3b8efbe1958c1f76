/**
 * Child of the full-disk test, in a mount namespace of its own: fills a small tmpfs through the
 * stores, frees it, goes on, and prints what it saw as one line of JSON.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Seq } from '../../../src/fs/primitives.ts'
import { SegmentStore } from '../../../src/replication/storage/segment-store.ts'
import { systemCode } from '../../../src/replication/storage/storage-errors.ts'
import { WriterLogs } from '../../../src/replication/storage/writer-logs.ts'
import { entry, MemoryLogger, NEXT_WRITER, openJournal, WRITER } from './support.ts'

const MIB = 1024 * 1024
const dir = process.argv[2] ?? ''
const ballast = join(dir, 'ballast')
mkdirSync(dir, { recursive: true })
writeFileSync(ballast, Buffer.alloc(8 * MIB))

function codeOf(fn: () => void): string | undefined {
  try {
    fn()
    return undefined
  } catch (error) {
    return systemCode(error) ?? String(error)
  }
}

const logFolder = { dir: join(dir, 'log'), logger: new MemoryLogger() }
const logFailures: string[] = []
const logs = await WriterLogs.open({
  ...logFolder,
  onFailure: (failure) => logFailures.push(failure.kind)
})
const own = await logs.create(WRITER)

const journal = openJournal(join(dir, 'journal'), { fileMaxBytes: 4 * MIB })
const accepted: Seq[] = []
let journalCode: string | undefined
for (let seq = 1; seq < 10_000 && !journalCode; seq++) {
  const next = entry(seq, 60_000)
  journalCode = codeOf(() => journal.append([next, entry(seq + 100_000, 61_000)]))
  if (!journalCode) accepted.push(next.seq)
}
await journal.sync()

const segments = SegmentStore.open(
  { dir: join(dir, 'segments'), logger: new MemoryLogger() },
  { writer: WRITER }
)
const data = Buffer.alloc(MIB, 7)
const block = (seq: number): Buffer => Buffer.alloc(30_000, seq % 251)
const wanted = 1000
/** Blocks appended at once: the log waits a little for more. */
const GATHERED = 20

let segmentCode: string | undefined
let appends = 0
while (!segmentCode && appends++ < 100) segmentCode = codeOf(() => segments.append(data))
const free = segments.freeSpace().availableBytes

let logError = ''
for (let seq = 1; seq <= wanted && logError === ''; seq += GATHERED) {
  const gathered = Array.from({ length: GATHERED }, (_, index) => block(seq + index))
  await own.append(seq as Seq, gathered).catch((error: Error) => {
    logError = error.message
  })
}
await logs.close()

rmSync(ballast)
const logsAgain = await WriterLogs.open({ ...logFolder, onFailure: () => undefined })
const ownAgain = await logsAgain.reopen(WRITER)
const known = ownAgain.length + 5
const blocks = Array.from({ length: known }, (_, index) => block(index + 1))
const logAppended = await ownAgain.appendMissing(1 as Seq, known as Seq, blocks)
await logsAgain.close()

const slices = segments.append(data)
const target = Buffer.alloc(MIB)
const states = slices.map((slice) =>
  segments.readSync(slice, 0, slice.length, target, slice.offset - (slices[0]?.offset ?? 0))
)
journal.append([entry(5000, 100)])
await journal.close()
await segments.close()

const again = openJournal(join(dir, 'journal'), { writer: NEXT_WRITER })
const kept = [...again.entries()].map((read) => read.entry.seq)
await again.close()
process.stdout.write(
  JSON.stringify({
    journalCode,
    segmentCode,
    free,
    logError,
    logFailures,
    logAppended,
    accepted: accepted.length,
    kept: kept.length,
    last: kept.at(-1),
    sound: states.every((state) => state === 'ok') && target.equals(data)
  })
)
