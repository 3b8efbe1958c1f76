/** The kernel of this machine with its caches on, over a naive filesystem that changes "elsewhere". */
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'brittle'
import type { Attr } from '../../../src/fs/attr.ts'
import type { RequestContext } from '../../../src/fs/filesystem-api.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { NativeChannel } from '../../../src/mount/channel/native-channel.ts'
import type { PlainHandleTable } from '../../../src/mount/channel/plain-handles.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { KernelCache } from '../../../src/mount/fuse/kernel-cache.ts'
import { killPending } from '../../../src/mount/fuse/kill-pending.ts'
import { mountVolume } from '../../../src/mount/mounting/mount-volume.ts'
import { hasSubmounts } from '../../../src/mount/mounting/submounts.ts'
import { Worker } from '../../helpers/worker-client.ts'
import { MemoryLogger, realClock } from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

/** Who changes things behind the kernel's back. */
export const elsewhere: RequestContext = { uid: 0, gid: 0, pid: 0 }

export interface Mounted {
  readonly path: (name: string) => string
  readonly worker: Worker
  readonly cache: KernelCache
  /** Requests served so far. */
  readonly asked: () => number
  /** Those of one kind among them. */
  readonly answered: (opcode: string) => number
  readonly inFlight: () => number
  /** Requests that the reader has answered itself. */
  readonly answeredByReader: () => number
}

/** What the reader may answer itself. */
export interface Ready {
  readonly attrOf?: (ino: Ino) => Attr | undefined
  readonly plainHandles?: PlainHandleTable
}

/** Undefined, with a comment, where the kernel is too old to cache anything. */
export async function mounted(
  t: Test,
  fs: NaiveFilesystem,
  clock = realClock(),
  ready: Ready = {}
): Promise<Mounted | undefined> {
  const root = mkdtempSync(join(tmpdir(), 'tandemfs-cache-'))
  t.teardown(() => rmdirSync(root), { order: 3 })
  const { plainHandles } = ready
  const channelOptions = plainHandles ? { plainHandles } : {}
  const volume = await mountVolume({ mountPoint: root, source: 'naive', channelOptions })
  const logger = new MemoryLogger()
  const cache = new KernelCache({
    clock,
    logger,
    leaseLeftMs: () => 60_000,
    hasSubmounts: (everywhere) => hasSubmounts(root, { everywhere }),
    inodeOf: (ino) => fs.describe(ino),
    attrOf: ready.attrOf ?? (() => undefined),
    isBare: (ino) => fs.isBare(ino)
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
    answeredByReader: () => {
      const { channel } = volume
      return channel instanceof NativeChannel ? channel.statistics().answered : 0
    },
    inFlight: () => dispatcher.inFlight,
    path: (name) => join(root, name),
    worker,
    cache,
    asked
  }
}

const quiet = { sec: Math.floor(Date.now() / 1000) - 100, nsec: 0 }

export async function fileOf(fs: NaiveFilesystem, name: string, text: string): Promise<Ino> {
  const { attr, handle } = await fs.create(elsewhere, ROOT_INO, Buffer.from(name), 0o644, 0)
  await fs.write(elsewhere, attr.ino, handle, 0, Buffer.from(text), {
    append: false,
    killSuidGid: false
  })
  await fs.release(attr.ino, handle)
  await fs.setattr(elsewhere, attr.ino, { mtime: quiet })
  return attr.ino
}

export async function overwrite(fs: NaiveFilesystem, ino: Ino, text: string): Promise<void> {
  const handle = await fs.open(elsewhere, ino, 2)
  const options = { append: false, killSuidGid: false }
  await fs.write(elsewhere, ino, handle, 0, Buffer.from(text), options)
  await fs.release(ino, handle)
  // The same times and the same size as before: nothing but the drop tells of the change.
  await fs.setattr(elsewhere, ino, { mtime: quiet })
}

/** Holds back the answers of reads and writes; what is read is of the time of the request. */
export class SlowFilesystem extends NaiveFilesystem {
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
