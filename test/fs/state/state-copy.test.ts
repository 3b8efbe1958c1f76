import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import test from 'brittle'
import type { Op, Slice } from '../../../src/fs/op.ts'
import type { Epoch, Ino, SegmentId, Seq } from '../../../src/fs/primitives.ts'
import { Checkpointer } from '../../../src/fs/state/checkpointer.ts'
import { DueSliceTable } from '../../../src/fs/state/due-slice-table.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { freedSlices, name, WRITER } from '../fixture.ts'

const TIME = { sec: 1, nsec: 1 }
const FIRST_INO = 2 ** 45

function create(i: number): Op {
  const dentry = {
    parent: 1 as Ino,
    name: name(`n${i}`),
    ino: (FIRST_INO + i) as Ino,
    cookie: 3 + i
  }
  const attributes = { mode: 0o100644, uid: 0, gid: 0, rdev: 0, target: new Uint8Array(0) }
  return { type: 'create', ...dentry, ...attributes, time: TIME }
}

function sliceOf(i: number): Slice {
  const place = { segment: 5 as SegmentId, offset: i * 10, length: 10 }
  return { ...place, crc32: i, sha256: Buffer.alloc(32, i) }
}

function write(i: number): Op {
  const ino = (FIRST_INO + i) as Ino
  return { type: 'write', ino, offset: 0, slices: [sliceOf(i)], time: TIME }
}

/** A state of ten files with data, and one whose data was replaced; seq 1 committed, 2 not. */
async function filled(directory: string) {
  const state = openState(directory)
  const checkpointer = new Checkpointer({ state })
  for (let i = 0; i < 10; i++) {
    state.apply(create(i))
    state.apply(write(i))
  }
  state.apply({ ...write(3), slices: [sliceOf(20)] } as Op)
  state.database.exec('CREATE TABLE local_secret (x); INSERT INTO local_secret VALUES (1)')
  state.commit({ epoch: 4 as Epoch, applied: new Map([[WRITER, 1 as Seq]]) })
  const digest = state.digest()
  state.apply(create(11))
  return { state, checkpointer, digest }
}

test('state copy - is the last commit, with all its slices due and nothing local', async (t) => {
  const { state, checkpointer, digest } = await filled(await t.tmp())
  const file = join(await t.tmp(), 'copy')
  const copied = await checkpointer.copyTo(file)
  t.ok(copied.bytes > 4096)
  t.is(copied.sha256.length, 32)
  const position = await checkpointer.adopt(file)
  t.alike(position, { epoch: 4, applied: new Map([[WRITER, 1]]) })
  const adopted = openState(file)
  t.is(adopted.digest(), digest)
  t.alike(freedSlices(adopted), [], 'what the source would punch')
  t.absent(
    adopted.database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'local_secret'").get()
  )
  const due = new DueSliceTable(adopted.database)
  t.alike(due.left, { slices: 10, bytes: 100 })
  const slices = due.after(undefined, 100)
  t.alike(
    slices.map(({ offset }) => offset),
    [0, 10, 20, 40, 50, 60, 70, 80, 90, 200]
  )
  t.alike(
    due.after(slices[8], 5).map(({ offset }) => offset),
    [200]
  )
  for (const slice of slices.slice(1)) due.settle(slice)
  due.settle(sliceOf(9))
  t.alike(due.left, { slices: 1, bytes: 10 })
  adopted.commit(position)
  adopted.close()
  const again = openState(file)
  t.alike(new DueSliceTable(again.database).left, { slices: 1, bytes: 10 }, 'kept by the commit')
  again.close()
  await checkpointer.close()
  state.close()
})

test('state copy - checkpoints go on around it, the loop writes on beside it', async (t) => {
  const { state, checkpointer, digest } = await filled(await t.tmp())
  const file = join(await t.tmp(), 'copy')
  const copying = checkpointer.copyTo(file)
  const checkpoint = checkpointer.run()
  state.commit({ epoch: 4 as Epoch, applied: new Map([[WRITER, 2 as Seq]]) })
  await copying
  t.alike((await checkpoint).applied, new Map([[WRITER, 2]]), 'waited for the copy')
  await checkpointer.adopt(file)
  const adopted = openState(file)
  const { applied } = adopted.position()
  t.is(adopted.digest(), applied.get(WRITER) === 1 ? digest : state.digest(), 'one commit of it')
  adopted.close()
  await checkpointer.close()
  state.close()
})

test('state copy - what is no sound state is refused with the reason', async (t) => {
  const { state, checkpointer } = await filled(await t.tmp())
  const directory = await t.tmp()
  const refusal = (file: string): Promise<string> =>
    checkpointer.adopt(file).then(
      () => 'taken',
      (error: Error) => error.message
    )
  const foreign = join(directory, 'foreign')
  new BetterSqlite3(foreign).exec('CREATE TABLE t (x)').close()
  t.ok((await refusal(foreign)).endsWith('it is not a state database'))
  const damaged = join(directory, 'damaged')
  const { bytes } = await checkpointer.copyTo(damaged)
  const fd = openSync(damaged, 'r+')
  for (let at = 4096; at < bytes; at += 4096) writeSync(fd, Buffer.alloc(64, 0xee), 0, 64, at)
  t.not(await refusal(damaged), 'taken')
  const inside = join(directory, 'inside')
  await checkpointer.copyTo(inside)
  const names = new BetterSqlite3(inside)
  const page = names
    .prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'dentry'")
    .pluck()
    .get()
  names.close()
  const other = openSync(inside, 'r+')
  writeSync(other, Buffer.alloc(64, 0xee), 0, 64, (Number(page) - 1) * 4096)
  closeSync(other)
  t.ok((await refusal(inside)).includes('its database is damaged'), 'where nothing else looks')
  t.alike((await checkpointer.run()).epoch, 4, 'the worker goes on')
  await checkpointer.close()
  state.close()
})
