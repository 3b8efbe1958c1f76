import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { checkState } from '../../../src/fs/check.ts'
import type { Op, WriteOp } from '../../../src/fs/op.ts'
import type { Epoch, Ino, SegmentId, Seq } from '../../../src/fs/primitives.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { StateDamagedError } from '../../../src/fs/state/state-damaged-error.ts'
import type { StateStore } from '../../../src/fs/state/state-store.ts'
import { name, WRITER } from '../fixture.ts'

const ROOT = 1 as Ino
const epoch = 3 as Epoch
const time = { sec: 1, nsec: 2 }

function createOp(number: number, type = 0o100000): Op {
  return {
    type: 'create',
    parent: ROOT,
    name: name(`n${number}`),
    ino: (2 ** 45 + number) as Ino,
    mode: type | 0o644,
    uid: 0,
    gid: 0,
    rdev: 0,
    target: new Uint8Array(0),
    cookie: 3 + number,
    time
  }
}

function writeOp(number: number, offset: number, length: number, sliceOffset: number): WriteOp {
  const segment = (2 ** 44) as SegmentId
  const slice = { segment, offset: sliceOffset, length, crc32: 1, sha256: Buffer.alloc(32, 1) }
  return { type: 'write', ino: (2 ** 45 + number) as Ino, offset, slices: [slice], time }
}

function apply(state: StateStore, op: Op): void {
  state.apply(op)
}

function commit(state: StateStore, seq: number): void {
  state.commit({ epoch, applied: new Map([[WRITER, seq as Seq]]) })
}

/** What is on disk now, as a crash would leave it. */
function copyCrashed(from: string, to: string, walBytes = Number.MAX_SAFE_INTEGER): void {
  mkdirSync(to, { recursive: true })
  copyFileSync(join(from, 'state.db'), join(to, 'state.db'))
  const wal = join(from, 'state.db-wal')
  if (!existsSync(wal)) return
  copyFileSync(wal, join(to, 'state.db-wal'))
  if (statSync(wal).size > walBytes) truncateSync(join(to, 'state.db-wal'), walBytes)
}

test('state-store - whoever looks finds the work done that was put off', async (t) => {
  const looks: Record<string, (state: StateStore) => unknown> = {
    inode: (state) => state.inode((2 ** 45 + 1) as Ino),
    extents: (state) => state.extents((2 ** 45 + 1) as Ino, 0, 100),
    nextData: (state) => state.nextData((2 ** 45 + 1) as Ino, 0),
    counts: (state) => state.counts(),
    digest: (state) => state.digest(),
    freed: (state) => state.freedBatches(10),
    check: (state) => checkState(state),
    next: (state) => {
      apply(state, writeOp(1, 20, 30, 500))
      return state.digest()
    },
    committed: (state) => {
      commit(state, 9)
      return state.database.prepare('SELECT offset, length FROM extent ORDER BY offset').all()
    }
  }
  for (const [what, look] of Object.entries(looks)) {
    const [soon, now] = [openState(await t.tmp()), openState(await t.tmp())]
    for (const state of [soon, now]) {
      apply(state, createOp(1))
      apply(state, writeOp(1, 0, 40, 0))
    }
    soon.applySoon(writeOp(1, 0, 40, 100))
    soon.applySoon(writeOp(1, 10, 50, 200))
    apply(now, writeOp(1, 0, 40, 100))
    apply(now, writeOp(1, 10, 50, 200))
    t.alike(look(soon), look(now), what)
    for (const state of [soon, now]) state.close()
  }
})

test('state-store - work that was put off and fails is thrown at who looks, and nothing is committed', async (t) => {
  for (const finish of [
    (state: StateStore) => state.finishApply(),
    (state: StateStore) => state.inode(ROOT),
    (state: StateStore) => commit(state, 1)
  ]) {
    const state = openState(await t.tmp())
    state.applySoon(writeOp(7, 0, 10, 0))
    t.exception(() => finish(state), /inode/)
    t.exception(() => state.finishApply(), /failed before/)
    t.exception(() => state.inode(ROOT), /failed before/, 'an answered op would be missing')
    t.exception(() => commit(state, 2), /failed before/)
    state.close()
  }
})

test('state-store - a new one has an empty root directory', async (t) => {
  const state = openState(await t.tmp())
  t.teardown(() => state.close())
  t.is(state.inode(ROOT)?.mode, 0o40755)
  t.is(state.inode(ROOT)?.nlink, 2)
  t.ok(state.isEmptyDirectory(ROOT))
  t.alike(state.counts(), { inodes: 1, dataBytes: 0 })
  t.alike(state.position(), { epoch: 0, applied: new Map() })
  t.alike(checkState(state), [])
})

test('state-store - what is looked at again is what it is now', async (t) => {
  const state = openState(await t.tmp())
  t.teardown(() => state.close())
  const listed = (after = 2) => state.list(ROOT, after, 10).map((dentry) => String(dentry.name))
  const isThere = (number: number) => state.dentry(ROOT, name(`n${number}`)) !== undefined
  t.alike([listed(), isThere(1)], [[], false])
  apply(state, createOp(1))
  t.alike([listed(), isThere(1)], [['n1'], true])
  apply(state, createOp(2))
  t.alike([listed(), listed(4), isThere(2)], [['n1', 'n2'], ['n2'], true])
  const gone = (2 ** 45 + 1) as Ino
  apply(state, { type: 'unlink', parent: ROOT, name: name('n1'), ino: gone, time })
  t.alike([listed(), isThere(1)], [['n2'], false])
})

test('state-store - equal ops give equal digests, other ops other ones', async (t) => {
  const a = openState(join(await t.tmp(), 'a.db'))
  const b = openState(join(await t.tmp(), 'b.db'))
  t.teardown(() => a.close())
  t.teardown(() => b.close())
  t.is(a.digest(), b.digest())
  for (const state of [a, b]) {
    apply(state, createOp(1))
    apply(state, writeOp(1, 0, 10, 0))
  }
  t.is(a.digest(), b.digest())
  apply(a, createOp(2))
  t.not(a.digest(), b.digest())
})

test('state-store - writes of two members to disjoint ranges commute', async (t) => {
  const a = openState(join(await t.tmp(), 'a.db'))
  const b = openState(join(await t.tmp(), 'b.db'))
  t.teardown(() => a.close())
  t.teardown(() => b.close())
  const early: Op = {
    ...(writeOp(1, 0, 10, 500) as Op & { type: 'write' }),
    time: { sec: 9, nsec: 0 }
  }
  const late: Op = {
    ...(writeOp(1, 90, 20, 600) as Op & { type: 'write' }),
    time: { sec: 9, nsec: 5 }
  }
  for (const state of [a, b]) {
    apply(state, createOp(1))
    apply(state, writeOp(1, 0, 100, 0))
  }
  apply(a, early)
  apply(a, late)
  apply(b, late)
  apply(b, early)
  t.is(a.digest(), b.digest())
  t.alike(a.inode((2 ** 45 + 1) as Ino)?.mtime, { sec: 9, nsec: 5 })
})

test('state-store - what is local does not enter the digest', async (t) => {
  const a = openState(join(await t.tmp(), 'a.db'))
  t.teardown(() => a.close())
  apply(a, createOp(1))
  apply(a, writeOp(1, 0, 10, 0))
  apply(a, writeOp(1, 0, 10, 10))
  const digest = a.digest()
  const [batch] = a.freedBatches(10)
  t.alike(batch?.slices, [{ segment: 2 ** 44, offset: 0, length: 10 }])
  a.forgetFreed(batch ? [batch.id] : [])
  commit(a, 2)
  t.is(a.digest(), digest)
  t.alike(a.freedBatches(10), [])
})

test('state-store - after a crash it is as of the last commit', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  t.teardown(() => state.close())
  apply(state, createOp(1))
  commit(state, 1)
  const digest = state.digest()
  apply(state, createOp(2))
  apply(state, writeOp(1, 0, 10, 0))
  const crashed = join(await t.tmp(), 'crashed')
  copyCrashed(directory, crashed)
  const reopened = openState(crashed)
  t.teardown(() => reopened.close())
  t.is(reopened.digest(), digest)
  t.alike(reopened.position(), { epoch, applied: new Map([[WRITER, 1]]) })
  t.alike(reopened.counts(), { inodes: 2, dataBytes: 0 })
  t.alike(checkState(reopened), [])
})

test('state-store - a WAL torn anywhere gives the state of one commit', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  t.teardown(() => state.close())
  const digests = [state.digest()]
  for (let seq = 1; seq <= 4; seq++) {
    for (let i = 0; i < 40; i++) apply(state, createOp(seq * 100 + i))
    apply(state, writeOp(seq * 100, 0, 10, seq * 10))
    commit(state, seq)
    digests.push(state.digest())
  }
  const walBytes = statSync(join(directory, 'state.db-wal')).size
  const scratch = await t.tmp()
  const seen = new Set<number>()
  for (let cut = 0, at = 0; cut <= walBytes + 1000; cut += 1777, at++) {
    const crashed = join(scratch, String(at))
    copyCrashed(directory, crashed, cut)
    const reopened = openState(crashed)
    const seq = reopened.position().applied.get(WRITER) ?? 0
    seen.add(seq)
    if (reopened.digest() !== digests[seq]) t.fail(`cut at ${cut}: not the state of commit ${seq}`)
    if (checkState(reopened).length > 0) t.fail(`cut at ${cut}: ${checkState(reopened)}`)
    reopened.close()
  }
  t.alike([...seen].sort(), [0, 1, 2, 3, 4])
})

test('state-store - damage is a clear error, never another state', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  for (let i = 1; i < 400; i++) apply(state, createOp(i))
  commit(state, 1)
  state.close()
  const file = join(directory, 'state.db')
  const good = readFileSync(file)
  const broken = join(await t.tmp(), 'state.db')
  const bad = Buffer.from(good)
  bad.fill(0x5a, 4096 * 3, 4096 * 3 + 2000)
  writeFileSync(broken, bad)
  t.exception(() => openState(broken), StateDamagedError)
  writeFileSync(broken, 'this is not a database, whatever its name says'.repeat(20))
  t.exception(() => openState(broken), StateDamagedError)
})

test('state-store - a database of another program or version is refused', async (t) => {
  const file = join(await t.tmp(), 'state.db')
  const state = openState(file)
  state.close()
  const bytes = readFileSync(file)
  const other = Buffer.from(bytes)
  other.writeUInt32BE(99, 60)
  writeFileSync(file, other)
  t.exception(() => openState(file), /schema version 99/)
  other.writeUInt32BE(1, 68)
  writeFileSync(file, other)
  t.exception(() => openState(file), /not a tandemfs state database/)
})

test('state-store - an op that contradicts the state is refused and ends the store', async (t) => {
  const state = openState(await t.tmp())
  t.teardown(() => state.close())
  apply(state, createOp(1))
  const digest = state.digest()
  t.exception(() => apply(state, createOp(1)), /create over a dentry/)
  t.is(state.digest(), digest, 'nothing of the op was applied')
  t.exception(() => apply(state, createOp(2)), /failed before/)
  t.exception(() => commit(state, 1), /failed before/)
})

test('state-store - local tables of others are committed together with the position', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  state.database.exec('CREATE TABLE local_note (value INTEGER)')
  commit(state, 1)
  state.database.exec('INSERT INTO local_note VALUES (5)')
  const crashed = join(await t.tmp(), 'crashed')
  copyCrashed(directory, crashed)
  commit(state, 2)
  state.close()
  const count = (path: string) => {
    const one = openState(path)
    const rows = one.database.prepare('SELECT count(*) FROM local_note').pluck().get()
    one.close()
    return rows
  }
  t.is(count(crashed), 0)
  t.is(count(directory), 1)
})
