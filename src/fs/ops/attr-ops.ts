import type { Attr, TimeSpec } from '../attr.ts'
import { isDirectory, isRegular } from '../attr.ts'
import { whenDone } from '../awaitable.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, RequestContext, SetAttrRequest } from '../filesystem-api.ts'
import type { Op, SetAttrOp } from '../op.ts'
import { FILE_SIZE_MAX } from '../op.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import { toAttr } from '../state/inode-table.ts'
import { aclAfterChmod } from './acl-ops.ts'
import type { Core } from './core.ts'
import { attrOf, clampTime, METADATA_OP_BYTES, now, underExclusive } from './core.ts'
import { capabilityRemoval, withoutSetId } from './privileges.ts'

const PERMISSIONS = 0o7777

export function setattr(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  request: SetAttrRequest
): Awaitable<Attr> {
  return underExclusive(core, ctx, ino, (inode) => {
    if (request.handle !== undefined) core.openFiles.get(ino, request.handle)
    const ops = setAttrOps(core, inode, request, now(core))
    if (ops.length === 0) return toAttr(inode)
    if ((request.size ?? 0) > inode.size) core.opLog.assertSpace(METADATA_OP_BYTES)
    const done = core.opLog.submitTogether(ops)
    const attr = attrOf(core, ino)
    return whenDone(done, () => {
      if (request.size === 0) core.openFiles.rewritten(ino)
      return attr
    })
  })
}

/** A change of size comes first, so that times given with it stand. */
function setAttrOps(core: Core, inode: Inode, request: SetAttrRequest, time: TimeSpec): Op[] {
  const ops: Op[] = []
  const changesOwner = request.uid !== undefined || request.gid !== undefined
  const { size } = request
  if (size !== undefined) {
    assertSize(inode, size)
    ops.push({ type: 'truncate', ino: inode.ino, size, time })
  }
  const attributes = setAttrOp(inode, request, time)
  if (attributes !== undefined) ops.push(attributes)
  if (request.mode !== undefined) ops.push(...aclAfterChmod(core, inode, request.mode, time))
  if (changesOwner || size !== undefined) {
    const removal = capabilityRemoval(core, inode, time)
    if (removal !== undefined) ops.push(removal)
  }
  return ops
}

function setAttrOp(inode: Inode, request: SetAttrRequest, time: TimeSpec): SetAttrOp | undefined {
  const { uid, gid } = request
  const mode = newPermissions(inode, request)
  const atime = resolveTime(request.atime, time)
  const mtime = resolveTime(request.mtime, time)
  const changes = [mode, uid, gid, atime, mtime, request.ctime]
  if (changes.every((change) => change === undefined)) return undefined
  return {
    type: 'setattr',
    ino: inode.ino,
    ...(mode === undefined ? {} : { mode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(atime === undefined ? {} : { atime }),
    ...(mtime === undefined ? {} : { mtime }),
    ctime: resolveTime(request.ctime, time) ?? time
  }
}

function newPermissions(inode: Inode, request: SetAttrRequest): number | undefined {
  if (request.mode !== undefined) return request.mode & PERMISSIONS
  const changesOwner = request.uid !== undefined || request.gid !== undefined
  const kills = (changesOwner || request.killSuidGid === true) && !isDirectory(inode.mode)
  return kills ? withoutSetId(inode.mode) : undefined
}

function resolveTime(wanted: TimeSpec | 'now' | undefined, time: TimeSpec): TimeSpec | undefined {
  if (wanted === undefined) return undefined
  return wanted === 'now' ? time : clampTime(wanted)
}

export function assertSize(inode: Inode, size: number): void {
  if (isDirectory(inode.mode)) throw new FsError('EISDIR')
  if (!isRegular(inode.mode)) throw new FsError('EINVAL', 'not a regular file')
  if (!Number.isInteger(size) || size < 0) throw new FsError('EINVAL', 'size')
  if (size > FILE_SIZE_MAX) throw new FsError('EFBIG')
}
