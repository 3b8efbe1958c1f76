import test, { type Test } from 'brittle'
import { Errno, FsError } from '../../../src/fs/errno.ts'
import type { FilesystemApi, HandleId, RequestContext } from '../../../src/fs/filesystem-api.ts'
import { OpenFiles } from '../../../src/fs/open-files.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { CurrentFilesystem } from '../../../src/mount/daemon/current-filesystem.ts'
import {
  DEFAULT_SETTINGS,
  type MountSettings,
  type OnIsolation
} from '../../../src/mount/daemon/mount-options.ts'
import { Serving } from '../../../src/mount/daemon/serving.ts'
import { shownFilesystem } from '../../../src/mount/daemon/shown-filesystem.ts'
import { staleReads } from '../../../src/mount/daemon/stale-reads.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { errnoOf, type Fixture, found, name, openFixture, quiet } from '../../fs/fixture.ts'
import { ManualClock } from '../fuse/kernel-side.ts'

const LIMIT_MS = 30_000
const O_RDWR = 2

class World {
  readonly clock = new ManualClock()
  readonly serving: Serving
  readonly fs: FilesystemApi
  readonly told: string[] = []
  fixture: Fixture
  isLeased = true
  /** Noted as work. */
  requests = 0
  /** The incarnation that serves. */
  live: FilesystemApi | undefined
  hasStale = true

  constructor(directory: string, onIsolation: OnIsolation) {
    const openFiles = new OpenFiles()
    this.fixture = openFixture(directory, { openFiles })
    const { fs, state, log, slices, tokens, locks } = this.fixture
    const parts = { state, opLog: log, slices, tokens, locks, clock: this.clock, logger: quiet }
    this.live = fs
    const stale = staleReads(parts, openFiles)
    this.serving = new Serving(
      {
        clock: this.clock,
        current: () => this.live,
        stale: () => (this.hasStale ? stale : undefined),
        mayAnswer: () => this.isLeased,
        onIsolated: (reason) => this.told.push(reason.code),
        noteWork: () => this.requests++
      },
      { isolationMs: LIMIT_MS, onIsolation }
    )
    this.fs = new CurrentFilesystem({
      serving: this.serving,
      release: async (ino, handle) => fs.release(ino, handle)
    })
  }

  /** Serves one request as the dispatcher does; the errno name it is answered with. */
  async ask(opcode: number, run: (ctx: RequestContext) => unknown): Promise<string> {
    const ctx: RequestContext = { uid: 0, gid: 0, pid: 1 }
    const served = errnoOf(async () => {
      const right = this.serving.beforeServe(ctx, opcode)
      if (right !== undefined) await right
      await run(ctx)
    })
    const answer = await served
    return this.serving.beforeReply(ctx) === Errno.EIO ? 'EIO' : answer
  }

  getattr(): Promise<string> {
    return this.ask(Opcode.GETATTR, (ctx) => this.fs.getattr(ctx, ROOT_INO))
  }

  mkdir(text: string): Promise<string> {
    return this.ask(Opcode.MKDIR, (ctx) => this.fs.mkdir(ctx, ROOT_INO, name(text), 0o755))
  }

  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 20) this.clock.advance(Math.min(20, left))
  }
}

async function world(t: Test, onIsolation: OnIsolation): Promise<World> {
  const made = new World(await t.tmp(), onIsolation)
  t.teardown(() => {
    made.serving.stop()
    made.fixture.state.close()
  })
  return made
}

test('serving - every request is noted as work when it comes, not when it is served', async (t) => {
  const w = await world(t, 'block')
  t.is(await w.getattr(), 'ok')
  t.is(w.requests, 1)
  w.isLeased = false
  const waiting = w.getattr()
  t.is(w.requests, 2)
  w.isLeased = true
  w.serving.wake()
  t.is(await waiting, 'ok')
  t.is(w.requests, 2)
})

test('isolation - block: operations wait and go on, or end with EIO at the limit', async (t) => {
  const w = await world(t, 'block')
  t.is(await w.getattr(), 'ok')
  w.isLeased = false
  const first = w.mkdir('a')
  w.advance(LIMIT_MS - 1000)
  w.isLeased = true
  w.advance(20)
  t.is(await first, 'ok')
  w.isLeased = false
  const second = w.getattr()
  w.advance(LIMIT_MS + 20)
  t.is(await second, 'EIO')
  t.alike(w.told, [], 'nobody is told with block')
})

test('isolation - what one incarnation has found another one does not answer', async (t) => {
  const w = await world(t, 'block')
  const ctx: RequestContext = { uid: 0, gid: 0, pid: 1 }
  const answer = errnoOf(() =>
    w.serving.run(ctx, async () => {
      w.isLeased = false
    })
  )
  await Promise.resolve()
  w.live = { ...w.fixture.fs } as FilesystemApi
  w.isLeased = true
  w.advance(20)
  t.is(await answer, 'EIO')
})

test('isolation - what is not there is told when the lease is back', async (t) => {
  const w = await world(t, 'block')
  const ctx: RequestContext = { uid: 0, gid: 0, pid: 1 }
  const failing = (code: 'ENOENT' | 'EINTR') =>
    errnoOf(() =>
      w.serving.run(ctx, async () => {
        w.isLeased = false
        throw new FsError(code, 'as found')
      })
    )
  t.is(await failing('EINTR'), 'EINTR', 'who was interrupted is not held up')
  w.isLeased = true
  const found = failing('ENOENT')
  await Promise.resolve()
  w.isLeased = true
  w.serving.wake()
  t.is(await found, 'ENOENT')
  t.is(w.serving.beforeReply(ctx), 0)
})

test('isolation - error: EIO after the patience, at once from then on, and it ends', async (t) => {
  const w = await world(t, 'error')
  w.isLeased = false
  const waiting = w.mkdir('a')
  w.advance(900)
  t.alike(w.told, [])
  w.advance(400)
  t.is(await waiting, 'EIO')
  t.alike(w.told, ['EIO'], 'waits under way are ended, once')
  t.is(await w.getattr(), 'EIO')
  w.isLeased = true
  w.advance(400)
  t.is(await w.getattr(), 'ok')
  w.isLeased = false
  const short = w.getattr()
  w.advance(500)
  w.isLeased = true
  w.advance(20)
  t.is(await short, 'ok', 'a change of epoch is no isolation')
})

test('isolation - readonly: reads go on, changes are EROFS, promises EIO', async (t) => {
  const w = await world(t, 'readonly')
  t.is(await w.mkdir('before'), 'ok')
  let handle = 0 as HandleId
  let file = ROOT_INO
  const created = await w.ask(Opcode.CREATE, async (ctx) => {
    const made = await w.fs.create(ctx, ROOT_INO, name('f'), 0o644, O_RDWR)
    handle = made.handle
    file = made.attr.ino
  })
  t.is(created, 'ok')
  w.isLeased = false
  const waiting = w.getattr()
  w.advance(1300)
  t.is(await waiting, 'ok')
  const lookup = (text: string) =>
    w.ask(Opcode.LOOKUP, (ctx) => found(w.fs.lookup(ctx, ROOT_INO, name(text))))
  t.is(await lookup('before'), 'ok')
  t.is(await lookup('never'), 'ENOENT')
  t.is(await w.mkdir('after'), 'EROFS')
  const open = (flags: number) => w.ask(Opcode.OPEN, (ctx) => w.fs.open(ctx, file, flags))
  t.is(await open(O_RDWR), 'EROFS')
  t.is(await open(0), 'ok')
  t.is(await w.ask(Opcode.READ, (ctx) => w.fs.read(ctx, file, handle, 0, 10)), 'ok')
  t.is(await w.ask(Opcode.FSYNC, (ctx) => w.fs.fsync(ctx, file, handle, false)), 'EIO')
  const flush = w.ask(Opcode.FLUSH, (ctx) => w.fs.flush(ctx, file, handle, 1n))
  t.is(await flush, 'EIO', 'the close of a file that was written is no success')
  w.hasStale = false
  const empty = lookup('before')
  w.advance(LIMIT_MS + 20)
  t.is(await empty, 'EIO', 'nothing worth reading: as with block')
  w.isLeased = true
  w.advance(400)
  t.is(await w.mkdir('after'), 'ok')
})

test('isolation - a wait for other members ends with it, and other options count at once', async (t) => {
  const w = await world(t, 'error')
  const never = new Promise<void>(() => {})
  const ended = errnoOf(() => w.serving.unlessIsolated(never))
  w.isLeased = false
  w.advance(1300)
  t.is(await ended, 'EIO')
  w.serving.configure({ isolationMs: 5000, onIsolation: 'block' })
  const waiting = w.getattr()
  w.advance(2000)
  w.isLeased = true
  w.advance(20)
  t.is(await waiting, 'ok')
  w.serving.stop()
  w.isLeased = false
  t.is(await w.getattr(), 'EIO', 'the mount is being taken down')
})

test('shown - uid and gid are shown and not stored, dirsync waits for the others', async (t) => {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close())
  const ctx: RequestContext = { uid: 7, gid: 8, pid: 1 }
  const as = (changes: Partial<MountSettings>, durable = () => Promise.resolve()) =>
    shownFilesystem(fixture.fs, { ...DEFAULT_SETTINGS, ...changes }, durable)
  t.is(as({}), fixture.fs, 'nothing in between when nothing is asked for')
  const shown = as({ shownUid: 1000 })
  const made = await shown.mkdir(ctx, ROOT_INO, name('d'), 0o755)
  t.alike([made.uid, made.gid], [1000, 8])
  t.is((await fixture.fs.getattr(ctx, made.ino)).uid, 7, 'stored as it was made')
  const changed = await shown.setattr(ctx, made.ino, { uid: 9 })
  t.is(changed.uid, 1000)
  t.is((await fixture.fs.getattr(ctx, made.ino)).uid, 9)
  t.is((await found(shown.lookup(ctx, ROOT_INO, name('d')))).uid, 1000)
  const listed: (number | undefined)[] = []
  const handle = await shown.opendir(ctx, ROOT_INO)
  await shown.readdir(ctx, ROOT_INO, handle, 2, (entry, attributes) => {
    return listed.push(attributes(entry.ino)?.uid) > 0
  })
  await shown.releasedir(ROOT_INO, handle)
  t.alike(listed, [1000], 'in a listing, too')
  let waits = 0
  const durable = async (): Promise<void> => {
    waits += 1
  }
  const synced = as({ dirSync: true, shownGid: 3 }, durable)
  t.is((await synced.symlink(ctx, ROOT_INO, name('l'), name('x'))).gid, 3)
  await synced.rename(ctx, ROOT_INO, name('l'), ROOT_INO, name('m'), {
    noReplace: false,
    exchange: false
  })
  await synced.getattr(ctx, ROOT_INO)
  t.is(waits, 2)
  const failing = as({ sync: true }, () => Promise.reject(new FsError('EIO')))
  t.is(await errnoOf(() => failing.create(ctx, ROOT_INO, name('f'), 0o644, 2)), 'EIO')
})
