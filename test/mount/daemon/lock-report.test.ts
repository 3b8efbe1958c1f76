import test from 'brittle'
import { LOCK_END, type LockRow } from '../../../src/fs/ports/lock-service.ts'
import { type Ino, type MemberId, ROOT_INO } from '../../../src/fs/primitives.ts'
import { countLocks, lockRows } from '../../../src/mount/daemon/lock-report.ts'
import { name, openFixture, root } from '../../fs/fixture.ts'

const SELF = 1 as MemberId
const OTHER = 2 as MemberId

function row(ino: Ino, fields: Partial<LockRow> = {}): LockRow {
  return {
    ino,
    kind: 'record',
    type: 'write',
    start: 0n,
    end: LOCK_END,
    member: SELF,
    pid: process.pid,
    owner: 1n,
    state: 'held',
    ageMs: 10.4,
    waiters: 1,
    ...fields
  }
}

test('lock report - paths, names and who waits for whom', async (t) => {
  const { fs, state } = openFixture(await t.tmp())
  t.teardown(() => state.close())
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, a.ino, name('b'), 0o755)
  const deep = await fs.create(root, b.ino, name('deep file'), 0o644, 2)
  const top = await fs.create(root, ROOT_INO, name('top'), 0o644, 2)
  const gone = await fs.create(root, ROOT_INO, name('gone'), 0o644, 2)
  await fs.unlink(root, ROOT_INO, name('gone'))
  const rows = [
    row(deep.attr.ino, { end: 9n, command: 'node' }),
    row(deep.attr.ino, { member: OTHER, pid: 7, state: 'waiting', waiters: 0 }),
    row(deep.attr.ino, { member: OTHER, pid: 8, start: 20n, state: 'waiting', waiters: 0 }),
    row(deep.attr.ino, { kind: 'flock', type: 'read' }),
    row(top.attr.ino, { type: 'read' }),
    row(gone.attr.ino)
  ]
  const nameOf = (member: MemberId): string => (member === SELF ? 'alpha' : 'beta')
  const source = { rows, state, nameOf }
  const { locks, omitted } = await lockRows(source, undefined)
  t.is(omitted, 0)
  t.alike(
    locks.map((lock) => lock.path),
    ['a/b/deep file', 'a/b/deep file', 'a/b/deep file', 'a/b/deep file', 'top', null]
  )
  const [held, waiting, turn] = locks
  t.is(held?.end, '9')
  t.is(waiting?.end, null)
  t.is(held?.command, 'node')
  t.is(waiting?.command, null)
  t.is(held?.ageMs, 10)
  t.alike(waiting?.waitsFor, [{ member: 'alpha', pid: process.pid }])
  t.alike(turn?.waitsFor, [])
  t.alike(countLocks(rows), { held: 4, waiting: 2 })

  const below = async (path: string): Promise<number> => {
    return (await lockRows(source, path)).locks.length
  }
  t.is(await below('a'), 4)
  t.is(await below('a/b/deep file'), 4)
  t.is(await below('top'), 1)
  t.is(await below('to'), 0)
  t.is(await below('nowhere/at/all'), 0)
})

test('lock report - a name is found among more than one piece of them', async (t) => {
  const { fs, state } = openFixture(await t.tmp())
  t.teardown(() => state.close())
  const directory = await fs.mkdir(root, ROOT_INO, name('many'), 0o755)
  let last: Ino = ROOT_INO
  for (let i = 0; i < 4100; i++) {
    last = (await fs.mknod(root, directory.ino, name(`f${10_000 + i}`), 0o100644, 0)).ino
  }
  const source = { rows: [row(last)], state, self: SELF, nameOf: () => 'alpha' }
  t.is((await lockRows(source, undefined)).locks[0]?.path, 'many/f14099')
})
