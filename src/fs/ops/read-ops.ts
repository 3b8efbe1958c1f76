import type { Attr } from '../attr.ts'
import { isSymlink } from '../attr.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, RequestContext, StatFs } from '../filesystem-api.ts'
import { isDotName } from '../names.ts'
import { NAME_MAX_BYTES } from '../op.ts'
import type { Ino } from '../primitives.ts'
import { toAttr } from '../state/inode-table.ts'
import type { Core } from './core.ts'
import { assertName, attrOf, needDirectory, shared, underShared, underTokens } from './core.ts'

const STATFS_BLOCK_BYTES = 4096

export function lookup(
  core: Core,
  ctx: RequestContext,
  parent: Ino,
  name: Uint8Array
): Awaitable<Attr | undefined> {
  if (name.length > 0 && isDotName(name)) return lookupDot(core, ctx, parent, name.length === 2)
  return underTokens(
    core,
    ctx,
    () => {
      const child = core.state.dentry(parent, name)?.ino
      const wants = child === undefined ? [shared(parent)] : [shared(parent), shared(child)]
      return { wants, child }
    },
    ({ child }) => {
      needDirectory(core, parent)
      assertName(name)
      return child === undefined ? undefined : attrOf(core, child)
    }
  )
}

function lookupDot(core: Core, ctx: RequestContext, ino: Ino, up: boolean): Awaitable<Attr> {
  return underTokens(
    core,
    ctx,
    () => {
      const directory = core.state.inode(ino)
      const parent = directory?.parent
      const target = up && parent !== undefined && parent !== 0 ? parent : ino
      return { wants: [shared(ino), shared(target)], target }
    },
    ({ target }) => {
      needDirectory(core, ino)
      return attrOf(core, target)
    }
  )
}

export function getattr(core: Core, ctx: RequestContext, ino: Ino): Awaitable<Attr> {
  const asked = core.tokens.query(ino)
  if (asked === undefined) return underShared(core, ctx, ino, toAttr)
  return asked.then((fresh) => {
    if (!fresh) return underShared(core, ctx, ino, toAttr)
    ctx.passing = true
    return attrOf(core, ino)
  })
}

export function readlink(core: Core, ctx: RequestContext, ino: Ino): Awaitable<Uint8Array> {
  return underShared(core, ctx, ino, (inode) => {
    const target = isSymlink(inode.mode) ? core.state.symlinkTarget(ino) : undefined
    if (target === undefined) throw new FsError('EINVAL', 'not a symbolic link')
    return target
  })
}

/** Inodes need less than a block each, so as many can be made as there are blocks. */
export function statfs(core: Core): StatFs {
  const { totalBytes, availableBytes } = core.opLog.space()
  const available = Math.floor(availableBytes / STATFS_BLOCK_BYTES)
  return {
    blockSize: STATFS_BLOCK_BYTES,
    blocks: Math.floor(totalBytes / STATFS_BLOCK_BYTES),
    blocksFree: available,
    blocksAvailable: available,
    files: core.state.counts().inodes + available,
    filesFree: available,
    nameMax: NAME_MAX_BYTES
  }
}
