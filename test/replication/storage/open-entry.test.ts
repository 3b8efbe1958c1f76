import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { Op } from '../../../src/fs/op.ts'
import type { Epoch, Ino, Seq } from '../../../src/fs/primitives.ts'
import { decodeEntryHead, encodeEntryHead } from '../../../src/replication/entry-codec.ts'
import { closeLeftOpen } from '../../../src/replication/replica/left-open.ts'
import { diskIo } from '../../../src/replication/storage/disk-io.ts'
import { OpenEntryFile } from '../../../src/replication/storage/open-entry.ts'
import { NEXT_WRITER, openJournal, WRITER } from './support.ts'

const BOOT = 'd2c7f6e0-0000-4000-8000-000000000001'
const OTHER_BOOT = 'd2c7f6e0-0000-4000-8000-000000000002'

function part(
  seq: number,
  index: number,
  inos: readonly number[],
  payloadBytes: readonly number[]
) {
  const ops = inos.map((ino): Op => ({ type: 'reap', ino: ino as Ino }))
  const entry = { epoch: 3 as Epoch, writer: WRITER, seq: seq as Seq, deps: new Map(), ops }
  const payload = payloadBytes.map((bytes) => Buffer.alloc(bytes, seq * 10 + index))
  return { writer: WRITER, seq: seq as Seq, index, head: encodeEntryHead(entry), payload }
}

function begin(path: string): OpenEntryFile {
  const file = OpenEntryFile.begin(path, diskIo, BOOT)
  if (file === undefined) throw new Error('no file')
  return file
}

function inosLeft(path: string): number[] | undefined {
  const left = OpenEntryFile.left(path, BOOT)
  return left && decodeEntryHead(left.head).ops.map((op) => op.ino)
}

test('open entry - what was put is left for the next process of the same boot', async (t) => {
  const path = join(await t.tmp(), 'open-entry')
  t.is(OpenEntryFile.left(path, BOOT), undefined, 'no file')
  const file = begin(path)
  t.is(OpenEntryFile.left(path, BOOT), undefined, 'nothing put')
  file.put(part(7, 0, [1, 2], [10, 20_000]))
  file.put(part(7, 1, [3], [5]))
  file.close()
  const left = OpenEntryFile.left(path, BOOT)
  t.is(left?.seq, 7)
  t.is(left?.payload.length, 20_015)
  t.alike(inosLeft(path), [1, 2, 3])
  t.is(left && decodeEntryHead(left.head).epoch, 3)
  t.is(OpenEntryFile.left(path, OTHER_BOOT), undefined, 'the page cache may have lost a part')
})

test('open entry - the next entry takes the place of the one before', async (t) => {
  const path = join(await t.tmp(), 'open-entry')
  const file = begin(path)
  for (let index = 0; index < 5; index++) file.put(part(7, index, [index + 1], [100]))
  file.put(part(8, 0, [9], [100]))
  t.alike(inosLeft(path), [9], 'nothing of the longer one')
  file.put(part(8, 1, [10], []))
  t.alike(inosLeft(path), [9, 10])
  file.close()
  begin(path).close()
  t.is(inosLeft(path), undefined, 'begun anew')
})

test('open entry - a part that is not whole ends it', async (t) => {
  const path = join(await t.tmp(), 'open-entry')
  const file = begin(path)
  for (let index = 0; index < 3; index++) file.put(part(7, index, [index + 1], [100]))
  file.close()
  const bytes = readFileSync(path)
  truncateSync(path, bytes.length - 1)
  t.alike(inosLeft(path), [1, 2])
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  writeFileSync(path, bytes)
  t.alike(inosLeft(path), [1, 2])
})

test('open entry - it is closed once, behind the last entry of its writer', async (t) => {
  const dir = await t.tmp()
  const path = join(dir, 'open-entry')
  const file = begin(path)
  file.put(part(1, 0, [5], []))
  file.close()
  const journal = openJournal(join(dir, 'journal'), { writer: NEXT_WRITER })
  const left = OpenEntryFile.left(path, BOOT)
  t.absent(closeLeftOpen(journal, left, new Map([[WRITER, 1 as Seq]])), 'the state has it')
  t.absent(closeLeftOpen(journal, undefined, new Map()))
  t.ok(closeLeftOpen(journal, left, new Map()))
  t.absent(closeLeftOpen(journal, left, new Map()), 'the journal has it')
  const far = part(3, 0, [5], [])
  t.absent(closeLeftOpen(journal, { ...far, payload: Buffer.alloc(0) }, new Map()), 'not the next')
  t.is([...journal.entries()].length, 1)
  await journal.close()
})
