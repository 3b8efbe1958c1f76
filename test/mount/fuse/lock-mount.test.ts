/** File locks through the kernel on one real mount, with the real lock tables behind it. */
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type Test } from 'brittle'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { killPending } from '../../../src/mount/fuse/kill-pending.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { mountVolume } from '../../../src/mount/mounting/mount-volume.ts'
import { type Fixture, openFixture } from '../../fs/fixture.ts'
import {
  type HelperAnswer,
  type LockCommandKind,
  LockProcess,
  runFcntl
} from '../../helpers/fcntl-helper.ts'
import { MemoryLogger, realClock } from './kernel-side.ts'

interface Mounted extends Fixture {
  readonly path: string
  readonly dispatcher: FuseDispatcher
  readonly logger: MemoryLogger
  /** A process with the file open in slot 0. */
  process(): Promise<LockProcess>
  /** Resolves when that many requests wait for a lock. */
  waiting(count: number): Promise<void>
  /** Resolves when that many requests of an opcode are answered. */
  served(opcode: string, count: number): Promise<void>
  /** Resolves when no lock is held or waited for. */
  free(): Promise<void>
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

async function mounted(t: Test): Promise<Mounted> {
  const fixture = openFixture(await t.tmp())
  t.teardown(() => fixture.state.close(), { order: 4 })
  const path = mkdtempSync(join(tmpdir(), 'tandemfs-lock-'))
  t.teardown(() => rmdirSync(path), { order: 3 })
  const volume = await mountVolume({ mountPoint: path, source: 'locks' })
  const logger = new MemoryLogger()
  const dispatcher = new FuseDispatcher({
    channel: volume.channel,
    fs: fixture.fs,
    policy: uncachedPolicy,
    gate: openGate,
    clock: realClock(),
    logger,
    killPending
  })
  t.teardown(
    async () => {
      await volume.unmount({ lazy: true })
      await volume.channel.close()
    },
    { order: 2 }
  )
  dispatcher.start()
  await dispatcher.ready
  const rows = (state: string): number => {
    return fixture.locks.list().filter((row) => row.state === state).length
  }
  return {
    ...fixture,
    path,
    dispatcher,
    logger,
    process: async () => {
      const child = new LockProcess()
      t.teardown(() => child.kill(), { order: 1 })
      await child.must(`open 0 ${path}/f`)
      return child
    },
    waiting: (count) => until(() => rows('waiting') === count),
    served: (opcode, count) => {
      return until(() => (dispatcher.statistics.snapshot()[opcode]?.count ?? 0) >= count)
    },
    free: () => until(() => fixture.locks.list().length === 0)
  }
}

const KINDS: readonly LockCommandKind[] = ['posix', 'ofd', 'flock']

for (const kind of KINDS) {
  test(`locks on a mount - two processes exclude each other, ${kind}`, async (t) => {
    const { process, waiting, free } = await mounted(t)
    const a = await process()
    const b = await process()
    await a.must(`set ${kind} 0 write 0 0`)
    t.is(await b.outcome(`set ${kind} 0 write 0 0`), 'EAGAIN')
    t.is(await b.outcome(`set ${kind} 0 read 0 0`), 'EAGAIN')
    const granted = b.step(`wait ${kind} 0 write 0 0`)
    await waiting(1)
    await a.must(`set ${kind} 0 unlock 0 0`)
    t.ok((await granted).ok)
    t.is(await a.outcome(`set ${kind} 0 read 0 0`), 'EAGAIN')
    await b.must(`set ${kind} 0 read 0 0`)
    t.is(await a.outcome(`set ${kind} 0 read 0 0`), 'ok', 'shared after the downgrade')
    await a.must('close 0')
    await b.must('close 0')
    await free()
    t.pass('nothing is left after both have closed')
  })

  test(`locks on a mount - a killed holder frees its waiter, ${kind}`, async (t) => {
    const { process, waiting, free } = await mounted(t)
    const a = await process()
    const b = await process()
    await a.must(`set ${kind} 0 write 0 0`)
    const granted = b.step(`wait ${kind} 0 write 0 0`)
    await waiting(1)
    const from = performance.now()
    a.kill()
    t.ok((await granted).ok)
    t.comment(`granted ${(performance.now() - from).toFixed(1)} ms after SIGKILL`)
    b.kill()
    await free()
    t.pass('nothing is left')
  })

  test(`locks on a mount - a signal ends a wait, a restarting one does not, ${kind}`, async (t) => {
    const { process, waiting, dispatcher, free } = await mounted(t)
    const a = await process()
    const b = await process()
    await a.must(`set ${kind} 0 write 0 0`)
    const interrupted = b.step(`wait ${kind} 0 write 0 0`)
    await waiting(1)
    b.kill('SIGUSR1')
    t.is((await interrupted).code, 'EINTR')
    await waiting(0)
    const again = b.step(`wait ${kind} 0 write 0 0`)
    await waiting(1)
    const before = dispatcher.statistics.snapshot()['SETLKW']?.count ?? 0
    b.kill('SIGUSR2')
    await until(() => (dispatcher.statistics.snapshot()['SETLKW']?.count ?? 0) > before)
    await waiting(1)
    await a.must(`set ${kind} 0 unlock 0 0`)
    t.ok((await again).ok, 'SA_RESTART asks again')
    const killed = a.step(`wait ${kind} 0 write 0 0`)
    await waiting(1)
    a.kill()
    await a.exited
    await waiting(0)
    void killed
    await b.must('close 0')
    await free()
    t.pass('a killed waiter leaves no trace')
  })
}

test('locks on a mount - record locks merge, split, and go at any close', async (t) => {
  const { process, free, locks } = await mounted(t)
  const a = await process()
  const b = await process()
  const get = async (start: number): Promise<readonly unknown[]> => {
    const { type, start: first, length, pid } = await b.must(`get posix 0 write ${start} 1`)
    return [type, first, length, pid]
  }
  await a.must('set posix 0 write 0 100')
  await a.must('set posix 0 read 40 20')
  t.alike(await get(10), ['write', 0, 40, a.pid])
  t.alike(await get(45), ['read', 40, 20, a.pid])
  await a.must('set posix 0 unlock 45 5')
  t.alike(await get(45), ['unlock', 45, 1, 0])
  await a.must('set posix 0 write 0 0')
  t.alike(await get(7000), ['write', 0, 0, a.pid])
  t.is(locks.list().length, 1)
  await a.must(`dup 1 0`)
  await a.must('close 1')
  t.alike(await get(0), ['unlock', 0, 1, 0], 'closing any descriptor ends the locks of the process')
  await free()
})

test('locks on a mount - OFD locks and flock live as long as the open file', async (t) => {
  const { process, free, path } = await mounted(t)
  const a = await process()
  const b = await process()
  for (const kind of ['ofd', 'flock'] as const) {
    await a.must(`set ${kind} 0 write 0 0`)
    await a.must('dup 1 0')
    await a.must('close 1')
    await a.must('fork 0')
    await a.must(`open 2 ${path}/f`)
    t.is(await a.outcome(`set ${kind} 2 write 0 0`), 'EAGAIN', `${kind}: another open file`)
    await a.must('close 2')
    t.is(await b.outcome(`set ${kind} 0 write 0 0`), 'EAGAIN', `${kind}: still held`)
    await a.must('close 0')
    await free()
    t.is(await b.outcome(`set ${kind} 0 write 0 0`), 'ok')
    await b.must(`set ${kind} 0 unlock 0 0`)
    await a.must(`open 0 ${path}/f`)
  }
})

test('locks on a mount - locks taken again through another descriptor stay', async (t) => {
  const { process, path, free, served } = await mounted(t)
  const a = await process()
  const b = await process()
  await a.must(`open 1 ${path}/f`)
  await a.must('set posix 0 write 0 10')
  await a.must('close 0')
  await a.must('set posix 1 write 0 10')
  await served('RELEASE', 1)
  t.is(await b.outcome('set posix 0 write 0 10'), 'EAGAIN', 'the late RELEASE took nothing away')
  await a.must('close 1')
  await free()
})

test('locks on a mount - a killed process whose files live on in a child', async (t) => {
  const { process, waiting, dispatcher } = await mounted(t)
  const a = await process()
  const b = await process()
  const c = await process()
  await a.must('set posix 0 write 0 10')
  await a.must('set flock 0 write 0 0')
  await a.must('set ofd 0 write 20 10')
  await a.must('keep 2')
  const record = b.step('wait posix 0 write 0 10')
  const whole = c.step('wait flock 0 write 0 0')
  await waiting(2)
  a.kill()
  t.ok((await record).ok, 'its record locks end with it')
  t.is(dispatcher.statistics.snapshot()['RELEASE'], undefined, 'the file is still open')
  t.is(await b.outcome('set ofd 0 write 20 10'), 'EAGAIN', 'OFD locks live on')
  t.ok((await whole).ok, 'until the child is gone')
  t.ok((dispatcher.statistics.snapshot()['RELEASE']?.count ?? 0) > 0)
  t.is(await b.outcome('wait ofd 0 write 20 10'), 'ok')
})

test('locks on a mount - a child does not inherit record locks, nor end them', async (t) => {
  const { process, served } = await mounted(t)
  const a = await process()
  const b = await process()
  await a.must('set posix 0 write 0 10')
  await a.must('fork 0')
  await served('FLUSH', 1)
  t.is(await b.outcome('set posix 0 write 0 10'), 'EAGAIN')
})

test('locks on a mount - a deadlock is told to one, and only a real one', async (t) => {
  const { process, waiting } = await mounted(t)
  const a = await process()
  const b = await process()
  await a.must('set posix 0 write 0 1')
  await b.must('set posix 0 write 1 1')
  const first = a.step('wait posix 0 write 1 1')
  await waiting(1)
  t.is(await b.outcome('wait posix 0 write 0 1'), 'EDEADLK')
  await b.must('set posix 0 unlock 1 1')
  t.ok((await first).ok)
})

test('locks on a mount - a lost lock poisons its handle until it is closed', async (t) => {
  const { process, fs, locks, path } = await mounted(t)
  const a = await process()
  const b = await process()
  await a.must('set posix 0 write 0 1')
  await a.must('write 0 0 old')
  const row = locks.list()[0]
  if (row === undefined) throw new Error('no lock')
  fs.loseLocks([{ ino: row.ino, kind: row.kind, owner: row.owner }])
  t.is(await a.outcome('write 0 0 new'), 'EIO')
  t.is(await a.outcome('read 0 0 3'), 'EIO')
  t.is(await a.outcome('set posix 0 write 0 1'), 'EIO')
  t.is(await a.outcome('close 0'), 'EIO')
  await a.must(`open 0 ${path}/f`)
  t.is((await a.must('read 0 0 3')).text, 'old')
  t.is(await b.outcome('write 0 0 new'), 'ok', 'others go on')
})

test('locks on a mount - many waiters, other requests are served', {
  timeout: 60_000
}, async (t) => {
  const { process, waiting, path, free } = await mounted(t)
  const holder = await process()
  await holder.must('set flock 0 write 0 0')
  const others = await Promise.all(Array.from({ length: 40 }, () => process()))
  const granted = others.map((other) => other.step('wait flock 0 write 0 0'))
  await waiting(40)
  t.is(await holder.outcome('write 0 0 text'), 'ok')
  await holder.must(`open 1 ${path}/g`)
  for (const other of others.slice(0, 20)) other.kill()
  await waiting(20)
  await holder.must('close 0')
  const turns = others.slice(20).map(async (other, index) => {
    const turn = await granted[20 + index]
    await other.must('close 0')
    return turn?.ok
  })
  t.alike(
    await Promise.all(turns),
    Array.from({ length: 20 }, () => true)
  )
  await free()
})

for (const kind of KINDS) {
  test(`locks on a mount - counters under a lock, ${kind}`, { timeout: 120_000 }, async (t) => {
    const { path, dispatcher, free, logger } = await mounted(t)
    const guard = join(await t.tmp(), 'guard')
    const ranges = kind === 'flock' ? 1 : 3
    const runs = Array.from({ length: 4 }, () =>
      runFcntl(['count', kind, `${path}/n`, guard, 200, ranges])
    )
    const results: HelperAnswer[] = await Promise.all(runs)
    for (const { done, errors, overlaps } of results) {
      t.alike([done, errors, overlaps], [200, 0, 0])
    }
    t.is((await runFcntl(['sum', `${path}/n`, ranges])).done, 800)
    await free()
    await dispatcher.idle()
    t.alike(
      logger.lines.filter((line) => line.level === 'error'),
      []
    )
    const pair = await runFcntl(['pair', kind, `${path}/n`, 5000])
    t.comment(`${kind}: ${pair.pairsPerSecond} lock+unlock/s, p50 ${pair.p50Us} us`)
  })
}
