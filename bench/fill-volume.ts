/**
 * `node fill-volume.js STATE FOLDER FROM FILES PER_FOLDER`: makes the files FROM..FILES-1 of the tree
 * workloads (bench/native/load/tree.c) in FOLDER, or PER_FOLDER = 0: all in FOLDER itself. It works as
 * the member whose state directory STATE is, without a mount: through the same filesystem, entries,
 * journal and connections, but many files at a time. A million files through the kernel, one after the
 * other, take twenty minutes.
 */
import type { RequestContext } from '../src/fs/filesystem-api.ts'
import { OpenFiles } from '../src/fs/open-files.ts'
import type { Ino } from '../src/fs/primitives.ts'
import { ROOT_INO } from '../src/fs/primitives.ts'
import { silentLogger } from '../src/mount/cli/silent-logger.ts'
import { boottimeMs } from '../src/mount/daemon/boottime.ts'
import { type Incarnation, openIncarnation } from '../src/mount/daemon/incarnation.ts'
import { StateLock } from '../src/mount/daemon/state-lock.ts'
import { systemClock } from '../src/mount/daemon/system-clock.ts'
import { deferToTurnEnd } from '../src/replication/defer.ts'

const AT_ONCE = 250
const CONTENT = Buffer.alloc(100, 'content ')
const PLAIN = { append: false, killSuidGid: false }
const O_WRONLY_CREAT_EXCL = 0o301
const context: RequestContext = { uid: 0, gid: 0, pid: process.pid }

async function folderNamed(fs: Incarnation['filesystem'], parent: Ino, name: string): Promise<Ino> {
  try {
    return (await fs.mkdir(context, parent, Buffer.from(name), 0o755)).ino
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    const there = await fs.lookup(context, parent, Buffer.from(name))
    if (there === undefined) throw error
    return there.ino
  }
}

async function makeFile(fs: Incarnation['filesystem'], parent: Ino, number: number): Promise<void> {
  const name = Buffer.from(`f${number}`)
  const { attr, handle } = await fs.create(context, parent, name, 0o644, O_WRONLY_CREAT_EXCL)
  await fs.write(context, attr.ino, handle, 0, CONTENT, PLAIN)
  await fs.release(attr.ino, handle)
}

interface Job {
  readonly stateDir: string
  readonly folder: string
  readonly from: number
  readonly files: number
  readonly perFolder: number
}

async function fill(fs: Incarnation['filesystem'], job: Job): Promise<void> {
  const top = await folderNamed(fs, ROOT_INO, job.folder)
  const perFolder = job.perFolder === 0 ? job.files : job.perFolder
  let parent = top
  for (let number = job.from; number < job.files; ) {
    const index = Math.floor(number / perFolder)
    if (job.perFolder > 0) parent = await folderNamed(fs, top, `d${index}`)
    const end = Math.min(job.files, (index + 1) * perFolder, number + AT_ONCE)
    const made: Promise<void>[] = []
    for (; number < end; number++) made.push(makeFile(fs, parent, number))
    await Promise.all(made)
    // Most of it is done without waiting for anything: heartbeats need their turn.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function fail(error: unknown): never {
  process.stderr.write(`fill-volume: ${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
}

async function main(job: Job): Promise<void> {
  const { stateDir } = job
  const lock = StateLock.acquire(stateDir)
  let live = (): void => {}
  const becomesLive = new Promise<void>((resolve) => {
    live = resolve
  })
  const incarnation = await openIncarnation(
    {
      clock: systemClock(boottimeMs()),
      logger: silentLogger,
      openFiles: new OpenFiles(),
      ranges: undefined,
      cipher: undefined,
      defer: deferToTurnEnd,
      kernelCache: { drop: () => undefined, submitted: () => undefined },
      noteTraffic: () => {},
      onLive: live,
      onEnded: (reason) => fail(new Error(`the member ended: ${reason}`)),
      onFatal: fail
    },
    { stateDir, isolationMs: 30_000 }
  )
  await incarnation.replica.start()
  await becomesLive
  await fill(incarnation.filesystem, job)
  await incarnation.replica.durable()
  await incarnation.close({ orderly: true })
  lock.release()
}

const [stateDir = '', folder = '', from = '', files = '', perFolder = ''] = process.argv.slice(2)
const job: Job = {
  stateDir,
  folder,
  from: Number(from),
  files: Number(files),
  perFolder: Number(perFolder)
}
// Timers and sockets of the replica do not keep the process alive by themselves.
const alive = setInterval(() => {}, 1000)
main(job).then(() => clearInterval(alive), fail)
