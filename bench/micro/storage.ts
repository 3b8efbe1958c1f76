/**
 * Rates of the on-disk stores: node dist/bench/micro/storage.js [DIR]
 * DIR must be on the disk to measure (default: a folder under the working directory).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Slice } from '../../src/fs/op.ts'
import type { LogFields, Logger } from '../../src/fs/ports/logger.ts'
import type { Incarnation, MemberId, Seq } from '../../src/fs/primitives.ts'
import { makeWriterId } from '../../src/fs/primitives.ts'
import type { SealedEntry } from '../../src/replication/entry.ts'
import { Journal } from '../../src/replication/storage/journal.ts'
import { SegmentStore } from '../../src/replication/storage/segment-store.ts'
import { WriterLogs } from '../../src/replication/storage/writer-logs.ts'

const MIB = 1024 * 1024
const writer = makeWriterId(1 as MemberId, 1 as Incarnation)

class QuietLogger implements Logger {
  debug(): void {}
  info(): void {}
  warn(fields: LogFields, message: string): void {
    process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)
  }
  error(fields: LogFields, message: string): void {
    this.warn(fields, message)
  }
  child(): Logger {
    return this
  }
}

const logger = new QuietLogger()

function entry(seq: number, payload: Buffer): SealedEntry {
  return { writer, seq: seq as Seq, head: Buffer.alloc(150, seq % 251), payload }
}

function report(what: string, count: number, unit: string, ms: number): void {
  const rate = (count / ms) * 1000
  process.stdout.write(
    `${what.padEnd(52)} ${rate.toFixed(rate < 100 ? 1 : 0).padStart(9)} ${unit}\n`
  )
}

async function timed(fn: () => void | Promise<void>): Promise<number> {
  const begin = performance.now()
  await fn()
  return performance.now() - begin
}

async function benchJournal(dir: string): Promise<void> {
  const journal = Journal.open({ dir, logger }, { writer })
  let seq = 1
  for (const [name, payload, count] of [
    ['no payload', Buffer.alloc(0), 20_000],
    ['4 KiB payload', Buffer.alloc(4096, 1), 20_000],
    ['64 KiB payload', Buffer.alloc(65_536, 2), 2000]
  ] as const) {
    const ms = await timed(() => {
      for (let n = 0; n < count; n++) journal.append([entry(seq++, payload)])
    })
    report(`journal append, ${name}`, count, 'entries/s', ms)
    await journal.sync()
  }
  const serial = await timed(async () => {
    for (let n = 0; n < 300; n++) {
      journal.append([entry(seq++, Buffer.alloc(4096, 3))])
      await journal.sync()
    }
  })
  report('journal append 4 KiB + sync, one after the other', 300, 'entries/s', serial)
  const grouped = await timed(async () => {
    const lanes = Array.from({ length: 16 }, async () => {
      for (let n = 0; n < 100; n++) {
        journal.append([entry(seq++, Buffer.alloc(4096, 3))])
        await journal.sync()
      }
    })
    await Promise.all(lanes)
  })
  report('journal append 4 KiB + sync, 16 at a time', 1600, 'entries/s', grouped)
  const sizeBytes = journal.stats().sizeBytes
  await journal.close()
  let entries = 0
  const scan = await timed(async () => {
    const again = Journal.open({ dir, logger }, { writer })
    for (const _ of again.entries()) entries++
    await again.close()
  })
  report(`journal open and replay (${entries} entries)`, sizeBytes / MIB, 'MiB/s', scan)
}

async function benchSegments(dir: string): Promise<void> {
  const store = SegmentStore.open({ dir, logger }, { writer })
  let slices: readonly Slice[] = []
  for (const [name, size, count] of [
    ['4 KiB', 4096, 20_000],
    ['128 KiB', 128 * 1024, 2000],
    ['1 MiB', MIB, 300]
  ] as const) {
    const data = Buffer.alloc(size, 5)
    const ms = await timed(() => {
      for (let n = 0; n < count; n++) slices = store.append(data)
    })
    report(`segment append of ${name} (crc32, sha256, pwrite)`, (size * count) / MIB, 'MiB/s', ms)
    const sync = await timed(() => store.syncUnsynced())
    report(`  the fdatasync after it`, (size * count) / MIB, 'MiB/s', sync)
  }
  const target = Buffer.alloc(128 * 1024)
  const slice = slices[0]
  if (!slice) throw new Error('no slice')
  const whole = await timed(() => {
    for (let n = 0; n < 4000; n++) store.readSync(slice, 0, slice.length, target, 0)
  })
  report('segment read of whole 128 KiB slices, cached', (4000 * 128) / 1024, 'MiB/s', whole)
  const part = await timed(() => {
    for (let n = 0; n < 4000; n++) store.readSync(slice, 4096, 4096, target, 0)
  })
  report('segment read of 4 KiB, same slice again', 4000, 'reads/s', part)
  await store.close()
}

async function benchLogs(dir: string): Promise<void> {
  const logs = await WriterLogs.open({ dir, logger, onFailure: () => undefined })
  const own = await logs.create(writer)
  const block = Buffer.alloc(200, 9)
  const ms = await timed(async () => {
    let done = Promise.resolve()
    for (let seq = 1; seq <= 50_000; seq++) {
      if (!own.hasRoom) await own.room()
      done = own.append(seq as Seq, [block])
    }
    await done
  })
  report('log append of 200 byte blocks, behind a queue', 50_000, 'blocks/s', ms)
  report('log flush after it', 1, '/s', await timed(async () => void (await logs.flush())))
  await logs.close()
}

const dir = mkdtempSync(join(process.argv[2] ?? process.cwd(), '.bench-storage-'))
try {
  await benchJournal(join(dir, 'journal'))
  await benchSegments(join(dir, 'segments'))
  await benchLogs(join(dir, 'log'))
  const rss = process.resourceUsage().maxRSS / 1024
  process.stdout.write(`peak memory ${rss.toFixed(0)} MiB\n`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}
