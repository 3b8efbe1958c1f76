import test from 'brittle'
import type { Op } from '../../../src/fs/op.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { PlainHandleTable } from '../../../src/mount/channel/plain-handles.ts'
import { elsewhere, type Mounted, mounted } from './cache-mount.ts'
import { realClock } from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

const time = { sec: 0, nsec: 0 }

/** Says what it changed, as the log of ops does. */
class ReportingFilesystem extends NaiveFilesystem {
  report: (op: Op) => void = () => {}
  readonly plainHandles = new PlainHandleTable()

  override async create(
    ...args: Parameters<NaiveFilesystem['create']>
  ): ReturnType<NaiveFilesystem['create']> {
    const made = await super.create(...args)
    this.plainHandles.add(made.handle)
    return made
  }

  override async write(...args: Parameters<NaiveFilesystem['write']>): Promise<number> {
    const written = await super.write(...args)
    const [, ino, , offset] = args
    this.report({ type: 'write', ino, offset, slices: [], time })
    return written
  }

  override async setattr(
    ...args: Parameters<NaiveFilesystem['setattr']>
  ): ReturnType<NaiveFilesystem['setattr']> {
    const attr = await super.setattr(...args)
    this.report({ type: 'setattr', ino: attr.ino, ctime: time })
    return attr
  }
}

/** Prints what is not as it was just made. */
const changer = `
import os, stat, sys
d = sys.argv[1]
def check(what, is_, should_be):
    if is_ != should_be: print(what, is_, should_be)
for i in range(50):
    os.mkdir(f'{d}/{i}')
    check('links', os.stat(d).st_nlink, 3)
    f = os.open(f'{d}/{i}/f', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
    check('made', (os.fstat(f).st_size, stat.S_IMODE(os.fstat(f).st_mode)), (0, 0o640))
    os.write(f, b'x' * 100)
    check('written', os.fstat(f).st_size, 100)
    os.fchmod(f, 0o600)
    check('mode', stat.S_IMODE(os.fstat(f).st_mode), 0o600)
    os.close(f)
    os.rename(f'{d}/{i}/f', f'{d}/{i}/g')
    check('renamed', os.stat(f'{d}/{i}/g').st_size, 100)
    os.unlink(f'{d}/{i}/g')
    os.rmdir(f'{d}/{i}')
    check('left', os.stat(d).st_nlink, 2)
`

interface Changed extends Mounted {
  readonly fs: ReportingFilesystem
  readonly directory: Ino
  /** What was seen that should not be. */
  readonly change: () => Promise<string>
}

async function changed(t: Parameters<typeof mounted>[0], clock = realClock()) {
  const fs = new ReportingFilesystem()
  const { ino } = await fs.mkdir(elsewhere, ROOT_INO, Buffer.from('d'), 0o755)
  const mount = await mounted(t, fs, clock, {
    attrOf: (of) => fs.attr(of),
    plainHandles: fs.plainHandles
  })
  if (mount === undefined) return undefined
  fs.report = (op) => void mount.cache.submitted(op)
  const argv = ['python3', '-c', changer, mount.path('d')]
  const change = async (): Promise<string> => {
    const { stdout, stderr } = await mount.worker.call('exec', { argv })
    return stdout + stderr
  }
  const result: Changed = { ...mount, fs, directory: ino, change }
  return result
}

test('cache - the reader gives the attributes that the kernel asks for after a change', async (t) => {
  const mount = await changed(t)
  if (mount === undefined) return
  const { fs, cache, directory, path, worker, answered, answeredByReader, change } = mount
  t.is(await change(), '')
  const served = answered('GETATTR')
  t.ok(answeredByReader() > 100, `${answeredByReader()} by the reader, ${served} otherwise`)
  t.ok(served > 0, 'some are handed over all the same')
  t.ok(answered('FLUSH') < 25, `${answered('FLUSH')} of 50 FLUSH handed over`)
  await cache.drop([directory])
  await fs.mkdir(elsewhere, directory, Buffer.from('new'), 0o755)
  t.is((await worker.call('stat', { path: path('d') })).nlink, 3, 'a change elsewhere is seen')
})

test('cache - the reader gives no attributes behind the end of the lease', async (t) => {
  const clock = realClock()
  // By this clock each lease that is given ends before it began.
  const late = { ...clock, monotonicMs: () => clock.monotonicMs() - 120_000 }
  const mount = await changed(t, late)
  if (mount === undefined) return
  t.is(await mount.change(), '')
  t.is(mount.answeredByReader(), 0)
  t.is(mount.answered('FLUSH'), 50)
})
