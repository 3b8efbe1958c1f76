import type { Attr } from '../attr.ts'
import {
  fileType,
  isDirectory,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  S_ISGID
} from '../attr.ts'
import { whenDone } from '../awaitable.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, HandleId, RequestContext } from '../filesystem-api.ts'
import type { CreateOp, Op, TmpfileOp } from '../op.ts'
import { SYMLINK_MAX_BYTES } from '../op.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Inherited } from './acl-ops.ts'
import { inherit } from './acl-ops.ts'
import type { Core } from './core.ts'
import {
  assertName,
  attrOf,
  exclusive,
  METADATA_OP_BYTES,
  needInode,
  needLinkedDirectory,
  now,
  underExclusive,
  underShared,
  underTokens
} from './core.ts'
import { openedWhen } from './handle-ops.ts'

const PERMISSIONS = 0o7777
const O_EXCL = 0o200
const NODE_TYPES = new Set([S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK])
const NO_TARGET = new Uint8Array(0)

interface NewInode {
  readonly mode: number
  readonly rdev: number
  readonly target: Uint8Array
}

interface Made {
  readonly attr: Attr
  /** That of the ops. */
  readonly done: Awaitable<void>
}

/** Under X(parent): makes the inode and its dentry. */
function createUnder(
  core: Core,
  ctx: RequestContext,
  directory: Inode,
  name: Uint8Array,
  node: NewInode
): Made {
  const isDir = isDirectory(node.mode)
  if (isDir && directory.nlink >= core.linkMax) throw new FsError('EMLINK')
  const { gid, mode, lists } = inheritedBy(core, ctx, directory, node.mode)
  const ino = core.opLog.allocateIno()
  const time = now(core)
  const op: Op = {
    type: 'create',
    parent: directory.ino,
    name,
    ino,
    mode,
    uid: ctx.uid,
    gid,
    rdev: node.rdev,
    target: node.target,
    cookie: core.state.nextCookie(directory.ino),
    time
  }
  return make(core, op, lists)
}

interface FromDirectory extends Inherited {
  readonly gid: number
}

function inheritedBy(
  core: Core,
  ctx: RequestContext,
  directory: Inode,
  wanted: number
): FromDirectory {
  const setGid = (directory.mode & S_ISGID) !== 0
  const { mode, lists } = inherit(core, ctx, directory, wanted)
  return {
    gid: setGid ? directory.gid : ctx.gid,
    mode: setGid && isDirectory(mode) ? mode | S_ISGID : mode,
    lists
  }
}

function make(core: Core, op: CreateOp | TmpfileOp, lists: Inherited['lists']): Made {
  core.opLog.assertSpace(METADATA_OP_BYTES * (1 + lists.length))
  const { ino, time } = op
  const xattrs = lists.map(([name, value]): Op => ({ type: 'setxattr', ino, name, value, time }))
  const done =
    xattrs.length === 0 ? core.opLog.submit(op) : core.opLog.submitTogether([op, ...xattrs])
  core.tokens.own(ino)
  return { attr: attrOf(core, ino), done }
}

function makeNode(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  node: NewInode
): Awaitable<Attr> {
  return underExclusive(core, ctx, parent, () => {
    const directory = needLinkedDirectory(core, parent)
    assertName(name)
    if (core.state.dentry(parent, name) !== undefined) throw new FsError('EEXIST')
    const { attr, done } = createUnder(core, ctx, directory, name, node)
    return whenDone(done, () => attr)
  })
}

export async function mknod(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  mode: number,
  rdev: number
): Promise<Attr> {
  const type = fileType(mode) || S_IFREG
  if (!NODE_TYPES.has(type)) throw new FsError('EINVAL', 'mknod of this type')
  const isDevice = type === S_IFCHR || type === S_IFBLK
  const node = {
    mode: type | (mode & PERMISSIONS),
    rdev: isDevice ? rdev : 0,
    target: NO_TARGET
  }
  return makeNode(core, ctx, parent, name, node)
}

export function mkdir(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  mode: number
): Awaitable<Attr> {
  const node = { mode: S_IFDIR | (mode & PERMISSIONS), rdev: 0, target: NO_TARGET }
  return makeNode(core, ctx, parent, name, node)
}

export async function symlink(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  target: Uint8Array
): Promise<Attr> {
  if (target.length === 0) throw new FsError('ENOENT', 'empty link target')
  if (target.length > SYMLINK_MAX_BYTES) throw new FsError('ENAMETOOLONG', 'link target')
  if (target.includes(0)) throw new FsError('EINVAL', 'NUL in link target')
  return makeNode(core, ctx, parent, name, { mode: S_IFLNK | 0o777, rdev: 0, target })
}

/**
 * The kernel asks only for names it has just looked up in vain, and then skips the permission
 * check of the file. A file that came into being since then (on another member) is therefore
 * answered ESTALE: the kernel walks the path again, finds it, checks it and opens it.
 */
export function create(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  mode: number,
  flags: number
): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }> {
  return underExclusive(core, ctx, parent, () => {
    const directory = needLinkedDirectory(core, parent)
    assertName(name)
    if (core.state.dentry(parent, name) !== undefined) {
      throw new FsError(flags & O_EXCL ? 'EEXIST' : 'ESTALE', 'name has come into being')
    }
    const node = { mode: S_IFREG | (mode & PERMISSIONS), rdev: 0, target: NO_TARGET }
    return opened(core, createUnder(core, ctx, directory, name, node), flags)
  })
}

function opened(
  core: Core,
  { attr, done }: Made,
  flags: number
): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }> {
  return whenDone(openedWhen(core, attr.ino, flags, done), (handle) => ({ attr, handle }))
}

/** Nobody else can know of it before it has a name, and that is made under X of a directory. */
export function tmpfile(
  core: Core,
  ctx: RequestContext,
  directory: Ino,
  mode: number,
  flags: number
): Awaitable<{ readonly attr: Attr; readonly handle: HandleId }> {
  return underShared(core, ctx, directory, () => {
    const wanted = S_IFREG | (mode & PERMISSIONS)
    const parent = needLinkedDirectory(core, directory)
    const { gid, mode: given, lists } = inheritedBy(core, ctx, parent, wanted)
    const op: Op = {
      type: 'tmpfile',
      ino: core.opLog.allocateIno(),
      mode: given & PERMISSIONS,
      uid: ctx.uid,
      gid,
      time: now(core)
    }
    const result = opened(core, make(core, op, lists), flags)
    if ((flags & O_EXCL) === 0) core.openFiles.noteNameless(op.ino)
    return result
  })
}

export function link(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  newParent: Ino,
  newName: Uint8Array
): Awaitable<Attr> {
  const resolution = { wants: [exclusive(newParent), exclusive(ino)] }
  return underTokens(
    core,
    ctx,
    () => resolution,
    () => {
      const inode = needInode(core, ino)
      needLinkedDirectory(core, newParent)
      assertName(newName)
      if (core.state.dentry(newParent, newName) !== undefined) throw new FsError('EEXIST')
      if (isDirectory(inode.mode)) throw new FsError('EPERM', 'hard link to a directory')
      if (inode.nlink === 0 && !core.openFiles.isNameless(ino)) {
        throw new FsError('ENOENT', 'file was removed')
      }
      if (inode.nlink >= core.linkMax) throw new FsError('EMLINK')
      core.openFiles.assertTold(ino)
      core.opLog.assertSpace(METADATA_OP_BYTES)
      const done = core.opLog.submit({
        type: 'link',
        ino,
        parent: newParent,
        name: newName,
        cookie: core.state.nextCookie(newParent),
        time: now(core)
      })
      core.openFiles.named(ino)
      const attr = attrOf(core, ino)
      return whenDone(done, () => attr)
    }
  )
}
