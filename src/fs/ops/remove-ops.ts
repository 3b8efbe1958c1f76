import { isDirectory } from '../attr.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, RequestContext } from '../filesystem-api.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Core } from './core.ts'
import { assertName, exclusive, needInode, needLinkedDirectory, now, underTokens } from './core.ts'
import { siblingsBehind } from './siblings.ts'

function underDentry(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array,
  run: (child: Inode) => Awaitable<void>
): Awaitable<void> {
  return underTokens(
    core,
    ctx,
    () => {
      const dentry = core.state.dentry(parent, name)
      if (dentry === undefined) return { wants: [exclusive(parent)], child: undefined }
      const child = dentry.ino
      const ahead = () => siblingsBehind(core, parent, dentry)
      return { wants: [exclusive(parent), exclusive(child)], ahead, child }
    },
    ({ child }) => {
      needLinkedDirectory(core, parent)
      assertName(name)
      if (child === undefined) throw new FsError('ENOENT')
      return run(needInode(core, child))
    }
  )
}

export function unlink(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array
): Awaitable<void> {
  return underDentry(core, ctx, parent, name, (inode) => {
    if (isDirectory(inode.mode)) throw new FsError('EISDIR')
    const { ino } = inode
    return core.opLog.submit({ type: 'unlink', parent, name, ino, time: now(core) })
  })
}

export function rmdir(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array
): Awaitable<void> {
  return underDentry(core, ctx, parent, name, (inode) => {
    if (!isDirectory(inode.mode)) throw new FsError('ENOTDIR')
    const { ino } = inode
    if (!core.state.isEmptyDirectory(ino)) throw new FsError('ENOTEMPTY')
    return core.opLog.submit({ type: 'rmdir', parent, name, ino, time: now(core) })
  })
}
