/** The kernel of this machine with its caches on, over a naive filesystem that changes "elsewhere". */
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type Test } from 'brittle'
import type { RequestContext } from '../../../src/fs/filesystem-api.ts'
import type { Clock } from '../../../src/fs/ports/clock.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { KernelCache } from '../../../src/mount/fuse/kernel-cache.ts'
import { killPending } from '../../../src/mount/fuse/kill-pending.ts'
import { mountVolume } from '../../../src/mount/mounting/mount-volume.ts'
import { hasSubmounts } from '../../../src/mount/mounting/submounts.ts'
import { Worker } from '../../helpers/worker-client.ts'
import { MemoryLogger, realClock } from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

const elsewhere: RequestContext = { uid: 0, gid: 0, pid: 0 }

interface Mounted {
  readonly path: (name: string) => string
  readonly worker: Worker
  readonly cache: KernelCache
  /** Requests served so far. */
  readonly asked: () => number
  /** Those of one kind among them. */
  readonly answered: (opcode: string) => number
  readonly inFlight: () => number
}

/** Undefined, with a comment, where the kernel is too old to cache anything. */
async function mounted(
  t: Test,
  fs: NaiveFilesystem,
  clock = realClock()
): Promise<Mounted | undefined> {
  const root = mkdtempSync(join(tmpdir(), 'tandemfs-cache-'))
  t.teardown(() => rmdirSync(root), { order: 3 })
  const volume = await mountVolume({ mountPoint: root, source: 'naive' })
  const logger = new MemoryLogger()
  const cache = new KernelCache({
    clock,
    logger,
    leaseLeftMs: () => 60_000,
    hasSubmounts: (everywhere) => hasSubmounts(root, { everywhere }),
    inodeOf: (ino) => fs.describe(ino)
  })
  const dispatcher = new FuseDispatcher({
    channel: volume.channel,
    fs,
    policy: cache,
    gate: openGate,
    clock,
    logger,
    killPending
  })
  t.teardown(
    async () => {
      await volume.unmount({ lazy: true })
      await volume.channel.close()
      const complaints = logger.lines.filter((line) => line.level !== 'info')
      if (complaints.length > 0) throw new Error(JSON.stringify(complaints))
    },
    { order: 2 }
  )
  dispatcher.start()
  const { incEpoch } = await dispatcher.ready
  if (!incEpoch) {
    t.comment('this kernel has no NOTIFY_INC_EPOCH: nothing is cached')
    return undefined
  }
  const worker = new Worker()
  t.teardown(() => worker.kill(), { order: 1 })
  const asked = (): number => {
    let count = 0
    for (const each of Object.values(dispatcher.statistics.snapshot())) count += each.count
    return count
  }
  const answered = (opcode: string): number => dispatcher.statistics.snapshot()[opcode]?.count ?? 0
  return {
    answered,
    inFlight: () => dispatcher.inFlight,
    path: (name) => join(root, name),
    worker,
    cache,
    asked
  }
}

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

const quiet = { sec: Math.floor(Date.now() / 1000) - 100, nsec: 0 }

async function fileOf(fs: NaiveFilesystem, name: string, text: string): Promise<Ino> {
  const { attr, handle } = await fs.create(elsewhere, ROOT_INO, Buffer.from(name), 0o644, 0)
  await fs.write(elsewhere, attr.ino, handle, 0, Buffer.from(text), {
    append: false,
    killSuidGid: false
  })
  await fs.release(attr.ino, handle)
  await fs.setattr(elsewhere, attr.ino, { mtime: quiet })
  return attr.ino
}

async function overwrite(fs: NaiveFilesystem, ino: Ino, text: string): Promise<void> {
  const handle = await fs.open(elsewhere, ino, 2)
  const options = { append: false, killSuidGid: false }
  await fs.write(elsewhere, ino, handle, 0, Buffer.from(text), options)
  await fs.release(ino, handle)
  // The same times and the same size as before: nothing but the drop tells of the change.
  await fs.setattr(elsewhere, ino, { mtime: quiet })
}

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

/** Holds back the answers of reads and writes; what is read is of the time of the request. */
class SlowFilesystem extends NaiveFilesystem {
  slow = false
  waiting: (() => void)[] = []
  onWaiting: () => void = () => {}

  #wait(): Promise<void> {
    if (!this.slow) return Promise.resolve()
    return new Promise((resolve) => {
      this.waiting.push(resolve)
      this.onWaiting()
    })
  }

  untilWaiting(): Promise<void> {
    return new Promise((resolve) => {
      this.onWaiting = resolve
    })
  }

  goOn(): void {
    this.slow = false
    for (const go of this.waiting.splice(0)) go()
  }

  override async read(...args: Parameters<NaiveFilesystem['read']>): Promise<Uint8Array> {
    const data = Buffer.from(await super.read(...args))
    await this.#wait()
    return data
  }

  override async write(...args: Parameters<NaiveFilesystem['write']>): Promise<number> {
    await this.#wait()
    return super.write(...args)
  }
}

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

/** Lists into a mapping of a file, whose page the kernel has to read in the middle of it. */
const lister =
  'import ctypes, mmap, os, sys\n' +
  'm = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 32768, access=mmap.ACCESS_COPY)\n' +
  'd = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)\n' +
  'at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n' +
  'print(ctypes.CDLL(None).getdents64(d, at, 32768) > 0)\n'

/** With timers as a test needs them, so that nothing depends on how long it takes. */
function timedBy(timerMs: (delayMs: number) => number): Clock {
  const clock = realClock()
  return { ...clock, setTimer: (delayMs, fn) => clock.setTimer(timerMs(delayMs), fn) }
}

test('cache - names that are taken in behind a drop are not used', async (t) => {
  const fs = new SlowFilesystem()
  await fileOf(fs, 'buffer', ' '.repeat(32768))
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  await fs.mknod(elsewhere, ino, Buffer.from('old'), 0o100644, 0)
  const mount = await mounted(
    t,
    fs,
    timedBy((delayMs) => delayMs * 60)
  )
  if (mount === undefined) return
  const { path, worker, cache, inFlight, answered } = mount
  const reader = new Worker()
  t.teardown(() => reader.kill(), { order: 1 })
  fs.slow = true
  const waiting = fs.untilWaiting()
  const listed = reader.call('exec', { argv: ['python3', '-c', lister, path('buffer'), path('d')] })
  await waiting
  t.is(answered('READDIRPLUS'), 1, 'the listing was answered, and is being taken in')
  await cache.drop([ino])
  const flags = { noReplace: false, exchange: false }
  await fs.rename(elsewhere, ino, Buffer.from('old'), ino, Buffer.from('new'), flags)
  t.is(inFlight(), 1, 'the drop did not wait for the READ of the buffer')
  let isAnswered = false
  const seen = worker.outcome('stat', { path: path('d/old') }).finally(() => {
    isAnswered = true
  })
  while (inFlight() < 2 && !isAnswered) await new Promise((resolve) => setTimeout(resolve, 1))
  t.absent(isAnswered, 'who walks through the directory has to ask for its attributes first')
  fs.goOn()
  t.is((await listed).stdout, 'True\n')
  t.is(await seen, 'ENOENT')
  t.is(await worker.outcome('stat', { path: path('d/new') }), 'ok')
})

/** Holds back the first answer to LOOKUP of one name. */
class HeldLookup extends NaiveFilesystem {
  letGo: (() => void) | undefined
  #waiting: (() => void) | undefined

  untilHeld(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  override async lookup(
    ...args: Parameters<NaiveFilesystem['lookup']>
  ): ReturnType<NaiveFilesystem['lookup']> {
    if (Buffer.from(args[2]).toString() === 'held' && this.letGo === undefined) {
      await new Promise<void>((resolve) => {
        this.letGo = resolve
        this.#waiting?.()
      })
    }
    return super.lookup(...args)
  }
}

/** Reads the beginning of a listing, and then nothing for as long as it lives. */
const halfLister =
  'import ctypes, os, sys, time\n' +
  'd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)\n' +
  'ctypes.CDLL(None).getdents64(d, ctypes.create_string_buffer(4096), 4096)\n' +
  'time.sleep(600)\n'

test('cache - who holds the lock by which a listing is settled is not held up by it', async (t) => {
  const fs = new HeldLookup()
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  await fs.mknod(elsewhere, ino, Buffer.from('f'), 0o100644, 0)
  // A silent reader is left alone, as if the lock had been taken at once.
  const mount = await mounted(
    t,
    fs,
    timedBy((delayMs) => (delayMs < 1000 ? 60_000 : delayMs))
  )
  if (mount === undefined) return
  const { path, worker, cache, answered } = mount
  const reader = new Worker()
  t.teardown(() => reader.kill(), { order: 1 })
  reader.call('exec', { argv: ['python3', '-c', halfLister, path('d')] }).catch(() => {})
  while (answered('READDIRPLUS') === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const held = fs.untilHeld()
  const made = worker.outcome('mkdir', { path: path('d/held') })
  await held
  // The kernel holds the lock of the directory, and will ask for its attributes under it.
  await cache.drop([ino])
  fs.letGo?.()
  t.is(await made, 'ok')
  t.is(await worker.outcome('stat', { path: path('d/held') }), 'ok')
})

test('cache - what was listed is looked at without further questions', async (t) => {
  const fs = new NaiveFilesystem()
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  const count = 1000
  for (let i = 0; i < count; i++) {
    await fs.mknod(elsewhere, ino, Buffer.from(`f${i}`), 0o100600 + (i % 64), 0)
  }
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache, asked, answered } = mount
  const script =
    'import os, sys\n' +
    'for e in os.scandir(sys.argv[1]): print(e.name, *e.stat(follow_symlinks=False))'
  const list = async (): Promise<string> => {
    return (await worker.call('exec', { argv: ['python3', '-c', script, path('d')] })).stdout
  }
  const first = await list()
  t.is(first.split('\n').length, count + 1)
  t.ok(answered('LOOKUP') < 10, `${answered('LOOKUP')} lookups`)
  const before = asked()
  t.is(await list(), first)
  const more = asked() - before
  t.ok(more < count / 10, `${more} requests for a second time`)
  await cache.drop([ino])
  await fs.unlink(elsewhere, ino, Buffer.from('f1'))
  t.absent((await list()).includes('f1 '))
  t.is(await worker.outcome('stat', { path: path('d/f1') }), 'ENOENT')
})
