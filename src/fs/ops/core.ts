/**
 * What every operation shares. The pattern: resolve what is needed from the local state, get the
 * tokens, and then - in one synchronous piece - check and submit. After a wait the resolution is
 * done again, because the names may mean other inodes by then, and asked for again when the set
 * has changed (RULES 8). The guard is released as soon as the op is applied and submitted: the
 * replication sends everything submitted before it gives a token away. Only the answer waits for
 * the promise of `submit`.
 */
import type { Attr, TimeSpec } from '../attr.ts'
import { isDirectory } from '../attr.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, RequestContext } from '../filesystem-api.ts'
import type { LockedSections } from '../locked-sections.ts'
import { isDotName } from '../names.ts'
import { NAME_MAX_BYTES } from '../op.ts'
import { TIME_SEC_MAX } from '../op-codec.ts'
import type { OpenFiles } from '../open-files.ts'
import type { Clock } from '../ports/clock.ts'
import type { LockService } from '../ports/lock-service.ts'
import type { Logger } from '../ports/logger.ts'
import type { OpLog } from '../ports/op-log.ts'
import type { SliceStore } from '../ports/slice-store.ts'
import type { ByteRange, TokenService, TokenWant } from '../ports/token-service.ts'
import type { Ino, MemberId } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import { toAttr } from '../state/inode-table.ts'
import type { StateStore } from '../state/state-store.ts'

export interface FilesystemComponents {
  readonly state: StateStore
  readonly opLog: OpLog
  readonly slices: SliceStore
  readonly tokens: TokenService
  readonly locks: LockService
  readonly clock: Clock
  readonly logger: Logger
}

export interface Core extends FilesystemComponents {
  readonly openFiles: OpenFiles
  readonly sections: LockedSections
  /** This member; locks of any other are a stranger's to local processes. */
  readonly member: MemberId | undefined
  readonly linkMax: number
}

export interface Resolution {
  readonly wants: readonly TokenWant[]
  /** Inodes that are probably changed next. */
  readonly ahead?: (() => readonly Ino[]) | undefined
}

/** What a metadata op may take on disk, in state, journal and log. */
export const METADATA_OP_BYTES = 4096
const ATTEMPTS_MAX = 64

/**
 * Runs `run` while the tokens of its resolution are held. `resolve` must not throw: what it finds
 * may be stale until the tokens are held. `run` is synchronous up to the promise it may return.
 * Without anybody to ask all of it is done before this returns.
 */
export function underTokens<R extends Resolution, T>(
  core: Core,
  ctx: RequestContext,
  resolve: () => R,
  run: (found: R) => Awaitable<T>
): Awaitable<T> {
  const found = resolve()
  const guard = core.tokens.tryAcquire(found.wants)
  if (guard === undefined) return whenGranted(core, ctx, found, resolve, run)
  try {
    return run(found)
  } finally {
    guard.release()
  }
}

async function whenGranted<R extends Resolution, T>(
  core: Core,
  ctx: RequestContext,
  wanted: R,
  resolve: () => R,
  run: (found: R) => Awaitable<T>
): Promise<T> {
  let found = wanted
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const guard = await core.tokens.acquire(found.wants, ctx.signal, found.ahead)
    try {
      const now = resolve()
      if (isCovered(now.wants, found.wants)) return run(now)
      found = now
    } finally {
      guard.release()
    }
  }
  core.logger.warn({ wants: found.wants }, 'names changed under every attempt to get their tokens')
  throw new FsError('EIO', 'names changed under every attempt to get their tokens')
}

function isCovered(wants: readonly TokenWant[], held: readonly TokenWant[]): boolean {
  return wants.every((want) =>
    held.some(
      (have) =>
        have.ino === want.ino &&
        (have.mode === 'exclusive' || want.mode === 'shared') &&
        isWithin(want.range, have.range)
    )
  )
}

function isWithin(range: ByteRange | undefined, held: ByteRange | undefined): boolean {
  if (held === undefined) return true
  return range !== undefined && held.start <= range.start && held.end >= range.end
}

export function shared(ino: Ino): TokenWant {
  return { ino, mode: 'shared' }
}

export function exclusive(ino: Ino): TokenWant {
  return { ino, mode: 'exclusive' }
}

/** Not by a spread: that takes as long as all the rest of getting a token that is there. */
export function exclusiveRange(ino: Ino, range: ByteRange): TokenWant {
  return { ino, mode: 'exclusive', range }
}

/**
 * `run` under one shared token, of all of the inode or a range of its bytes, given the inode;
 * ESTALE when there is none.
 */
export function underShared<T>(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  run: (inode: Inode) => Awaitable<T>,
  range?: ByteRange
): Awaitable<T> {
  const want: TokenWant = range === undefined ? shared(ino) : { ino, mode: 'shared', range }
  const resolution = { wants: [want] }
  return underTokens(
    core,
    ctx,
    () => resolution,
    () => run(needInode(core, ino))
  )
}

/** `run` under one exclusive token, given the inode; ESTALE when there is none. */
export function underExclusive<T>(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  run: (inode: Inode) => Awaitable<T>
): Awaitable<T> {
  const resolution = { wants: [exclusive(ino)] }
  return underTokens(
    core,
    ctx,
    () => resolution,
    () => run(needInode(core, ino))
  )
}

/**
 * ESTALE makes the kernel walk the path again, where that is possible. An orphan that was declared
 * closed for good counts as gone: its reap op may be under way, and an op of ours on it could
 * reach another member behind that (RULES 27).
 */
export function needInode(core: Core, ino: Ino): Inode {
  const inode = core.state.inode(ino)
  if (inode === undefined || core.openFiles.isClosedForGood(ino)) {
    throw new FsError('ESTALE', `inode ${ino} does not exist any more`)
  }
  return inode
}

export function needDirectory(core: Core, ino: Ino): Inode {
  const inode = needInode(core, ino)
  if (!isDirectory(inode.mode)) throw new FsError('ENOTDIR')
  return inode
}

/** A directory in which entries can be found, made and removed. */
export function needLinkedDirectory(core: Core, ino: Ino): Inode {
  const directory = needDirectory(core, ino)
  if (directory.nlink === 0) throw new FsError('ENOENT', 'directory was removed')
  return directory
}

/** Names that may be made or removed; the kernel stops most others before. */
export function assertName(name: Uint8Array): void {
  if (name.length > NAME_MAX_BYTES) throw new FsError('ENAMETOOLONG')
  if (name.length === 0) throw new FsError('ENOENT', 'empty name')
  if (isDotName(name)) throw new FsError('EINVAL', 'name is "." or ".."')
  if (name.includes(0) || name.includes(0x2f)) throw new FsError('EINVAL', 'name has NUL or "/"')
}

export function clampTime(time: TimeSpec): TimeSpec {
  if (time.sec > TIME_SEC_MAX) return { sec: TIME_SEC_MAX, nsec: 0 }
  if (time.sec < -TIME_SEC_MAX) return { sec: -TIME_SEC_MAX, nsec: 0 }
  return time
}

export function now(core: Core): TimeSpec {
  return clampTime(core.clock.wall())
}

export function attrOf(core: Core, ino: Ino): Attr {
  return toAttr(needInode(core, ino))
}
