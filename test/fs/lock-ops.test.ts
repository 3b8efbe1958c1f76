import test from 'brittle'
import { FsError } from '../../src/fs/errno.ts'
import { OpenFiles } from '../../src/fs/open-files.ts'
import { LOCK_END, type LockRequest } from '../../src/fs/ports/lock-service.ts'
import { type Ino, ROOT_INO } from '../../src/fs/primitives.ts'
import { errnoOf, type Fixture, name, openFixture, root } from './fixture.ts'

const O_RDWR = 2
const whole = {
  kind: 'record',
  type: 'write',
  start: 0n,
  end: LOCK_END,
  owner: 1n,
  pid: 10
} as const

function lock(fields: Partial<LockRequest>): LockRequest {
  return { ...whole, ...fields }
}

async function file(fixture: Fixture) {
  const { attr, handle } = await fixture.fs.create(root, ROOT_INO, name('f'), 0o644, O_RDWR)
  return { ino: attr.ino, handle, second: await fixture.fs.open(root, attr.ino, O_RDWR) }
}

test('lock-ops - FLUSH ends the record locks of its owner only', async (t) => {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close())
  const { fs, locks } = fixture
  const { ino, handle, second } = await file(fixture)
  const now = { wait: false }
  await fs.setlk(root, ino, handle, lock({ owner: 1n, end: 9n }), now)
  await fs.setlk(root, ino, handle, lock({ owner: 2n, start: 10n, end: 19n }), now)
  await fs.setlk(root, ino, handle, lock({ owner: 1n, kind: 'flock' }), now)
  await fs.flush(root, ino, second, 1n)
  t.alike(
    locks.list().map((row) => [row.kind, row.owner]),
    [
      ['record', 2n],
      ['flock', 1n]
    ],
    'through whichever handle they came'
  )
  await fs.release(ino, second)
  t.is(locks.list().length, 2)
  await fs.release(ino, handle)
  t.is(locks.list().length, 0, 'the last close of the open file ends what is left')
})

test('lock-ops - GETLK names processes of this member only', async (t) => {
  const fixture = openFixture(await t.tmp(), {}, undefined, {}, 3 as never)
  t.teardown(() => fixture.state.close())
  const { fs, locks } = fixture
  const { ino, handle } = await file(fixture)
  await fs.setlk(root, ino, handle, lock({ type: 'read', start: 5n, end: 6n }), { wait: false })
  const other = lock({ owner: 2n, pid: 11 })
  t.alike(await fs.getlk(root, ino, handle, other), { type: 'read', start: 5n, end: 6n, pid: 10 })
  t.is(await fs.getlk(root, ino, handle, lock({})), undefined)
  locks.getlk = () => ({ ...whole, member: 4 as never })
  t.is((await fs.getlk(root, ino, handle, other))?.pid, 0)
})

test('lock-ops - a lost lock poisons the handles it came through', async (t) => {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close())
  const { fs } = fixture
  const { ino, handle, second } = await file(fixture)
  await fs.setlk(root, ino, handle, lock({ owner: 1n }), { wait: false })
  fs.loseLocks([{ ino, kind: 'record', owner: 1n }])
  const attempts = [
    () => fs.read(root, ino, handle, 0, 1),
    () => fs.setlk(root, ino, handle, lock({}), { wait: false }),
    () => fs.getlk(root, ino, handle, lock({})),
    () => fs.setlk(root, ino, handle, lock({ type: 'unlock' }), { wait: false }),
    () => fs.flush(root, ino, handle, 7n)
  ]
  for (const attempt of attempts) t.is(await errnoOf(attempt), 'EIO')
  t.is(await errnoOf(() => fs.read(root, ino, second, 0, 1)), 'ok')
})

test('lock-ops - a lost record lock poisons its owner, until it closes the file', async (t) => {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close())
  const { fs } = fixture
  const { ino, handle, second } = await file(fixture)
  await fs.setlk(root, ino, handle, lock({ owner: 1n }), { wait: false })
  fs.loseLocks([{ ino, kind: 'record', owner: 1n }])
  const owner = { ...root, lockOwner: 1n }
  const options = { append: false, killSuidGid: false }
  const attempts = [
    () => fs.read(owner, ino, second, 0, 1),
    () => fs.write(owner, ino, second, 0, Buffer.from('x'), options),
    () => fs.setlk(root, ino, second, lock({ owner: 1n }), { wait: false })
  ]
  for (const attempt of attempts) t.is(await errnoOf(attempt), 'EIO', 'through another handle')
  t.is(await errnoOf(() => fs.read({ ...root, lockOwner: 2n }, ino, second, 0, 1)), 'ok')
  await fs.flush(root, ino, second, 1n)
  for (const attempt of attempts) t.is(await errnoOf(attempt), 'ok')
  t.is(
    await errnoOf(() => fs.read(root, ino, handle, 0, 1)),
    'EIO',
    'the handle until it is closed'
  )
})

test('lock-ops - a wait whose handle is poisoned meanwhile answers EIO', async (t) => {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close())
  const { fs } = fixture
  const { ino, handle, second } = await file(fixture)
  await fs.setlk(root, ino, handle, lock({ owner: 1n }), { wait: false })
  const waiting = errnoOf(() => fs.setlk(root, ino, second, lock({ owner: 2n }), { wait: true }))
  fs.poisonHandle(second)
  await fs.setlk(root, ino, handle, lock({ owner: 1n, type: 'unlock' }), { wait: false })
  t.is(await waiting, 'EIO')
  await fs.release(ino, second)
  t.is(fixture.locks.list().length, 0, 'and what it got goes with its handle')
})

test('lock-ops - a drop that cannot be told is logged, not thrown', async (t) => {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close())
  const { fs, locks } = fixture
  const { ino, handle } = await file(fixture)
  await fs.setlk(root, ino, handle, lock({ owner: 1n }), { wait: false })
  locks.releaseOwner = () => Promise.reject(new FsError('EIO', 'no authority'))
  fs.dropLocks(ino, 1n)
  fs.dropLocks(ino, 99n)
  await new Promise((resolve) => setImmediate(resolve))
  t.pass()
})

test('lock-ops - what was used under a contended lock is given up before the unlock', async (t) => {
  const fixture = openFixture(await t.tmp())
  const { fs, locks, tokens } = fixture
  const { ino, handle } = await file(fixture)
  const section = async () => {
    await fs.setlk(root, ino, handle, lock({}), { wait: true })
    await fs.read(root, ino, handle, 0, 4)
    const options = { append: false, killSuidGid: false }
    await fs.write(root, ino, handle, 8, Buffer.from('abcd'), options)
  }
  await section()
  await fs.setlk(root, ino, handle, lock({ type: 'unlock' }), { wait: false })
  t.alike(tokens.givenUp, [], 'nobody else wants it')
  locks.contended = true
  await section()
  await fs.setlk(root, ino, handle, lock({ type: 'unlock' }), { wait: false })
  t.alike(tokens.givenUp.splice(0), [{ ino, range: { start: 0, end: 12 } }])
  await section()
  await fs.flush(root, ino, handle, lock({}).owner)
  t.is(tokens.givenUp.splice(0).length, 1, 'close unlocks too')
  await fs.flush(root, ino, handle, lock({}).owner)
  await fs.release(ino, handle)
  t.alike(tokens.givenUp, [], 'once')
  fixture.state.close()
})

test('open-files - lock owners are noted once and forgotten by owner or handle', (t) => {
  const files = new OpenFiles()
  const ino = 5 as Ino
  const handle = files.open(ino, O_RDWR, false)
  for (let i = 0; i < 3; i++) files.noteLock(ino, handle, { kind: 'record', owner: 1n })
  files.noteLock(ino, handle, { kind: 'flock', owner: 1n })
  t.is(files.locksOf(handle).length, 2)
  t.is(files.forgetRecordOwner(ino, 1n), true)
  t.is(files.forgetRecordOwner(ino, 1n), false)
  t.alike(files.locksOf(handle), [{ kind: 'flock', owner: 1n }])
})
