import test from 'brittle'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { makeFile, NO_FLAGS, O_RDWR_CREAT, openChecked, PLAIN } from './checked-fixture.ts'
import { errnoOf, found, name, root, user } from './fixture.ts'

const O_EXCL = 0o200

test('filesystem - creating a name that exists', async (t) => {
  const fixture = await openChecked(t)
  const { fs } = fixture
  await makeFile(fixture, 'a')
  const create = (flags: number) =>
    errnoOf(() => fs.create(root, ROOT_INO, name('a'), 0o644, flags))
  t.is(await create(O_RDWR_CREAT | O_EXCL), 'EEXIST')
  t.is(await create(O_RDWR_CREAT), 'ESTALE', 'the kernel is to look again')
})

test('filesystem - readdir gives entries that stay exactly once, whatever else happens', async (t) => {
  const fixture = await openChecked(t)
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
  const { fs } = await openChecked(t)
  const { ino } = await fs.mkdir(root, ROOT_INO, name('d'), 0o2775)
  await fs.setattr(root, ino, { gid: 500 })
  const file = await fs.mknod(user, ino, name('f'), 0o100644, 0)
  const sub = await fs.mkdir(user, ino, name('s'), 0o755)
  t.alike([file.uid, file.gid, file.mode & 0o7777], [1000, 500, 0o644])
  t.alike([sub.uid, sub.gid, sub.mode & 0o7777], [1000, 500, 0o2755])
})

test('filesystem - writing takes away set-id bits and capabilities', async (t) => {
  const fixture = await openChecked(t)
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

test('filesystem - what an access control list brings with it is one entry', async (t) => {
  const fixture = await openChecked(t)
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

test('filesystem - attribute names, values and lists at the limit', async (t) => {
  const fixture = await openChecked(t)
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
  const fixture = await openChecked(t)
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
  const fixture = await openChecked(t, { linkMax: 3 })
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

test('filesystem - lookup of dots', async (t) => {
  const { fs } = await openChecked(t)
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, a.ino, name('b'), 0o755)
  t.is((await found(fs.lookup(root, b.ino, name('..')))).ino, a.ino)
  t.is((await found(fs.lookup(root, b.ino, name('.')))).ino, b.ino)
  t.is((await found(fs.lookup(root, ROOT_INO, name('..')))).ino, ROOT_INO)
  t.is(await errnoOf(() => fs.lookup(root, 999 as Ino, name('x'))), 'ESTALE')
})
