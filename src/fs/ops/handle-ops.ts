import { isDirectory, isRegular, isSymlink } from '../attr.ts'
import { whenDone } from '../awaitable.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, HandleId, RequestContext } from '../filesystem-api.ts'
import type { HandleLock } from '../open-files.ts'
import type { Ino } from '../primitives.ts'
import type { Core } from './core.ts'
import { needInode, now, underExclusive, underShared } from './core.ts'
import { closeRecordLocks, releaseHandleLocks } from './lock-ops.ts'

const O_ACCMODE = 3
const O_RDONLY = 0
const O_TRUNC = 0o1000

export function open(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  flags: number
): Awaitable<HandleId> {
  const writes = (flags & O_ACCMODE) !== O_RDONLY
  if (writes && (flags & O_TRUNC) !== 0) return openTruncating(core, ctx, ino, flags)
  return underShared(core, ctx, ino, (inode) => {
    assertOpenable(inode.mode, writes)
    return core.openFiles.open(ino, flags, false)
  })
}

function openTruncating(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  flags: number
): Awaitable<HandleId> {
  return underExclusive(core, ctx, ino, (inode) => {
    assertOpenable(inode.mode, true)
    if (!isRegular(inode.mode)) return core.openFiles.open(ino, flags, false)
    const done = core.opLog.submit({ type: 'truncate', ino, size: 0, time: now(core) })
    return whenDone(openedWhen(core, ino, flags, done), (handle) => {
      core.openFiles.rewritten(ino)
      return handle
    })
  })
}

/** Open from now on, and closed again when what it waits for fails. */
export function openedWhen(
  core: Core,
  ino: Ino,
  flags: number,
  done: Awaitable<void>
): Awaitable<HandleId> {
  const handle = core.openFiles.open(ino, flags, false)
  if (!(done instanceof Promise)) return handle
  return done.then(
    () => handle,
    (error: unknown) => {
      core.openFiles.close(ino, handle)
      throw error
    }
  )
}

function assertOpenable(mode: number, writes: boolean): void {
  if (isSymlink(mode)) throw new FsError('ELOOP')
  if (isDirectory(mode) && writes) throw new FsError('EISDIR')
}

export function opendir(core: Core, ctx: RequestContext, ino: Ino): Awaitable<HandleId> {
  return underShared(core, ctx, ino, (inode) => {
    if (!isDirectory(inode.mode)) throw new FsError('ENOTDIR')
    return core.openFiles.open(ino, O_RDONLY, true)
  })
}

/** Nothing is buffered here: a close ends record locks and learns whether its handle is good. */
export function flush(core: Core, ino: Ino, handle: HandleId, lockOwner: bigint): Awaitable<void> {
  const released = closeRecordLocks(core, ino, handle, lockOwner)
  if (released !== undefined) return released.then(() => assertGood(core, ino, handle))
  assertGood(core, ino, handle)
}

function assertGood(core: Core, ino: Ino, handle: HandleId): void {
  core.openFiles.get(ino, handle)
  needInode(core, ino)
}

export async function fsync(core: Core, ino: Ino, handle: HandleId): Promise<void> {
  core.openFiles.get(ino, handle)
  needInode(core, ino)
  await core.opLog.durable()
  core.openFiles.get(ino, handle)
}

export function release(core: Core, ino: Ino, handle: HandleId): Awaitable<void> {
  const locks = core.openFiles.locksOf(handle)
  core.openFiles.close(ino, handle)
  if (locks.length === 0) core.sections.close(handle)
  else return releaseLocked(core, ino, handle, locks)
}

async function releaseLocked(
  core: Core,
  ino: Ino,
  handle: HandleId,
  locks: readonly HandleLock[]
): Promise<void> {
  await releaseHandleLocks(core, ino, handle, locks)
  core.sections.close(handle)
}
