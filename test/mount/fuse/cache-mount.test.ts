/** The kernel of this machine with its caches on, over a naive filesystem that changes "elsewhere". */
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type Test } from 'brittle'
import type { RequestContext } from '../../../src/fs/filesystem-api.ts'
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
}

/** Undefined, with a comment, where the kernel is too old to cache anything. */
async function mounted(t: Test, fs: NaiveFilesystem): Promise<Mounted | undefined> {
  const root = mkdtempSync(join(tmpdir(), 'tandemfs-cache-'))
  t.teardown(() => rmdirSync(root), { order: 3 })
  const volume = await mountVolume({ mountPoint: root, source: 'naive' })
  const logger = new MemoryLogger()
  const clock = realClock()
  const cache = new KernelCache({
    clock,
    logger,
    leaseLeftMs: () => 60_000,
    hasSubmounts: () => hasSubmounts(root)
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
  return { path: (name) => join(root, name), worker, cache, asked }
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
