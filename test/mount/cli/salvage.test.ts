import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import test, { type Test } from 'brittle'
import { S_IFDIR, S_IFREG } from '../../../src/fs/attr.ts'
import type { Op, Slice } from '../../../src/fs/op.ts'
import {
  type Epoch,
  type Ino,
  makeSegmentId,
  ROOT_INO,
  type Seq
} from '../../../src/fs/primitives.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { runCreate } from '../../../src/mount/cli/commands/create.ts'
import { runSalvage } from '../../../src/mount/cli/commands/salvage.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'
import type { SealedEntry } from '../../../src/replication/entry.ts'
import { encodeEntryHead } from '../../../src/replication/entry-codec.ts'
import { segmentPath, sha256 } from '../../../src/replication/storage/segment-store.ts'
import { StateDirectory } from '../../../src/replication/storage/state-directory.ts'
import { loadRecord, saveRecord } from '../../../src/replication/volume/volume-files.ts'
import { openJournal, WRITER } from '../../replication/storage/support.ts'

const time = { sec: 1_700_000_000, nsec: 0 }
const SEGMENT = makeSegmentId(WRITER, 0)
const LARGE = Buffer.alloc(100_000, 'large ')
const SMALL = Buffer.from('small data')
const FOLDER = 1000 as Ino
const FILE = 1001 as Ino
const BIG = 1002 as Ino

function create(ino: Ino, parent: Ino, text: string, mode: number, cookie: number): Op {
  const name = Buffer.from(text)
  const owner = { uid: 0, gid: 0, rdev: 0, target: Buffer.alloc(0) }
  return { type: 'create', parent, name, ino, mode, ...owner, cookie, time }
}

function write(ino: Ino, bytes: Buffer, segmentOffset: number, offset = 0): Op {
  const slice: Slice = {
    segment: SEGMENT,
    offset: segmentOffset,
    length: bytes.length,
    crc32: crc32(bytes),
    sha256: sha256(bytes)
  }
  return { type: 'write', ino, offset, slices: [slice], time }
}

function sealed(seq: number, ops: readonly Op[], payload = Buffer.alloc(0)): SealedEntry {
  const numbers = { epoch: 1 as Epoch, writer: WRITER, seq: seq as Seq }
  const head = encodeEntryHead({ ...numbers, deps: new Map(), ops })
  return { writer: WRITER, seq: seq as Seq, head, payload }
}

interface Salvaged {
  readonly directory: StateDirectory
  readonly out: string
  run(extract?: string): Promise<string>
}

async function volume(t: Test): Promise<Salvaged> {
  const dir = await t.tmp()
  const listen = { host: '127.0.0.1', port: 0 }
  const quiet = { print: () => {} }
  await runCreate({ volume: 'mail', dir, listen, bootstrap: undefined, advertise: [] }, quiet)
  const directory = new StateDirectory(path.join(dir, 'mail'))
  directory.prepare()
  const out = path.join(dir, 'out')
  const run = async (name?: string): Promise<string> => {
    let printed = ''
    const print = (text: string) => {
      printed += `${text}\n`
    }
    const extract = name === undefined ? undefined : { name, to: out }
    await runSalvage({ volume: 'mail', dir, extract }, { print })
    return printed
  }
  return { directory, out, run }
}

test('salvage - nothing, and a bundle that is not there', async (t) => {
  const { run } = await volume(t)
  t.is(await run(), 'nothing was salvaged on this member\n')
  try {
    await run('state-0001')
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof UserError && error.exitCode === 2)
  }
})

test('salvage - entries give the ranges they wrote', async (t) => {
  const { directory, out, run } = await volume(t)
  const entries = [
    sealed(7, [create(FILE, ROOT_INO, 'note', S_IFREG | 0o644, 3)]),
    sealed(
      8,
      [write(FILE, SMALL, 0, 5), write(FILE, SMALL, 10, 15)],
      Buffer.concat([SMALL, SMALL])
    ),
    sealed(10, [write(BIG, LARGE, 20)])
  ]
  for (const { seq, head, payload } of entries) {
    const file = path.join(directory.salvage, `entry-${WRITER}-${seq}`)
    writeFileSync(`${file}.head`, head)
    if (payload.length > 0) writeFileSync(`${file}.payload`, payload)
  }
  const listed = await run()
  t.ok(listed.startsWith(`entries-${WRITER}  20`), listed)
  t.ok(listed.includes('3 entries, 4 operations, 97.7 KiB'))
  t.ok(listed.includes('create file /note\n  write 20 B at 5 to /note\n'))
  const extracted = await run(`entries-${WRITER}`)
  t.ok(extracted.includes('incomplete: inode 1002: 100000 bytes are nowhere'), extracted)
  const files = path.join(out, `entries-${WRITER}`, 'files')
  const note = readFileSync(path.join(files, 'note'))
  t.alike(note, Buffer.concat([Buffer.alloc(5), SMALL, SMALL]))
  t.ok(existsSync(path.join(files, 'inode-1002')), 'without a name it has its number')
  try {
    await run(`entries-${WRITER}`)
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof UserError && error.exitCode === 5, 'never over another extraction')
  }
})

test('salvage - a state that was put aside gives whole files, beyond its cut alone', async (t) => {
  const { directory, out, run } = await volume(t)
  const record = loadRecord(directory.dir)
  const ended = { writer: WRITER, coreKey: 'ab'.repeat(32), finalSeq: 2 as Seq }
  const aside = path.join(directory.salvage, 'state-0001')
  mkdirSync(aside)
  // The record of today has forgotten the writer, the one that was put aside knows where it ends.
  saveRecord(aside, { ...record, live: [], writers: [ended], lastWriters: [WRITER] })
  const entries = [
    sealed(1, [create(FOLDER, ROOT_INO, 'a folder', S_IFDIR | 0o755, 3)]),
    sealed(2, [create(FILE, FOLDER, 'kept', S_IFREG | 0o644, 3), write(FILE, SMALL, 0)], SMALL),
    sealed(3, [create(BIG, FOLDER, 'big', S_IFREG | 0o644, 4), write(BIG, LARGE, 10)]),
    sealed(4, [write(BIG, SMALL, 100_010, 3)], SMALL)
  ]
  // The state was committed before the last two: its journal has them.
  const state = openState(aside)
  for (const op of [
    create(FOLDER, ROOT_INO, 'a folder', S_IFDIR | 0o755, 3),
    create(FILE, FOLDER, 'kept', S_IFREG | 0o644, 3),
    write(FILE, SMALL, 0)
  ]) {
    state.apply(op)
  }
  state.commit({ epoch: 1 as Epoch, applied: new Map([[WRITER, 2 as Seq]]) })
  state.close()
  const journal = openJournal(path.join(aside, 'journal'))
  journal.append(entries)
  await journal.close()
  writeFileSync(segmentPath(directory.segments, SEGMENT), Buffer.concat([SMALL, LARGE]))
  const listed = await run()
  t.ok(listed.includes('state-0001') && listed.includes('2 entries, 3 operations'), listed)
  t.ok(listed.includes('create file /a folder/big\n'))
  t.absent(listed.includes('kept'), 'what is within the cut is part of the volume')
  const extracted = await run('state-0001')
  t.ok(extracted.includes('1 files') && !extracted.includes('incomplete'), extracted)
  const expected = Buffer.from(LARGE)
  SMALL.copy(expected, 3)
  t.alike(readFileSync(path.join(out, 'state-0001/files/a folder/big')), expected)
  t.absent(existsSync(path.join(out, 'state-0001/.state')), 'the copy it worked on is gone')
  t.ok(
    readFileSync(path.join(out, 'state-0001/operations.txt'), 'utf8').includes('write 10 B at 3')
  )
})

test('salvage - a damaged bundle is said, not guessed', async (t) => {
  const { directory, run } = await volume(t)
  writeFileSync(path.join(directory.salvage, `entry-${WRITER}-1.head`), 'nonsense')
  try {
    await run()
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof UserError && error.exitCode === 10, String(error))
  }
})
