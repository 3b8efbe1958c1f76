import test from 'brittle'
import { FsError } from '../../src/fs/errno.ts'
import { OpenFiles } from '../../src/fs/open-files.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { makeFile, NO_FLAGS, openChecked, PLAIN, readText } from './checked-fixture.ts'
import { errnoOf, found, freedSlices, name, reapOrphans, root, user } from './fixture.ts'

const O_TRUNC = 0o1000

test('handle-ops - an unlinked file lives until its last close, then is reaped', async (t) => {
  const fixture = await openChecked(t)
  const { fs, state } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  await fs.unlink(root, ROOT_INO, name('a'))
  t.alike(state.orphans(), [ino])
  t.alike(fs.closedForGood([ino]), [], 'it is open here')
  await fs.write(root, ino, handle, 5, name(' you'), PLAIN)
  t.is(await readText(fixture, ino, handle), 'hello you')
  t.is((await fs.getattr(root, ino)).nlink, 0)
  t.is(await errnoOf(() => fs.link(root, ino, ROOT_INO, name('b'))), 'ENOENT')
  const again = await fs.open(root, ino, 0)
  await fs.release(ino, handle)
  t.alike(fs.closedForGood([ino]), [], 'once more')
  await fs.release(ino, again)
  t.alike(fs.closedForGood([ino]), [ino])
  t.is(await errnoOf(() => fs.open(root, ino, 0)), 'ESTALE', 'RULES 27')
  t.is(await errnoOf(() => fs.setattr(root, ino, { mode: 0 })), 'ESTALE', 'its reap is under way')
  t.is(await errnoOf(() => fs.setxattr(root, ino, name('user.a'), name('v'), 0)), 'ESTALE')
  t.alike(await reapOrphans(fixture), [ino])
  t.alike(state.orphans(), [])
  t.is(state.counts().dataBytes, 0)
  t.is(freedSlices(state).length, 2)
  t.is(await errnoOf(() => fs.getattr(root, ino)), 'ESTALE')
})

test('handle-ops - a file replaced by rename and a removed directory become orphans', async (t) => {
  const fixture = await openChecked(t)
  const { fs, state } = fixture
  const a = await fs.mknod(root, ROOT_INO, name('a'), 0o100644, 0)
  await fs.mknod(root, ROOT_INO, name('b'), 0o100644, 0)
  await fs.rename(root, ROOT_INO, name('b'), ROOT_INO, name('a'), NO_FLAGS)
  const d = await fs.mkdir(root, ROOT_INO, name('d'), 0o755)
  const handle = await fs.opendir(root, d.ino)
  await fs.rmdir(root, ROOT_INO, name('d'))
  t.alike(fs.closedForGood(state.orphans()), [a.ino])
  t.is(await errnoOf(() => fs.mkdir(root, d.ino, name('x'), 0o755)), 'ENOENT')
  t.is(await errnoOf(() => found(fs.lookup(root, d.ino, name('x')))), 'ENOENT')
  await fs.releasedir(d.ino, handle)
  t.alike(fs.closedForGood(state.orphans()), [a.ino, d.ino])
})

test('handle-ops - handles of an inode that is gone answer ESTALE', async (t) => {
  const fixture = await openChecked(t)
  const { fs, state } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.unlink(root, ROOT_INO, name('a'))
  state.apply({ type: 'reap', ino })
  t.is(await errnoOf(() => fs.read(root, ino, handle, 0, 1)), 'ESTALE')
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN)), 'ESTALE')
  t.is(await errnoOf(() => fs.fsync(root, ino, handle, false)), 'ESTALE')
  t.is(await errnoOf(() => fs.flush(root, ino, handle, 0n)), 'ESTALE')
  await fs.release(ino, handle)
  t.is(await errnoOf(() => fs.release(ino, handle)), 'EBADF')
})

test('handle-ops - bytes lost of a file that nobody has open are told to who names it, once', async (t) => {
  const openFiles = new OpenFiles()
  const fixture = await openChecked(t, { openFiles })
  const { fs } = fixture
  const { ino, handle } = await makeFile(fixture, 'temporary')
  const whole = await makeFile(fixture, 'file')
  for (const file of [{ ino, handle }, whole]) await fs.release(file.ino, file.handle)
  const rename = () =>
    fs.rename(root, ROOT_INO, name('temporary'), ROOT_INO, name('file'), NO_FLAGS)
  const link = () => fs.link(root, ino, ROOT_INO, name('other'))
  openFiles.poisonData(ino)
  t.is(await errnoOf(rename), 'EIO')
  t.is((await fs.lookup(root, ROOT_INO, name('file')))?.ino, whole.ino, 'not replaced')
  openFiles.poisonData(ino)
  await fs.release(ino, await fs.open(root, ino, O_TRUNC | 1))
  t.is(await errnoOf(rename), 'ok', 'it was written anew')
  openFiles.poisonData(ino)
  t.is(await errnoOf(link), 'EIO')
  openFiles.poisonData(ino)
  await fs.setattr(root, ino, { size: 0 })
  t.is(await errnoOf(link), 'ok')
  openFiles.poisonInode(ino)
  t.is(await errnoOf(() => fs.link(root, ino, ROOT_INO, name('third'))), 'ok', 'no bytes were lost')
})

test('handle-ops - lost bytes are still to be told when the file could not be written anew', async (t) => {
  const openFiles = new OpenFiles()
  const fixture = await openChecked(t, { openFiles })
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.release(ino, handle)
  for (const truncate of [
    () => fs.open(root, ino, O_TRUNC | 1),
    () => fs.setattr(root, ino, { size: 0 })
  ]) {
    openFiles.poisonData(ino)
    log.refusal = new FsError('ENOSPC')
    t.is(await errnoOf(truncate), 'ENOSPC')
    t.is(fs.openHandleCount, 0)
    t.is(await errnoOf(() => fs.link(root, ino, ROOT_INO, name('b'))), 'EIO')
  }
})

test('handle-ops - a poisoned handle answers EIO until it is closed', async (t) => {
  const fixture = await openChecked(t)
  const { fs } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  fs.poisonInode(ino)
  t.is(await errnoOf(() => fs.read(root, ino, handle, 0, 1)), 'EIO')
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN)), 'EIO')
  t.is(await errnoOf(() => fs.setattr(root, ino, { size: 0, handle })), 'EIO')
  t.is(await errnoOf(() => fs.fsync(root, ino, handle, false)), 'EIO')
  t.is(await errnoOf(() => fs.flush(root, ino, handle, 0n)), 'EIO')
  await fs.release(ino, handle)
  const fresh = await fs.open(root, ino, 2)
  t.is(await fs.write(root, ino, fresh, 0, name('x'), PLAIN), 1)
  fs.poisonHandle(fresh)
  t.is(await errnoOf(() => fs.read(root, ino, fresh, 0, 1)), 'EIO')
  await fs.release(ino, fresh)
  t.is(fs.openHandleCount, 0)
})

test('handle-ops - a file without a name lives until its close, or gets a name once', async (t) => {
  const fixture = await openChecked(t)
  const { fs, state } = fixture
  const umasked = { ...user, umask: 0o027 }
  const { attr, handle } = await fs.tmpfile(umasked, ROOT_INO, 0o4666, 0o20200002)
  t.alike([attr.nlink, attr.mode, attr.uid], [0, 0o104640, 1000])
  await fs.write(user, attr.ino, handle, 0, name('text'), PLAIN)
  t.is((await fs.link(user, attr.ino, ROOT_INO, name('named'))).nlink, 1)
  t.is((await found(fs.lookup(root, ROOT_INO, name('named')))).size, 4)
  await fs.unlink(root, ROOT_INO, name('named'))
  const again = () => fs.link(user, attr.ino, ROOT_INO, name('again'))
  t.is(await errnoOf(again), 'ENOENT', 'as any other unlinked file')
  const other = await fs.tmpfile(user, ROOT_INO, 0o600, 0o20200202)
  const link = () => fs.link(user, other.attr.ino, ROOT_INO, name('no'))
  t.is(await errnoOf(link), 'ENOENT', 'O_EXCL: never to have a name')
  await fs.release(attr.ino, handle)
  await fs.release(other.attr.ino, other.handle)
  t.alike(fs.closedForGood(state.orphans()), [attr.ino, other.attr.ino])
  const removed = await fs.mkdir(root, ROOT_INO, name('d'), 0o755)
  await fs.rmdir(root, ROOT_INO, name('d'))
  t.is(await errnoOf(() => fs.tmpfile(user, removed.ino, 0o600, 2)), 'ENOENT')
})
