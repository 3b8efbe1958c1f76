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
import { FsError } from '../errno.ts'
import type { HandleId, RequestContext } from '../filesystem-api.ts'
import { SYMLINK_MAX_BYTES } from '../op.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
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
  underTokens
} from './core.ts'

const PERMISSIONS = 0o7777
const O_EXCL = 0o200
const NODE_TYPES = new Set([S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK])
const NO_TARGET = new Uint8Array(0)

interface NewInode {
  readonly mode: number
  readonly rdev: number
  readonly target: Uint8Array
}

/** Under X(parent): makes the inode and its dentry; the promise is that of the op. */
function createUnder(
  core: Core,
  ctx: RequestContext,
  directory: Inode,
  name: Uint8Array,
  node: NewInode
): { readonly attr: Attr; readonly done: Promise<void> } {
  const isDir = isDirectory(node.mode)
  if (isDir && directory.nlink >= core.linkMax) throw new FsError('EMLINK')
  core.opLog.assertSpace(METADATA_OP_BYTES)
  const inherits = (directory.mode & S_ISGID) !== 0
  const ino = core.opLog.allocateIno()
  const done = core.opLog.submit({
    type: 'create',
    parent: directory.ino,
    name,
    ino,
    mode: inherits && isDir ? node.mode | S_ISGID : node.mode,
    uid: ctx.uid,
    gid: inherits ? directory.gid : ctx.gid,
    rdev: node.rdev,
    target: node.target,
    cookie: core.state.nextCookie(directory.ino),
    time: now(core)
  })
  core.tokens.own(ino)
  return { attr: attrOf(core, ino), done }
}

function makeNode(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  node: NewInode
): Promise<Attr> {
  return underExclusive(core, ctx, parent, async () => {
    const directory = needLinkedDirectory(core, parent)
    assertName(name)
    if (core.state.dentry(parent, name) !== undefined) throw new FsError('EEXIST')
    const { attr, done } = createUnder(core, ctx, directory, name, node)
    await done
    return attr
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
): Promise<Attr> {
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
): Promise<{ readonly attr: Attr; readonly handle: HandleId }> {
  return underExclusive(core, ctx, parent, async () => {
    const directory = needLinkedDirectory(core, parent)
    assertName(name)
    if (core.state.dentry(parent, name) !== undefined) {
      throw new FsError(flags & O_EXCL ? 'EEXIST' : 'ESTALE', 'name has come into being')
    }
    const node = { mode: S_IFREG | (mode & PERMISSIONS), rdev: 0, target: NO_TARGET }
    const { attr, done } = createUnder(core, ctx, directory, name, node)
    const handle = core.openFiles.open(attr.ino, flags, false)
    try {
      await done
    } catch (error) {
      core.openFiles.close(attr.ino, handle)
      throw error
    }
    return { attr, handle }
  })
}

export function link(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  newParent: Ino,
  newName: Uint8Array
): Promise<Attr> {
  const resolution = { wants: [exclusive(newParent), exclusive(ino)] }
  return underTokens(
    core,
    ctx,
    () => resolution,
    async () => {
      const inode = needInode(core, ino)
      needLinkedDirectory(core, newParent)
      assertName(newName)
      if (core.state.dentry(newParent, newName) !== undefined) throw new FsError('EEXIST')
      if (isDirectory(inode.mode)) throw new FsError('EPERM', 'hard link to a directory')
      if (inode.nlink === 0) throw new FsError('ENOENT', 'file was removed')
      if (inode.nlink >= core.linkMax) throw new FsError('EMLINK')
      core.opLog.assertSpace(METADATA_OP_BYTES)
      const done = core.opLog.submit({
        type: 'link',
        ino,
        parent: newParent,
        name: newName,
        cookie: core.state.nextCookie(newParent),
        time: now(core)
      })
      const attr = attrOf(core, ino)
      await done
      return attr
    }
  )
}
