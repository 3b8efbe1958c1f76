import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { elsewhere, fileOf, mounted, overwrite, SlowFilesystem } from './cache-mount.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

test('cache - stat, missing names and links are served by the kernel', async (t) => {
  const fs = new NaiveFilesystem()
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  await fs.symlink(elsewhere, ino, Buffer.from('l'), Buffer.from('target'))
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache, asked } = mount
  const look = async (): Promise<unknown[]> => [
    (await worker.call('stat', { path: path('d') })).mode & 0o777,
    await worker.outcome('stat', { path: path('d/new') }),
    await worker.outcome('readlink', { path: path('d/l') })
  ]
  for (let i = 0; i < 3; i++) t.alike(await look(), [0o755, 'ENOENT', 'ok'])
  const before = asked()
  for (let i = 0; i < 200; i++) await look()
  // A few, when the kernel needs the memory meanwhile.
  const more = asked() - before
  t.ok(more < 300, `${more} requests of 600`)
  await cache.drop([ino])
  await fs.mkdir(elsewhere, ino, Buffer.from('new'), 0o755)
  await fs.setattr(elsewhere, ino, { mode: 0o700 })
  t.alike(await look(), [0o700, 'ok', 'ok'], 'what changed elsewhere is seen at once')
  await cache.drop([ino])
  await fs.rmdir(elsewhere, ino, Buffer.from('new'))
  t.alike(await look(), [0o700, 'ENOENT', 'ok'])
})

/** Holds back whatever changes names or attributes until it is let go. */
class HeldFilesystem extends NaiveFilesystem {
  held: (() => void)[] = []
  onHeld: () => void = () => {}

  #hold(): Promise<void> {
    return new Promise((resolve) => {
      this.held.push(resolve)
      this.onHeld()
    })
  }

  untilHeld(): Promise<void> {
    return new Promise((resolve) => {
      this.onHeld = resolve
    })
  }

  letGo(): void {
    for (const go of this.held.splice(0)) go()
  }

  override async create(
    ...args: Parameters<NaiveFilesystem['create']>
  ): ReturnType<NaiveFilesystem['create']> {
    await this.#hold()
    return super.create(...args)
  }

  override async unlink(...args: Parameters<NaiveFilesystem['unlink']>): Promise<void> {
    await this.#hold()
    return super.unlink(...args)
  }

  override async setattr(
    ...args: Parameters<NaiveFilesystem['setattr']>
  ): ReturnType<NaiveFilesystem['setattr']> {
    await this.#hold()
    return super.setattr(...args)
  }
}

test('cache - a drop does not wait for requests of that directory or inode', async (t) => {
  const fs = new HeldFilesystem()
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  const file = await fs.mknod(elsewhere, ino, Buffer.from('f'), 0o100644, 0)
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache } = mount
  const inos: readonly Ino[] = [ino, file.ino]
  const steps = [
    () => worker.outcome('createExclusive', { path: path('d/new'), text: 'x' }),
    () => worker.outcome('unlink', { path: path('d/f') }),
    () => worker.outcome('chmod', { path: path('d/new'), mode: 0o600 })
  ]
  for (const step of steps) {
    await worker.outcome('stat', { path: path('d/f') })
    await worker.outcome('stat', { path: path('d/none') })
    const held = fs.untilHeld()
    const outcome = step()
    await held
    // The request holds the directory's or the inode's lock in the kernel all this time.
    await cache.drop(inos)
    fs.letGo()
    t.is(await outcome, 'ok')
  }
})

test('cache - own changes are seen at once, whatever was cached', async (t) => {
  const mount = await mounted(t, new NaiveFilesystem())
  if (mount === undefined) return
  const { path, worker } = mount
  const stat = (name: string) => worker.call('lstat', { path: path(name) })
  await worker.call('mkdir', { path: path('d') })
  await worker.call('write', { path: path('f'), text: 'one' })
  for (const name of ['d', 'f', '.']) await stat(name)
  t.is(await worker.outcome('lstat', { path: path('d/e') }), 'ENOENT')
  await worker.call('mkdir', { path: path('d/e') })
  t.is((await stat('d')).nlink, 3, 'mkdir: links of the parent')
  await stat('d/e')
  t.is(await worker.outcome('lstat', { path: path('d/g') }), 'ENOENT')
  await worker.call('rename', { path: path('f'), to: path('d/g') })
  t.is(await worker.outcome('lstat', { path: path('f') }), 'ENOENT', 'rename: the old name')
  t.is((await stat('d/g')).size, 3, 'rename: the new name')
  await worker.call('write', { path: path('d/g'), text: 'longer' })
  t.is((await stat('d/g')).size, 6, 'write: size')
  await worker.call('chmod', { path: path('d/g'), mode: 0o600 })
  t.is((await stat('d/g')).mode & 0o777, 0o600, 'chmod: mode')
  await worker.call('truncate', { path: path('d/g'), size: 2 })
  t.is((await stat('d/g')).size, 2, 'truncate: size')
  t.is(await worker.call('readText', { path: path('d/g') }), 'lo')
  await worker.call('link', { path: path('d/g'), to: path('h') })
  t.is((await stat('d/g')).nlink, 2, 'link: links by the other name')
  await worker.call('unlink', { path: path('d/g') })
  t.is(await worker.outcome('lstat', { path: path('d/g') }), 'ENOENT', 'unlink: the name')
  t.is((await stat('h')).nlink, 1, 'unlink: links by the other name')
  await worker.call('rmdir', { path: path('d/e') })
  t.is(await worker.outcome('lstat', { path: path('d/e') }), 'ENOENT', 'rmdir: the name')
  t.is((await stat('d')).nlink, 2, 'rmdir: links of the parent')
})

test('cache - pages of a file are read once, and dropped with a change elsewhere', async (t) => {
  const fs = new NaiveFilesystem()
  const size = 100_000
  const ino = await fileOf(fs, 'f', 'a'.repeat(size))
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache, answered } = mount
  const reads = (): number => answered('READ')
  const digest = () => worker.call('readText', { path: path('f') })
  const fd = await worker.call('open', { path: path('f'), flags: 'r' })
  const held = () => worker.call('readHandleText', { fd, offset: 0, length: size })
  const first = 'a'.repeat(size)
  t.is(await digest(), first)
  const before = reads()
  for (let i = 0; i < 20; i++) t.is(await digest(), first)
  t.is(await held(), first)
  t.ok(reads() - before < 20, `${reads() - before} reads`)
  for (const letter of ['b', 'c', 'd']) {
    await cache.drop([ino])
    await overwrite(fs, ino, letter.repeat(size))
    t.is(await held(), letter.repeat(size), 'through a handle that was open before')
    t.is(await digest(), letter.repeat(size), 'through a new one')
  }
})

test('cache - own writes and appends are seen through the page cache', async (t) => {
  const fs = new NaiveFilesystem()
  await fileOf(fs, 'f', '0'.repeat(5000))
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker } = mount
  const fd = await worker.call('open', { path: path('f'), flags: 'r' })
  const held = () => worker.call('readHandleText', { fd, offset: 0, length: 10_000 })
  let text = '0'.repeat(5000)
  t.is(await held(), text)
  await worker.call('write', { path: path('f'), text: 'new', flags: 'r+', offset: 4095 })
  text = `${text.slice(0, 4095)}new${text.slice(4098)}`
  t.is(await held(), text)
  for (const more of ['one', 'two']) {
    await worker.call('write', { path: path('f'), text: more, flags: 'a' })
    text += more
    t.is(await held(), text)
  }
  await worker.call('truncate', { path: path('f'), size: 10 })
  t.is(await held(), text.slice(0, 10))
})

test('cache - a drop does not wait for pages that are being read, and still takes them', async (t) => {
  const fs = new SlowFilesystem()
  const ino = await fileOf(fs, 'f', 'a'.repeat(4096))
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache } = mount
  const letter = async (): Promise<string> => {
    const text = await worker.call('readText', { path: path('f') })
    return text === text.charAt(0).repeat(4096) ? text.charAt(0) : text
  }
  fs.slow = true
  const waiting = fs.untilWaiting()
  const old = letter()
  await waiting
  // The kernel has locked the page until the READ is answered.
  await cache.drop([ino])
  fs.slow = false
  await overwrite(fs, ino, 'b'.repeat(4096))
  fs.goOn()
  t.ok(['a', 'b'].includes(await old), 'read while it was changed')
  t.is(await letter(), 'b', 'read after it')
})

test('cache - a drop does not wait for pages of a mapping that are written back', async (t) => {
  const fs = new SlowFilesystem()
  const ino = await fileOf(fs, 'f', 'a'.repeat(4096))
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache } = mount
  const script =
    'import mmap, os, sys\n' +
    'f = os.open(sys.argv[1], os.O_RDWR)\n' +
    'm = mmap.mmap(f, 4096)\n' +
    'm[0:1] = b"z"\n' +
    'os.mkdir(sys.argv[2])\n' +
    'm.close()\n'
  const mkdir = fs.mkdir.bind(fs)
  let dropped: Promise<unknown> = Promise.resolve()
  fs.mkdir = async (...args) => {
    fs.slow = true
    const waiting = fs.untilWaiting()
    dropped = Promise.resolve(cache.drop([ino]))
    await waiting
    return mkdir(...args)
  }
  const argv = ['python3', '-c', script, path('f'), path('marker')]
  const ended = worker.call('exec', { argv })
  while (fs.waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  // The drop has made the kernel write the page back, which is not answered.
  await dropped
  fs.goOn()
  t.is((await ended).stderr, '')
  t.is((await worker.call('readText', { path: path('f') })).slice(0, 2), 'za')
})

test('cache - splice, which asks for no attributes, sees a change elsewhere', async (t) => {
  const fs = new NaiveFilesystem()
  const ino = await fileOf(fs, 'f', 'a'.repeat(9000))
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache } = mount
  const script =
    'import os, sys\n' +
    'f = os.open(sys.argv[1], int(sys.argv[3]))\n' +
    'r, w = os.pipe()\n' +
    'def seen(): return os.read(r, os.splice(f, w, 9000, 0))[:1].decode()\n' +
    'first = seen()\n' +
    'os.mkdir(sys.argv[2])\n' +
    'print(first + seen())\n'
  const mkdir = fs.mkdir.bind(fs)
  let letter = 'a'
  fs.mkdir = async (...args) => {
    await cache.drop([ino])
    letter = String.fromCharCode(letter.charCodeAt(0) + 1)
    await overwrite(fs, ino, letter.repeat(9000))
    return mkdir(...args)
  }
  // Opened for reading, through the page cache, and for both, which is direct.
  for (const [flags, expected] of [
    [0, 'ab'],
    [2, 'bc']
  ] as const) {
    const argv = ['python3', '-c', script, path('f'), path(`marker${flags}`), String(flags)]
    t.is((await worker.call('exec', { argv })).stdout.trim(), expected)
  }
})

test('cache - access control lists change elsewhere', async (t) => {
  const fs = new NaiveFilesystem()
  const ino = await fileOf(fs, 'f', 'x')
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache } = mount
  const name = Buffer.from('system.posix_acl_access')
  /** One named user with these permissions. */
  const list = (permissions: number): Buffer => {
    const entries = [1, 2, 4, 0x10, 0x20].flatMap((tag) => [
      ...[tag, 0, tag === 2 ? permissions : 4, 0],
      ...(tag === 2 ? [7, 0, 0, 0] : [255, 255, 255, 255])
    ])
    return Buffer.from([2, 0, 0, 0, ...entries])
  }
  // No attributes of the file are asked for: only its list, through a handle, again and again.
  const script =
    'import os, sys\n' +
    'f = os.open(sys.argv[1], os.O_RDONLY)\n' +
    'for n in range(4):\n' +
    '  for again in range(2): print(os.getxattr(f, "system.posix_acl_access")[14])\n' +
    '  os.mkdir(sys.argv[2] + str(n))\n'
  const mkdir = fs.mkdir.bind(fs)
  let permissions = 1
  const change = async (): Promise<void> => {
    await cache.drop([ino])
    await fs.setxattr(elsewhere, ino, name, list(permissions++), 0)
  }
  fs.mkdir = async (...args) => {
    await change()
    return mkdir(...args)
  }
  await change()
  const argv = ['python3', '-c', script, path('f'), path('marker')]
  const { stdout, stderr } = await worker.call('exec', { argv })
  t.is(stderr, '')
  t.is(stdout.trim().split('\n').join(' '), '1 1 2 2 3 3 4 4')
})
