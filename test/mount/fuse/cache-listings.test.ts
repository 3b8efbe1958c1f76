import test from 'brittle'
import type { Clock } from '../../../src/fs/ports/clock.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { Worker } from '../../helpers/worker-client.ts'
import { elsewhere, fileOf, mounted, SlowFilesystem } from './cache-mount.ts'
import { realClock } from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

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

/** Looks at each entry of a listing and asks for its access control list, as `ls -l` does; how many have one. */
const longLister =
  'import os, sys\n' +
  'count = 0\n' +
  'for e in os.scandir(sys.argv[1]):\n' +
  '  e.stat(follow_symlinks=False)\n' +
  '  try:\n' +
  '    os.getxattr(e.path, "system.posix_acl_access")\n' +
  '    count += 1\n' +
  '  except OSError as error:\n' +
  '    assert error.errno == 61, error\n' +
  '  count += len(os.listxattr(e.path))\n' +
  'print(count)\n'

/** One named user, 7, may read. */
const LIST = Buffer.concat(
  [[], [1, 4, -1], [2, 4, 7], [4, 4, -1], [0x10, 4, -1], [0x20, 4, -1]].map((entry) => {
    const [tag, permissions, id] = entry
    if (tag === undefined) return Buffer.from([2, 0, 0, 0])
    const bytes = Buffer.alloc(8)
    bytes.writeUInt16LE(tag, 0)
    bytes.writeUInt16LE(permissions ?? 0, 2)
    bytes.writeInt32LE(id ?? 0, 4)
    return bytes
  })
)
const ACL = Buffer.from('system.posix_acl_access')

async function bareFiles(fs: NaiveFilesystem, count: number): Promise<Ino[]> {
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  const inos: Ino[] = []
  for (let i = 0; i < count; i++) {
    const file = await fs.mknod(elsewhere, ino, Buffer.from(`f${i}`), 0o100600, 0)
    inos.push(file.ino)
  }
  return inos
}

test('cache - the reader answers for listed files without attributes, until they get some', async (t) => {
  const fs = new NaiveFilesystem()
  const inos = await bareFiles(fs, 200)
  const mount = await mounted(t, fs)
  if (mount === undefined) return
  const { path, worker, cache, answered, answeredByReader } = mount
  const list = async (): Promise<string> => {
    const argv = ['python3', '-c', longLister, path('d')]
    const { stdout, stderr } = await worker.call('exec', { argv })
    return stdout.trim() + stderr
  }
  t.is(await list(), '0')
  const served = answered('GETXATTR') + answered('LISTXATTR')
  t.ok(answeredByReader() > 300, `${answeredByReader()} of 400 by the reader, ${served} otherwise`)
  t.ok(served > 0, 'the others know that there is much to do')
  const [first, second] = inos
  if (first === undefined || second === undefined) throw new Error('there are files')
  await cache.drop([first])
  await fs.setxattr(elsewhere, first, ACL, LIST, 0)
  t.is(await list(), '2', 'one that was set elsewhere is seen at once')
  const setter = 'import os, sys; os.setxattr(sys.argv[1], "user.a", b"b")'
  await worker.call('exec', { argv: ['python3', '-c', setter, path('d/f1')] })
  t.is(await list(), '3', 'and one that was set here')
  await cache.dropAll()
  await fs.setxattr(elsewhere, second, ACL, LIST, 0)
  for (const ino of inos.slice(2)) await fs.setxattr(elsewhere, ino, ACL, LIST, 0)
  t.is(await list(), `${2 * inos.length + 1}`, 'nothing is left of another incarnation')
})

test('cache - the reader answers nothing behind the end of the lease', async (t) => {
  const fs = new NaiveFilesystem()
  const inos = await bareFiles(fs, 50)
  const clock = realClock()
  // By this clock each lease that is given ends before it began.
  const late = { ...clock, monotonicMs: () => clock.monotonicMs() - 120_000 }
  const mount = await mounted(t, fs, late)
  if (mount === undefined) return
  const { path, worker, answeredByReader } = mount
  const list = async (): Promise<string> => {
    const argv = ['python3', '-c', longLister, path('d')]
    const { stdout, stderr } = await worker.call('exec', { argv })
    return stdout.trim() + stderr
  }
  t.is(await list(), '0')
  for (const ino of inos) await fs.setxattr(elsewhere, ino, Buffer.from('user.a'), LIST, 0)
  t.is(await list(), `${inos.length}`, 'each was asked for')
  t.is(answeredByReader(), 0)
})
