import type { Test } from 'brittle'
import test from 'brittle'
import { checkState } from '../../src/fs/check.ts'
import type { FilesystemOptions } from '../../src/fs/filesystem.ts'
import type { HandleId } from '../../src/fs/filesystem-api.ts'
import { SLICE_MAX_BYTES } from '../../src/fs/op.ts'
import { RENAME_TOKEN } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import type { Fixture } from './fixture.ts'
import { errnoOf, INLINE, name, openFixture, reapOrphans, root, user, WRITER } from './fixture.ts'

const O_RDWR_CREAT = 0o102
const O_EXCL = 0o200
const NO_FLAGS = { noReplace: false, exchange: false }
const PLAIN = { append: false, killSuidGid: false }
const APPEND = { append: true, killSuidGid: false }

async function open(t: Test, options: FilesystemOptions = {}): Promise<Fixture> {
  const fixture = openFixture(await t.tmp(), options)
  t.teardown(() => {
    const problems = checkState(fixture.state)
    fixture.state.close()
    if (problems.length > 0) throw new Error(problems.join('; '))
    if (fixture.tokens.held !== 0) throw new Error(`${fixture.tokens.held} guards not released`)
  })
  return fixture
}

async function makeFile(
  { fs }: Fixture,
  text: string,
  parent: Ino = ROOT_INO
): Promise<{ ino: Ino; handle: HandleId }> {
  const { attr, handle } = await fs.create(root, parent, name(text), 0o644, O_RDWR_CREAT)
  return { ino: attr.ino, handle }
}

async function readText({ fs }: Fixture, ino: Ino, handle: HandleId): Promise<string> {
  return Buffer.from(await fs.read(root, ino, handle, 0, 1 << 20)).toString('latin1')
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

test('filesystem - a name that changes hands during the wait is asked for again', async (t) => {
  const fixture = await open(t)
  const { fs, tokens } = fixture
  const first = await makeFile(fixture, 'a')
  const second = await makeFile(fixture, 'b')
  let waits = 0
  tokens.whenAsked = async () => {
    if (waits++ > 0) return
    const { whenAsked } = tokens
    tokens.whenAsked = undefined
    await fs.rename(root, ROOT_INO, name('b'), ROOT_INO, name('a'), NO_FLAGS)
    tokens.whenAsked = whenAsked
  }
  await fs.unlink(root, ROOT_INO, name('a'))
  const asked = tokens.asked.map((wants) => wants.map(({ ino }) => ino))
  t.alike(asked.slice(-2), [
    [ROOT_INO, first.ino],
    [ROOT_INO, second.ino]
  ])
  tokens.whenAsked = undefined
  t.is((await fs.getattr(root, second.ino)).nlink, 0)
})

test('filesystem - names that never stand still end the attempt', async (t) => {
  const fixture = await open(t)
  const { fs, tokens } = fixture
  await makeFile(fixture, 'a')
  let round = 0
  tokens.whenAsked = async () => {
    const { whenAsked } = tokens
    tokens.whenAsked = undefined
    await makeFile(fixture, `new${round}`)
    await fs.rename(root, ROOT_INO, name(`new${round++}`), ROOT_INO, name('a'), NO_FLAGS)
    tokens.whenAsked = whenAsked
  }
  t.is(await errnoOf(() => fs.lookup(root, ROOT_INO, name('a'))), 'EIO')
  tokens.whenAsked = undefined
})

test('filesystem - only a directory that changes its parent takes the rename token', async (t) => {
  const { fs, tokens } = await open(t)
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, ROOT_INO, name('b'), 0o755)
  await fs.mknod(root, a.ino, name('f'), 0o100644, 0)
  await fs.mknod(root, a.ino, name('g'), 0o100644, 0)
  await fs.mkdir(root, a.ino, name('d'), 0o755)
  const asks = async (from: Ino, old: string, to: Ino, next: string, exchange = false) => {
    tokens.asked.length = 0
    tokens.whenAsked = async () => undefined
    await fs.rename(root, from, name(old), to, name(next), { noReplace: false, exchange })
    tokens.whenAsked = undefined
    t.ok(tokens.asked.flat().every(({ mode }) => mode === 'exclusive'))
    return tokens.asked.flat().some(({ ino }) => ino === RENAME_TOKEN)
  }
  t.is(await asks(a.ino, 'f', b.ino, 'f'), false, 'a file')
  t.is(await asks(a.ino, 'd', a.ino, 'e'), false, 'a directory in its parent')
  t.is(await asks(a.ino, 'e', b.ino, 'e'), true, 'a directory to another parent')
  t.is(await asks(a.ino, 'g', b.ino, 'e', true), true, 'a file in exchange for a directory')
})

test('filesystem - a directory never comes below itself', async (t) => {
  const { fs } = await open(t)
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, a.ino, name('b'), 0o755)
  const c = await fs.mkdir(root, b.ino, name('c'), 0o755)
  const move = (exchange: boolean, from: Ino, old: string, to: Ino, next: string) =>
    errnoOf(() => fs.rename(root, from, name(old), to, name(next), { noReplace: false, exchange }))
  t.is(await move(false, ROOT_INO, 'a', c.ino, 'x'), 'EINVAL')
  t.is(await move(false, ROOT_INO, 'a', a.ino, 'x'), 'EINVAL')
  t.is(await move(true, b.ino, 'c', ROOT_INO, 'a'), 'EINVAL')
  t.is(await move(false, b.ino, 'c', ROOT_INO, 'a'), 'ENOTEMPTY')
})

test('filesystem - an unlinked file lives until its last close, then is reaped', async (t) => {
  const fixture = await open(t)
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
  t.is(state.freedSlices(10).length, 2)
  t.is(await errnoOf(() => fs.getattr(root, ino)), 'ESTALE')
})

test('filesystem - a file replaced by rename and a removed directory become orphans', async (t) => {
  const fixture = await open(t)
  const { fs, state } = fixture
  const a = await fs.mknod(root, ROOT_INO, name('a'), 0o100644, 0)
  await fs.mknod(root, ROOT_INO, name('b'), 0o100644, 0)
  await fs.rename(root, ROOT_INO, name('b'), ROOT_INO, name('a'), NO_FLAGS)
  const d = await fs.mkdir(root, ROOT_INO, name('d'), 0o755)
  const handle = await fs.opendir(root, d.ino)
  await fs.rmdir(root, ROOT_INO, name('d'))
  t.alike(fs.closedForGood(state.orphans()), [a.ino])
  t.is(await errnoOf(() => fs.mkdir(root, d.ino, name('x'), 0o755)), 'ENOENT')
  t.is(await errnoOf(() => fs.lookup(root, d.ino, name('x'))), 'ENOENT')
  await fs.releasedir(d.ino, handle)
  t.alike(fs.closedForGood(state.orphans()), [a.ino, d.ino])
})

test('filesystem - handles of an inode that is gone answer ESTALE', async (t) => {
  const fixture = await open(t)
  const { fs, state, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.unlink(root, ROOT_INO, name('a'))
  state.apply({ type: 'reap', ino }, { writer: WRITER, seq: log.seq })
  t.is(await errnoOf(() => fs.read(root, ino, handle, 0, 1)), 'ESTALE')
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN)), 'ESTALE')
  t.is(await errnoOf(() => fs.fsync(root, ino, handle, false)), 'ESTALE')
  t.is(await errnoOf(() => fs.flush(root, ino, handle, 0n)), 'ESTALE')
  await fs.release(ino, handle)
  t.is(await errnoOf(() => fs.release(ino, handle)), 'EBADF')
})

test('filesystem - lost changes of a file that nobody has open are told once', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  const { ino, handle } = await makeFile(fixture, 'temporary')
  const whole = await makeFile(fixture, 'file')
  for (const file of [{ ino, handle }, whole]) await fs.release(file.ino, file.handle)
  const rename = () =>
    fs.rename(root, ROOT_INO, name('temporary'), ROOT_INO, name('file'), NO_FLAGS)
  fs.poisonInode(ino)
  t.is(await errnoOf(rename), 'EIO')
  t.is((await fs.lookup(root, ROOT_INO, name('file'))).ino, whole.ino, 'not replaced')
  t.is(await errnoOf(rename), 'ok')
  fs.poisonInode(ino)
  const link = () => fs.link(root, ino, ROOT_INO, name('other'))
  t.is(await errnoOf(link), 'EIO')
  t.is(await errnoOf(link), 'ok')
  fs.poisonInode(ino)
  const reader = await fs.open(root, ino, 2)
  t.is((await fs.read(root, ino, reader, 0, 1)).length, 0, 'what is there can be read')
  t.is(await errnoOf(() => fs.fsync(root, ino, reader, false)), 'EIO')
  t.is(await errnoOf(() => fs.fsync(root, ino, reader, false)), 'ok')
  await fs.release(ino, reader)
})

test('filesystem - a poisoned handle answers EIO until it is closed', async (t) => {
  const fixture = await open(t)
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

test('filesystem - appends that run at the same time do not overwrite each other', async (t) => {
  const fixture = await open(t)
  const { fs, tokens } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  tokens.whenAsked = async () => undefined
  const lines = Array.from({ length: 50 }, (_, i) => `line ${i}\n`)
  await Promise.all(lines.map((line) => fs.write(root, ino, handle, 0, name(line), APPEND)))
  tokens.whenAsked = undefined
  const text = await readText(fixture, ino, handle)
  t.alike(text.trimEnd().split('\n').sort(), lines.map((line) => line.trimEnd()).sort())
})

test('filesystem - a write is one op; small ones carry their payload', async (t) => {
  const fixture = await open(t)
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  log.record = true
  const data = Buffer.alloc(SLICE_MAX_BYTES * 2 + 5)
  for (let i = 0; i < data.length; i += 4) data.writeUInt8(i % 251, i)
  await fs.write(root, ino, handle, 100, data, PLAIN)
  await fs.write(root, ino, handle, 0, data.subarray(0, INLINE), PLAIN)
  await fs.write(root, ino, handle, 0, new Uint8Array(0), PLAIN)
  t.is(log.ops.length, 2)
  const [big] = log.ops
  t.is(big?.type === 'write' && big.slices.length, 3)
  t.is(log.payloads[0], undefined)
  t.is(log.payloads[1]?.length, INLINE)
  const expected = Buffer.concat([Buffer.alloc(100), data])
  data.copy(expected, 0, 0, INLINE)
  const read = await fs.read(root, ino, handle, 0, expected.length + 10)
  t.ok(expected.equals(read))
  t.ok(expected.subarray(777, 300_000).equals(await fs.read(root, ino, handle, 777, 299_223)))
})

test('filesystem - a read waits for slices that have to be fetched, and fails as they do', async (t) => {
  const fixture = await open(t)
  const { fs, slices, tokens } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  await fs.write(root, ino, handle, 10, name('world'), PLAIN)
  const read = slices.read.bind(slices)
  const fetched = deferred()
  slices.read = async (...args) => {
    await fetched.promise
    read(...args)
  }
  const content = readText(fixture, ino, handle)
  await fs.getattr(root, ino)
  t.is(tokens.held, 0, 'no token is held while bytes are fetched')
  fetched.resolve()
  t.is(await content, 'hello\0\0\0\0\0world')
  slices.punch(0)
  t.is(await errnoOf(() => fs.read(root, ino, handle, 0, 3)), 'EIO')
  t.is(await errnoOf(() => fs.read(root, ino, handle, 10, 3)), 'ok')
})

test('filesystem - room for an answer is kept only where something may write to it later', async (t) => {
  const fixture = await open(t)
  const { fs, slices } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  const room = Buffer.alloc(5)
  let kept = 0
  const ctx = { ...root, answerRoom: () => room, keepAnswerRoom: () => kept++ }
  t.is(await fs.read(ctx, ino, handle, 0, 100), room)
  t.is(room.toString(), 'hello')
  t.is(kept, 0)
  const read = slices.read.bind(slices)
  slices.read = async (...args) => {
    await Promise.resolve()
    read(...args)
  }
  t.is(await fs.read(ctx, ino, handle, 0, 5), room)
  t.is(kept, 1, 'its bytes came later')
})

test('filesystem - a file removed while its bytes were on the way answers ESTALE', async (t) => {
  const fixture = await open(t)
  const { fs, slices, state, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  const room = deferred()
  slices.appended = room.promise
  const write = errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN))
  await fs.unlink(root, ROOT_INO, name('a'))
  state.apply({ type: 'reap', ino }, { writer: WRITER, seq: log.seq })
  room.resolve()
  t.is(await write, 'ESTALE')
})

test('filesystem - when space is short what needs some fails, what frees some works', async (t) => {
  const fixture = await open(t)
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  log.availableBytes = 0
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN)), 'ENOSPC')
  t.is(await errnoOf(() => makeFile(fixture, 'b')), 'ENOSPC')
  t.is(await errnoOf(() => fs.mkdir(root, ROOT_INO, name('d'), 0o755)), 'ENOSPC')
  t.is(await errnoOf(() => fs.setxattr(root, ino, name('user.a'), name('x'), 0)), 'ENOSPC')
  t.is(await errnoOf(() => fs.fallocate(root, ino, handle, 0, 0, 100)), 'ENOSPC')
  t.is(await readText(fixture, ino, handle), 'hello')
  await fs.setattr(root, ino, { size: 0 })
  await fs.unlink(root, ROOT_INO, name('a'))
  t.alike((await fs.statfs(root)).blocksAvailable, 0)
  log.availableBytes = 2 ** 30
  t.is(await errnoOf(() => makeFile(fixture, 'b')), 'ok')
})

test('filesystem - creating a name that exists', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  await makeFile(fixture, 'a')
  const create = (flags: number) =>
    errnoOf(() => fs.create(root, ROOT_INO, name('a'), 0o644, flags))
  t.is(await create(O_RDWR_CREAT | O_EXCL), 'EEXIST')
  t.is(await create(O_RDWR_CREAT), 'ESTALE', 'the kernel is to look again')
})

test('filesystem - readdir gives entries that stay exactly once, whatever else happens', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  const { ino } = await fs.mkdir(root, ROOT_INO, name('d'), 0o755)
  for (let i = 0; i < 200; i++) await fs.mknod(root, ino, name(`stay${i}`), 0o100644, 0)
  for (let i = 0; i < 50; i++) await fs.mknod(root, ino, name(`go${i}`), 0o100644, 0)
  const handle = await fs.opendir(root, ino)
  const seen: string[] = []
  let cookie = 0
  for (let round = 0; ; round++) {
    let taken = 0
    await fs.readdir(root, ino, handle, cookie, (entry) => {
      if (taken === 7) return false
      taken++
      cookie = entry.cookie
      seen.push(Buffer.from(entry.name).toString())
      return true
    })
    if (taken === 0) break
    if (round < 50) await fs.unlink(root, ino, name(`go${round}`))
    if (round < 20) await fs.mknod(root, ino, name(`new${round}`), 0o100644, 0)
  }
  t.is(seen.filter((one) => one.startsWith('stay')).length, 200)
  t.is(new Set(seen).size, seen.length)
  t.alike(seen.slice(0, 2), ['.', '..'])
})

test('filesystem - set-group-id directories pass on their group', async (t) => {
  const { fs } = await open(t)
  const { ino } = await fs.mkdir(root, ROOT_INO, name('d'), 0o2775)
  await fs.setattr(root, ino, { gid: 500 })
  const file = await fs.mknod(user, ino, name('f'), 0o100644, 0)
  const sub = await fs.mkdir(user, ino, name('s'), 0o755)
  t.alike([file.uid, file.gid, file.mode & 0o7777], [1000, 500, 0o644])
  t.alike([sub.uid, sub.gid, sub.mode & 0o7777], [1000, 500, 0o2755])
})

test('filesystem - writing takes away set-id bits and capabilities', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  const capability = name('security.capability')
  const privileged = async () => {
    await fs.setattr(root, ino, { mode: 0o6755 })
    await fs.setxattr(root, ino, capability, name('cap'), 0)
  }
  const left = async () => {
    const { mode } = await fs.getattr(root, ino)
    const names = await fs.listxattr(root, ino)
    return `${(mode & 0o7777).toString(8)} ${names.length}`
  }
  await privileged()
  await fs.write(user, ino, handle, 0, name('x'), { append: false, killSuidGid: true })
  t.is(await left(), '755 0')
  await privileged()
  await fs.write(root, ino, handle, 0, name('x'), PLAIN)
  t.is(await left(), '6755 0', 'root keeps the bits, nobody the capabilities')
  await privileged()
  await fs.setattr(user, ino, { size: 0, killSuidGid: true })
  t.is(await left(), '755 0')
  await privileged()
  await fs.setattr(root, ino, { uid: 5 })
  t.is(await left(), '755 0')
  await fs.setattr(root, ino, { mode: 0o2644 })
  await fs.setattr(root, ino, { uid: 6 })
  t.is(await left(), '2644 0', 'set-gid without group execute is no privilege')
})

test('filesystem - a file without a name lives until its close, or gets a name once', async (t) => {
  const fixture = await open(t)
  const { fs, state } = fixture
  const umasked = { ...user, umask: 0o027 }
  const { attr, handle } = await fs.tmpfile(umasked, ROOT_INO, 0o4666, 0o20200002)
  t.alike([attr.nlink, attr.mode, attr.uid], [0, 0o104640, 1000])
  await fs.write(user, attr.ino, handle, 0, name('text'), PLAIN)
  t.is((await fs.link(user, attr.ino, ROOT_INO, name('named'))).nlink, 1)
  t.is((await fs.lookup(root, ROOT_INO, name('named'))).size, 4)
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

test('filesystem - what an access control list brings with it is one entry', async (t) => {
  const fixture = await open(t)
  const { fs, log } = fixture
  const list = Buffer.from('0200000001000700ffffffff', 'hex')
  const entry = (text: string) => Buffer.from(text, 'hex')
  const full = Buffer.concat([
    list,
    entry('0200060009000000'),
    entry('04000500ffffffff'),
    entry('10000600ffffffff'),
    entry('20000000ffffffff')
  ])
  await fs.setxattr(root, ROOT_INO, name('system.posix_acl_default'), full, 0)
  log.record = true
  const { attr } = await fs.create({ ...root, umask: 0o077 }, ROOT_INO, name('f'), 0o664, 0o102)
  t.is(attr.mode, 0o100660, 'the list counts, not the umask')
  t.alike(
    log.together.at(-1)?.map(({ type }) => type),
    ['create', 'setxattr']
  )
  await fs.setattr(root, attr.ino, { mode: 0o600 })
  t.alike(
    log.together.at(-1)?.map(({ type }) => type),
    ['setattr', 'setxattr']
  )
  const access = name('system.posix_acl_access')
  const value = Buffer.from((await fs.getxattr(root, attr.ino, access)) ?? [])
  t.is(value.readUInt16LE(4 + 3 * 8 + 2), 0, 'the mask')
  await fs.setattr(root, attr.ino, { mode: 0o2755 })
  await fs.setxattr(user, attr.ino, access, full, 0, true)
  t.is((await fs.getattr(root, attr.ino)).mode, 0o100760, 'set-gid is gone')
  await fs.removexattr(root, attr.ino, access)
  await fs.removexattr(root, attr.ino, access)
  t.alike(await fs.listxattr(root, attr.ino), [])
})

test('filesystem - rename leaves a whiteout behind when asked to', async (t) => {
  const fixture = await open(t)
  const { fs, log } = fixture
  await makeFile(fixture, 'a')
  log.record = true
  const flags = { noReplace: true, exchange: false, whiteout: true }
  await fs.rename(root, ROOT_INO, name('a'), ROOT_INO, name('b'), flags)
  const left = await fs.lookup(root, ROOT_INO, name('a'))
  t.alike([left.mode, left.rdev], [0o020000, 0])
  t.is(log.together.at(-1)?.length, 2)
  const swap = { ...flags, noReplace: false, exchange: true }
  const both = () => fs.rename(root, ROOT_INO, name('a'), ROOT_INO, name('b'), swap)
  t.is(await errnoOf(both), 'EINVAL')
})

test('filesystem - sizes and offsets at the limit', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  const max = 2 ** 53 - 4096
  t.is(await errnoOf(() => fs.setattr(root, ino, { size: max + 1 })), 'EFBIG')
  t.is(await errnoOf(() => fs.write(root, ino, handle, max, name('x'), PLAIN)), 'EFBIG')
  t.is(await fs.write(root, ino, handle, max - 1, name('x'), PLAIN), 1)
  t.is((await fs.getattr(root, ino)).size, max)
  t.is((await fs.getattr(root, ino)).blocks, 1)
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), APPEND)), 'EFBIG')
  t.is(await fs.lseek(root, ino, handle, 0, 3), max - 1)
  t.is(await fs.lseek(root, ino, handle, max - 1, 4), max)
  t.is(await errnoOf(() => fs.fallocate(root, ino, handle, 0, max, 1)), 'EFBIG')
  t.is(await errnoOf(() => fs.lseek(root, ino, handle, 0, 0)), 'EINVAL')
})

test('filesystem - attribute names, values and lists at the limit', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  const { ino } = await makeFile(fixture, 'a')
  const set = (key: string, bytes = 1, flags = 0) =>
    errnoOf(() => fs.setxattr(root, ino, name(key), Buffer.alloc(bytes), flags))
  t.is(await set(`user.${'x'.repeat(250)}`), 'ok')
  t.is(await set(`user.${'x'.repeat(251)}`), 'ERANGE')
  t.is(await set('user.big', 65536), 'ok')
  t.is(await set('user.big', 65537), 'E2BIG')
  t.is(await set('user.'), 'EINVAL')
  t.is(await set('nonsense'), 'EOPNOTSUPP')
  t.is(await set('system.other'), 'EOPNOTSUPP')
  t.is(await set('system.posix_acl_access'), 'EINVAL')
  t.is(await set('user.flags', 1, 4), 'EINVAL')
  t.is(await set('trusted.hidden'), 'ok')
  let last = 'ok'
  for (let i = 0; last === 'ok' && i < 400; i++) last = await set(`user.${i}${'y'.repeat(240)}`)
  t.is(last, 'ENOSPC')
  const asRoot = await fs.listxattr(root, ino)
  const asUser = await fs.listxattr(user, ino)
  t.ok(asRoot.reduce((sum, one) => sum + one.length + 1, 0) <= 65536)
  t.is(asRoot.length - asUser.length, 1, 'trusted.* is for root')
})

test('filesystem - times are kept to the nanosecond and within their range', async (t) => {
  const fixture = await open(t)
  const { fs } = fixture
  const { ino } = await makeFile(fixture, 'a')
  const atime = { sec: -12345, nsec: 999_999_999 }
  const mtime = { sec: 2 ** 60, nsec: 1 }
  const attr = await fs.setattr(root, ino, { atime, mtime })
  t.alike(attr.atime, atime)
  t.alike(attr.mtime, { sec: 2 ** 47, nsec: 0 })
  const touched = await fs.setattr(root, ino, { atime: 'now', mtime: 'now' })
  t.alike(touched.atime, touched.ctime)
})

test('filesystem - a link too many is EMLINK', async (t) => {
  const fixture = await open(t, { linkMax: 3 })
  const { fs } = fixture
  const { ino } = await makeFile(fixture, 'a')
  await fs.link(root, ino, ROOT_INO, name('b'))
  await fs.link(root, ino, ROOT_INO, name('c'))
  t.is(await errnoOf(() => fs.link(root, ino, ROOT_INO, name('d'))), 'EMLINK')
  const { ino: sub } = await fs.mkdir(root, ROOT_INO, name('s'), 0o755)
  t.is(await errnoOf(() => fs.mkdir(root, ROOT_INO, name('t'), 0o755)), 'EMLINK')
  await fs.mkdir(root, sub, name('x'), 0o755)
  const move = () => fs.rename(root, sub, name('x'), ROOT_INO, name('x'), NO_FLAGS)
  t.is(await errnoOf(move), 'EMLINK')
})

test('filesystem - fsync waits for the log', async (t) => {
  const fixture = await open(t)
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.fsync(root, ino, handle, true)
  t.is(log.durableCalls, 1)
  const directory = await fs.opendir(root, ROOT_INO)
  await fs.fsyncdir(root, ROOT_INO, directory)
  t.is(log.durableCalls, 2)
  await fs.flush(root, ino, handle, 0n)
  t.is(log.durableCalls, 2, 'close alone waits for nobody')
})

test('filesystem - lookup of dots', async (t) => {
  const { fs } = await open(t)
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, a.ino, name('b'), 0o755)
  t.is((await fs.lookup(root, b.ino, name('..'))).ino, a.ino)
  t.is((await fs.lookup(root, b.ino, name('.'))).ino, b.ino)
  t.is((await fs.lookup(root, ROOT_INO, name('..'))).ino, ROOT_INO)
  t.is(await errnoOf(() => fs.lookup(root, 999 as Ino, name('x'))), 'ESTALE')
})
