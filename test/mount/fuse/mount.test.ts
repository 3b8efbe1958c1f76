/** The naive filesystem mounted for real: children use it, this process only serves. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type Test } from 'brittle'
import type { FilesystemApi } from '../../../src/fs/filesystem-api.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { killPending } from '../../../src/mount/fuse/kill-pending.ts'
import { KernelNotifier } from '../../../src/mount/fuse/notify.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { mountVolume } from '../../../src/mount/mounting/mount-volume.ts'
import { openFixture } from '../../fs/fixture.ts'
import { wholeConformance } from '../conformance.ts'
import { MemoryLogger, realClock } from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

interface Mounted {
  readonly path: string
  readonly dispatcher: FuseDispatcher
  readonly logger: MemoryLogger
  readonly notifier: KernelNotifier
}

async function mounted(
  t: Test,
  fs: FilesystemApi,
  kind: 'native' | 'threadpool'
): Promise<Mounted> {
  const path = mkdtempSync(join(tmpdir(), 'tandemfs-fuse-'))
  t.teardown(() => rmdirSync(path), { order: 2 })
  const volume = await mountVolume({ mountPoint: path, source: 'naive', channel: kind })
  const logger = new MemoryLogger()
  const dispatcher = new FuseDispatcher({
    channel: volume.channel,
    fs,
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
    { order: 1 }
  )
  dispatcher.start()
  await dispatcher.ready
  return { path, dispatcher, logger, notifier: new KernelNotifier(volume.channel) }
}

interface Outcome {
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
}

function outcome(child: ChildProcess): Promise<Outcome> {
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, output }))
  })
}

/** Files in one directory: as many as take a moment. */
const FILES = { native: 5000, threadpool: 500 } as const

for (const kind of ['native', 'threadpool'] as const) {
  const conformance = ['-c', wholeConformance] as const
  const files = FILES[kind]

  test(`mount - a process uses the filesystem, ${kind} channel`, {
    timeout: 120_000
  }, async (t) => {
    const { path, dispatcher, logger } = await mounted(t, new NaiveFilesystem(), kind)
    const result = await outcome(spawn('python3', [...conformance, path, String(files)]))
    t.is(result.code, 0, result.output)
    t.comment(result.output.trim(), JSON.stringify(logger.lines[0]?.fields))
    await dispatcher.idle()
    t.alike(
      logger.lines.filter((line) => line.level === 'error'),
      []
    )
    t.ok((dispatcher.statistics.snapshot()['CREATE']?.count ?? 0) > files)
  })

  test(`mount - the same on the real filesystem and state, ${kind} channel`, {
    timeout: 120_000
  }, async (t) => {
    const { fs, state } = openFixture(await t.tmp())
    t.teardown(() => state.close(), { order: 3 })
    const { path, dispatcher, logger } = await mounted(t, fs, kind)
    const result = await outcome(spawn('python3', [...conformance, path, String(files)]))
    t.is(result.code, 0, result.output)
    await dispatcher.idle()
    t.alike(
      logger.lines.filter((line) => line.level === 'error'),
      []
    )
  })
}

class StuckFilesystem extends NaiveFilesystem {
  stuck: () => void = () => {}

  override statfs(ctx?: { readonly signal?: AbortSignal }): ReturnType<NaiveFilesystem['statfs']> {
    const signal = ctx?.signal
    if (signal === undefined) throw new Error('no signal')
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.stuck()
    })
  }
}

test('mount - SIGKILL ends a process whose request waits, other signals do not', async (t) => {
  const fs = new StuckFilesystem()
  const isStuck = new Promise<void>((resolve) => {
    fs.stuck = resolve
  })
  const { path, dispatcher } = await mounted(t, fs, 'native')
  const script = 'import os, signal, sys\nsignal.signal(signal.SIGUSR1, lambda *a: None)\n'
  const child = spawn('python3', ['-c', `${script}os.statvfs(sys.argv[1])`, path])
  const ended = outcome(child)
  await isStuck
  child.kill('SIGUSR1')
  while (dispatcher.statistics.snapshot()['INTERRUPT'] === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.is(dispatcher.inFlight, 1)
  child.kill('SIGKILL')
  const { signal } = await ended
  t.is(signal, 'SIGKILL')
  await dispatcher.idle()
  t.is(dispatcher.inFlight, 0)
})

test('mount - the kernel takes every notification', async (t) => {
  const { path, dispatcher, notifier } = await mounted(t, new NaiveFilesystem(), 'native')
  const script = 'import os, sys\nos.mkdir(sys.argv[1] + "/d")\nos.mkdir(sys.argv[1] + "/d/e")\n'
  t.is((await outcome(spawn('python3', ['-c', script, path]))).code, 0)
  const { incEpoch, expireOnly } = await dispatcher.ready
  await notifier.invalInode(ROOT_INO, 0, 4096)
  await notifier.invalAttributes(ROOT_INO)
  if (expireOnly) await notifier.expireEntry(ROOT_INO, Buffer.from('d'))
  if (incEpoch) notifier.incEpochNow()
  await notifier.invalEntry(ROOT_INO, Buffer.from('d'))
  await notifier.deleteEntry(ROOT_INO, 2 as typeof ROOT_INO, Buffer.from('d'))
  t.pass(`incEpoch=${incEpoch} expireOnly=${expireOnly}`)
})
