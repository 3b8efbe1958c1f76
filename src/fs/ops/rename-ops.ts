/**
 * rename(2) with its flags. Keeps RULES 8: moving a directory to another parent also takes the one
 * rename token of the volume, under which nobody else changes who lies below whom; the check that
 * a directory does not become its own descendant is made while it is held.
 */
import type { TimeSpec } from '../attr.ts'
import { isDirectory, S_IFCHR } from '../attr.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, RenameFlags, RequestContext } from '../filesystem-api.ts'
import type { Op, RenameOp } from '../op.ts'
import type { TokenWant } from '../ports/token-service.ts'
import { RENAME_TOKEN } from '../ports/token-service.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Core } from './core.ts'
import {
  assertName,
  exclusive,
  METADATA_OP_BYTES,
  needInode,
  needLinkedDirectory,
  now,
  underTokens
} from './core.ts'
import { siblingsBehind } from './siblings.ts'

export interface RenameRequest {
  readonly parent: Ino
  readonly name: Uint8Array
  readonly newParent: Ino
  readonly newName: Uint8Array
  readonly flags: RenameFlags
}

interface Found {
  readonly wants: readonly TokenWant[]
  readonly ahead: (() => readonly Ino[]) | undefined
  readonly moved: Ino | undefined
  readonly replaced: Ino | undefined
}

export function rename(core: Core, ctx: RequestContext, request: RenameRequest): Awaitable<void> {
  return underTokens(
    core,
    ctx,
    () => resolve(core, request),
    (found) => run(core, ctx, request, found)
  )
}

function resolve(core: Core, request: RenameRequest): Found {
  const { parent, name, newParent, newName } = request
  const moved = core.state.dentry(parent, name)
  const replaced = core.state.dentry(newParent, newName)
  const inos = new Set([parent, newParent])
  if (moved !== undefined) inos.add(moved.ino)
  if (replaced !== undefined) inos.add(replaced.ino)
  if (parent !== newParent) {
    const directories = [moved, replaced].some((one) => one !== undefined && isDirectory(one.type))
    if (directories) inos.add(RENAME_TOKEN)
  }
  const ahead = moved === undefined ? undefined : () => siblingsBehind(core, parent, moved)
  return { wants: [...inos].map(exclusive), ahead, moved: moved?.ino, replaced: replaced?.ino }
}

function run(
  core: Core,
  ctx: RequestContext,
  request: RenameRequest,
  found: Found
): Awaitable<void> {
  const { parent, name, newParent, newName, flags } = request
  if (flags.exchange && (flags.noReplace || flags.whiteout)) {
    throw new FsError('EINVAL', 'rename flags that do not go together')
  }
  needLinkedDirectory(core, parent)
  const to = needLinkedDirectory(core, newParent)
  assertName(name)
  assertName(newName)
  if (found.moved === undefined) throw new FsError('ENOENT')
  const moved = needInode(core, found.moved)
  const replaced = found.replaced === undefined ? undefined : needInode(core, found.replaced)
  if (replaced !== undefined && flags.noReplace) throw new FsError('EEXIST')
  if (replaced === undefined && flags.exchange) throw new FsError('ENOENT')
  if (replaced?.ino === moved.ino) return
  assertNoCycle(core, request, moved, replaced)
  if (replaced !== undefined && !flags.exchange) assertReplaceable(core, moved, replaced)
  const across = parent !== newParent
  if (across) assertLinkRoom(core, request, to, moved, replaced)
  // Written anew under another name and put in place: it must not replace what is whole.
  core.openFiles.assertTold(moved.ino)
  core.opLog.assertSpace(METADATA_OP_BYTES)
  const cookie = core.state.nextCookie(newParent)
  const time = now(core)
  const op: RenameOp = {
    type: 'rename',
    parent,
    name,
    newParent,
    newName,
    ino: moved.ino,
    replaced: replaced?.ino ?? 0,
    exchange: flags.exchange,
    cookie,
    exchangeCookie: flags.exchange ? secondCookie(core, request, cookie) : 0,
    time
  }
  return flags.whiteout
    ? core.opLog.submitTogether([op, whiteout(core, ctx, request, cookie, time)])
    : core.opLog.submit(op)
}

/** Of the dentry that takes the old place. */
function secondCookie(core: Core, request: RenameRequest, cookie: number): number {
  return request.parent === request.newParent ? cookie + 1 : core.state.nextCookie(request.parent)
}

/** What overlay filesystems read as "removed": a character device 0:0 without permissions. */
function whiteout(
  core: Core,
  ctx: RequestContext,
  request: RenameRequest,
  cookie: number,
  time: TimeSpec
): Op {
  return {
    type: 'create',
    parent: request.parent,
    name: request.name,
    ino: core.opLog.allocateIno(),
    mode: S_IFCHR,
    uid: ctx.uid,
    gid: ctx.gid,
    rdev: 0,
    target: new Uint8Array(0),
    cookie: secondCookie(core, request, cookie),
    time
  }
}

function assertNoCycle(
  core: Core,
  request: RenameRequest,
  moved: Inode,
  replaced: Inode | undefined
): void {
  if (isDirectory(moved.mode) && core.state.isBelow(request.newParent, moved.ino)) {
    throw new FsError('EINVAL', 'directory would become its own descendant')
  }
  if (replaced === undefined || !isDirectory(replaced.mode)) return
  if (!core.state.isBelow(request.parent, replaced.ino)) return
  throw request.flags.exchange
    ? new FsError('EINVAL', 'directory would become its own descendant')
    : new FsError('ENOTEMPTY')
}

function assertReplaceable(core: Core, moved: Inode, replaced: Inode): void {
  const movesDirectory = isDirectory(moved.mode)
  if (movesDirectory !== isDirectory(replaced.mode)) {
    throw new FsError(movesDirectory ? 'ENOTDIR' : 'EISDIR')
  }
  if (movesDirectory && !core.state.isEmptyDirectory(replaced.ino)) throw new FsError('ENOTEMPTY')
}

/** Each directory that comes to another parent adds a link there. */
function assertLinkRoom(
  core: Core,
  request: RenameRequest,
  to: Inode,
  moved: Inode,
  replaced: Inode | undefined
): void {
  const movedIsDirectory = isDirectory(moved.mode)
  const replacedIsDirectory = replaced !== undefined && isDirectory(replaced.mode)
  if (movedIsDirectory === replacedIsDirectory) return
  const gains = movedIsDirectory ? to : needInode(core, request.parent)
  if (gains.nlink >= core.linkMax) throw new FsError('EMLINK')
}
