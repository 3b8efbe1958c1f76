import { isRegular } from '../attr.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, HandleId, RequestContext } from '../filesystem-api.ts'
import { FILE_SIZE_MAX } from '../op.ts'
import { RANGE_END } from '../ports/token-service.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Core } from './core.ts'
import { now, underExclusive, underShared } from './core.ts'
import { assertFile } from './data-ops.ts'

const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16
const SEEK_DATA = 3
const SEEK_HOLE = 4
/** File range looked at in one go when searching the end of a run of data. */
const HOLE_SEARCH_BYTES = 64 * 1024 * 1024

export interface FallocateRequest {
  readonly mode: number
  readonly offset: number
  readonly length: number
}

/**
 * Data is never overwritten in place, so space cannot be set aside for a file: without PUNCH_HOLE
 * or ZERO_RANGE this says whether there is room now and sets the size.
 */
export function fallocate(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  request: FallocateRequest
): Awaitable<void> {
  const { mode, offset, length } = request
  return underExclusive(core, ctx, ino, (inode) => {
    core.openFiles.get(ino, handle)
    if (!isRegular(inode.mode)) throw new FsError('ENODEV', 'fallocate of this type')
    if (offset < 0 || length <= 0) throw new FsError('EINVAL', 'range')
    if (offset + length > FILE_SIZE_MAX) throw new FsError('EFBIG')
    const keepSize = (mode & KEEP_SIZE) !== 0
    const action = mode & ~KEEP_SIZE
    if (action === 0) return allocate(core, inode, offset, length, keepSize)
    if (action !== ZERO_RANGE && !(action === PUNCH_HOLE && keepSize)) {
      throw new FsError('EOPNOTSUPP', `fallocate mode ${mode}`)
    }
    const extend = !keepSize
    return core.opLog.submit({ type: 'punch', ino, offset, length, extend, time: now(core) })
  })
}

function allocate(
  core: Core,
  inode: Inode,
  offset: number,
  length: number,
  keepSize: boolean
): Awaitable<void> {
  core.opLog.assertSpace(length)
  const size = offset + length
  if (keepSize || size <= inode.size) return Promise.resolve()
  return core.opLog.submit({ type: 'truncate', ino: inode.ino, size, time: now(core) })
}

export function lseek(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  offset: number,
  whence: number
): Awaitable<number> {
  const seek = (inode: Inode) => {
    core.openFiles.get(ino, handle)
    assertFile(inode)
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError('EINVAL', 'whence')
    if (offset < 0 || offset >= inode.size) throw new FsError('ENXIO')
    return whence === SEEK_DATA ? findData(core, inode, offset) : findHole(core, inode, offset)
  }
  return underShared(core, ctx, ino, seek, { start: Math.max(0, offset), end: RANGE_END })
}

function findData(core: Core, inode: Inode, offset: number): number {
  const extent = core.state.nextData(inode.ino, offset)
  if (extent === undefined) throw new FsError('ENXIO')
  return Math.max(offset, extent.offset)
}

/** The end of the file is a hole. */
function findHole(core: Core, inode: Inode, offset: number): number {
  let at = offset
  while (at < inode.size) {
    const end = at + HOLE_SEARCH_BYTES
    for (const extent of core.state.extents(inode.ino, at, end)) {
      if (extent.offset > at) return at
      at = extent.offset + extent.length
    }
    if (at < end) return Math.min(at, inode.size)
  }
  return inode.size
}
