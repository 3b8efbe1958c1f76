/**
 * File locks as the kernel asks for them. Who holds what is decided by the LockService; owned here
 * is the tie between locks and open files (RULES 5, second half: a handle that lost locks answers
 * EIO until it is closed).
 *
 * Every owner that asked for a lock is noted with the handle it came through before the lock is
 * asked for, so that no close can miss it. A record owner's locks go at any close(2) of the inode
 * in its process (FLUSH). An OFD lock is a record lock on the wire whose owner is the open file: no
 * FLUSH names it, so what is still noted when the open file is gone goes then. So does flock.
 */
import { FsError } from '../errno.ts'
import type { Awaitable, HandleId, LockInTheWay, RequestContext } from '../filesystem-api.ts'
import type { HandleLock } from '../open-files.ts'
import type { LockConflict, LockRequest, LockWait } from '../ports/lock-service.ts'
import type { Ino } from '../primitives.ts'
import type { Core } from './core.ts'
import { needInode } from './core.ts'

function recordOwner({ kind, owner }: LockRequest): bigint | undefined {
  return kind === 'record' ? owner : undefined
}

export async function getlk(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  request: LockRequest
): Promise<LockInTheWay | undefined> {
  core.openFiles.get(ino, handle, recordOwner(request))
  needInode(core, ino)
  const conflict = await core.locks.getlk(ino, request, ctx.signal)
  return conflict === undefined ? undefined : inTheWay(core, conflict)
}

function inTheWay(core: Core, conflict: LockConflict): LockInTheWay {
  const { type, start, end, member, pid } = conflict
  return { type, start, end, pid: member === core.member ? pid : 0 }
}

export function setlk(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  request: LockRequest,
  options: { readonly wait: boolean }
): Awaitable<void> {
  core.openFiles.get(ino, handle, recordOwner(request))
  needInode(core, ino)
  if (request.type !== 'unlock') core.openFiles.noteLock(ino, handle, request)
  const done = core.locks.setlk(ino, request, lockWait(core, ctx, ino, handle, request, options))
  if (done === undefined) beginSection(core, handle, request)
  else {
    return done.then(() => {
      core.openFiles.get(ino, handle, recordOwner(request))
      beginSection(core, handle, request)
    })
  }
}

function beginSection(core: Core, handle: HandleId, { type }: LockRequest): void {
  if (type !== 'unlock') core.sections.begin(handle, type)
}

function lockWait(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  { type }: LockRequest,
  { wait }: { readonly wait: boolean }
): LockWait {
  if (type === 'unlock') {
    giveUpTokens(core, ino, handle)
    return { wait }
  }
  return {
    wait,
    token: core.sections.expected(ino, handle, type),
    // A signal costs as much as a lock that nobody has to wait for.
    get signal() {
      return ctx.signal
    }
  }
}

/**
 * Before an unlock: another member waits for the lock and will want what was used under it. Said
 * first, so that the token is free when the lock is.
 */
function giveUpTokens(core: Core, ino: Ino, handle: HandleId): void {
  const used = core.sections.end(ino, handle)
  if (used !== undefined && core.locks.isContended(ino)) core.tokens.giveUp(ino, used)
}

/** At close(2). The promise resolves when every member knows that the locks are gone. */
export function closeRecordLocks(
  core: Core,
  ino: Ino,
  handle: HandleId,
  owner: bigint
): void | Promise<void> {
  giveUpTokens(core, ino, handle)
  return releaseRecordLocks(core, ino, owner)
}

function releaseRecordLocks(core: Core, ino: Ino, owner: bigint): void | Promise<void> {
  if (!core.openFiles.forgetRecordOwner(ino, owner)) return
  return core.locks.releaseOwner(ino, owner, 'record')
}

/** When an open file is gone: the locks that no FLUSH ended. */
export async function releaseHandleLocks(
  core: Core,
  ino: Ino,
  handle: HandleId,
  locks: readonly HandleLock[]
): Promise<void> {
  giveUpTokens(core, ino, handle)
  const releases = locks.map(({ owner, kind }) => core.locks.releaseOwner(ino, owner, kind))
  await Promise.all(releases)
}

/** Releases without anybody who waits; what keeps it from being known elsewhere is logged. */
export function dropLocks(core: Core, ino: Ino, owner: bigint): void {
  Promise.resolve(releaseRecordLocks(core, ino, owner)).catch((error: unknown) => {
    if (!(error instanceof FsError)) throw error
    core.logger.warn({ ino, error: error.message }, 'locks of a closed file not released')
  })
}
