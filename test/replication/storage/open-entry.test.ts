import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import test from 'brittle'
import type { Op } from '../../../src/fs/op.ts'
import type { Epoch, Ino, Seq } from '../../../src/fs/primitives.ts'
import { encodeEntryHead } from '../../../src/replication/entry-codec.ts'
import { diskIo } from '../../../src/replication/storage/disk-io.ts'
import type { EntryPart } from '../../../src/replication/storage/open-entry.ts'
import { OpenEntryFile } from '../../../src/replication/storage/open-entry.ts'
import { DamagedFileError } from '../../../src/replication/storage/storage-errors.ts'
import { WRITER } from './support.ts'

const BOOT = 'd2c7f6e0-0000-4000-8000-000000000001'
const OTHER_BOOT = 'd2c7f6e0-0000-4000-8000-000000000002'
const HEADER_BYTES = 64

function part(seq: number, index: number, ops: readonly Op[]): EntryPart {
  const entry = { epoch: 3 as Epoch, writer: WRITER, seq: seq as Seq, deps: new Map(), ops }
  return { writer: WRITER, seq: seq as Seq, index, head: encodeEntryHead(entry) }
}

function reap(ino: number): Op {
  return { type: 'reap', ino: ino as Ino }
}

function setxattr(ino: number, valueBytes: number): Op {
  const value = Buffer.alloc(valueBytes, ino)
  const time = { sec: 1, nsec: 0 }
  return { type: 'setxattr', ino: ino as Ino, name: Buffer.from('user.a'), value, time }
}

function begin(path: string): OpenEntryFile {
  const file = OpenEntryFile.begin(path, diskIo, BOOT)
  if (file === undefined) throw new Error('no file')
  return file
}

function inosLeft(path: string): number[] | undefined {
  return OpenEntryFile.left(path, BOOT)?.ops.map((op) => op.ino)
}

test('open entry - what was put is left for the next process of the same boot', async (t) => {
  const path = join(await t.tmp(), 'open-entry')
  t.is(OpenEntryFile.left(path, BOOT), undefined, 'no file')
  const file = begin(path)
  t.is(OpenEntryFile.left(path, BOOT), undefined, 'nothing put')
  const ops = [reap(1), setxattr(2, 30_000), reap(3)]
  file.put(part(7, 0, ops.slice(0, 2)))
  file.put(part(7, 1, ops.slice(2)))
  file.close()
  const left = OpenEntryFile.left(path, BOOT)
  t.is(left?.seq, 7)
  t.is(left?.writer, WRITER)
  t.is(left?.epoch, 3)
  t.alike(left?.ops, ops)
  t.is(OpenEntryFile.left(path, OTHER_BOOT), undefined, 'the page cache may have lost a part')
})

test('open entry - the next entry takes the place of the one before', async (t) => {
  const path = join(await t.tmp(), 'open-entry')
  const file = begin(path)
  for (let index = 0; index < 5; index++) file.put(part(7, index, [reap(index + 1)]))
  file.put(part(8, 0, [reap(9)]))
  t.alike(inosLeft(path), [9], 'nothing of the longer one')
  file.put(part(8, 1, [reap(10)]))
  t.alike(inosLeft(path), [9, 10])
  file.close()
  begin(path).close()
  t.is(inosLeft(path), undefined, 'begun anew')
})

test('open entry - a part that is not whole ends it', async (t) => {
  const path = join(await t.tmp(), 'open-entry')
  const file = begin(path)
  for (let index = 0; index < 3; index++) file.put(part(7, index, [setxattr(index + 1, 100)]))
  file.close()
  const bytes = readFileSync(path)
  truncateSync(path, bytes.length - 1)
  t.alike(inosLeft(path), [1, 2])
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  writeFileSync(path, bytes)
  t.alike(inosLeft(path), [1, 2])
  truncateSync(path, HEADER_BYTES - 1)
  t.is(inosLeft(path), undefined, 'killed while it was begun')
})

/** As format 1 has it: with the bytes of the ops behind the head. */
function withBytes(dir: string, each: EntryPart, payload: Buffer): Buffer {
  const path = join(dir, 'one-part')
  const file = begin(path)
  file.put({ ...each, index: 0 })
  file.close()
  const record = Buffer.concat([readFileSync(path).subarray(HEADER_BYTES), payload])
  record.writeUInt32LE(each.index, 4)
  record.writeUInt32LE(payload.length, 12)
  record.writeUInt32LE(crc32(record.subarray(4)), 0)
  return record
}

test('open entry - the format with the bytes in it is read, too; an unknown one is refused', async (t) => {
  const dir = await t.tmp()
  const path = join(dir, 'open-entry')
  begin(path).close()
  const header = readFileSync(path)
  header.write('TFSOPEN1', 'latin1')
  const first = withBytes(dir, part(7, 0, [reap(1), reap(2)]), Buffer.alloc(20_000, 1))
  const second = withBytes(dir, part(7, 1, [reap(3)]), Buffer.alloc(5, 2))
  writeFileSync(path, Buffer.concat([header, first, second]))
  t.alike(inosLeft(path), [1, 2, 3])
  header.write('TFSOPEN9', 'latin1')
  writeFileSync(path, Buffer.concat([header, first, second]))
  t.exception(() => OpenEntryFile.left(path, BOOT), DamagedFileError)
  t.is(OpenEntryFile.left(path, OTHER_BOOT), undefined, 'of another boot it counts for nothing')
})
