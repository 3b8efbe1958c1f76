/**
 * copy_file_range(2): the target comes to refer to the slices of the source, so nothing is read and
 * nothing travels but the op. Both ranges are wanted exclusively: every member then finds the same
 * extents when it applies the op, and no slice is freed while an op that refers to it is under way.
 */
import { FsError } from '../errno.ts'
import type { Awaitable, CopyRequest, RequestContext } from '../filesystem-api.ts'
import type { Op } from '../op.ts'
import { FILE_SIZE_MAX } from '../op.ts'
import type { ByteRange, TokenWant } from '../ports/token-service.ts'
import { RANGE_END } from '../ports/token-service.ts'
import type { Ino } from '../primitives.ts'
import type { Core } from './core.ts'
import {
  exclusive,
  exclusiveRange,
  METADATA_OP_BYTES,
  needInode,
  now,
  underShared,
  underTokens
} from './core.ts'
import { assertFile } from './data-ops.ts'
import { capabilityRemoval, takesPrivileges, withoutSetId } from './privileges.ts'

/** Extents one op shares or replaces; the caller goes on where it ended. */
const EXTENTS_MAX = 1024

export async function copyRange(
  core: Core,
  ctx: RequestContext,
  request: CopyRequest
): Promise<number> {
  const { ino, handle, offset, source, sourceHandle, sourceOffset } = request
  if (offset < 0 || sourceOffset < 0 || request.length < 0) throw new FsError('EINVAL', 'range')
  if (request.length === 0) return 0
  if (offset >= FILE_SIZE_MAX) throw new FsError('EFBIG')
  await learnEnd(core, ctx, request)
  // The kernel leaves it to us without saying whether the caller may keep set-id bits.
  const kills = ctx.uid !== 0
  const resolve = () => {
    const length = lengthOf(core, request)
    return { wants: wantsOf(core, request, length, kills), length }
  }
  return underTokens(core, ctx, resolve, async ({ length }) => {
    const inode = needInode(core, ino)
    const from = needInode(core, source)
    core.openFiles.get(ino, handle)
    core.openFiles.get(source, sourceHandle)
    assertFile(inode)
    assertFile(from)
    if (source === ino && Math.abs(offset - sourceOffset) < request.length) {
      throw new FsError('EINVAL', 'ranges overlap')
    }
    if (length === 0) return 0
    core.opLog.assertSpace(METADATA_OP_BYTES)
    const time = now(core)
    const mode = kills ? withoutSetId(inode.mode) : undefined
    const range = { ino, offset, source, sourceOffset, length, time }
    const ops: Op[] = [{ type: 'clone', ...range, ...(mode === undefined ? {} : { mode }) }]
    const removal = capabilityRemoval(core, inode, time)
    if (removal !== undefined) ops.push(removal)
    const done = core.opLog.submitTogether(ops)
    core.sections.used(handle, { start: offset, end: offset + length }, true)
    await done
    return length
  })
}

/** How much of the range the source fills is certain under a token of all of that range. */
function learnEnd(core: Core, ctx: RequestContext, request: CopyRequest): Awaitable<void> {
  const { source, sourceOffset, length } = request
  const end = sourceOffset + length
  if (end <= (core.state.inode(source)?.size ?? 0)) return
  return underShared(core, ctx, source, () => undefined, { start: sourceOffset, end })
}

/** How much is copied: up to the source's end, and as many extents as one op may take. */
function lengthOf(core: Core, request: CopyRequest): number {
  const { source, sourceOffset, ino, offset } = request
  const size = core.state.inode(source)?.size ?? 0
  const room = Math.min(size - sourceOffset, FILE_SIZE_MAX - offset)
  const length = Math.max(0, Math.min(request.length, room))
  const shared = bounded(core, source, sourceOffset, length)
  return bounded(core, ino, offset, shared)
}

/** The length of a range, or of its beginning that has at most EXTENTS_MAX extents. */
function bounded(core: Core, ino: Ino, start: number, length: number): number {
  if (length === 0) return 0
  const extents = core.state.extents(ino, start, start + length, EXTENTS_MAX + 1)
  const beyond = extents[EXTENTS_MAX]
  return beyond === undefined ? length : beyond.offset - start
}

function wantsOf(
  core: Core,
  request: CopyRequest,
  length: number,
  kills: boolean
): readonly TokenWant[] {
  const { source, sourceOffset, ino, offset } = request
  const from = { start: sourceOffset, end: sourceOffset + length }
  const to = targetRange(core, ino, offset, length, kills)
  if (to === undefined) {
    const target = exclusive(ino)
    return source === ino ? [target] : [target, exclusiveRange(source, from)]
  }
  if (source !== ino) {
    return [exclusiveRange(ino, to), exclusiveRange(source, from)]
  }
  const range = { start: Math.min(from.start, to.start), end: Math.max(from.end, to.end) }
  return [exclusiveRange(ino, range)]
}

/** As for a write: undefined for the whole inode. */
function targetRange(
  core: Core,
  ino: Ino,
  offset: number,
  length: number,
  kills: boolean
): ByteRange | undefined {
  const inode = core.state.inode(ino)
  if (inode === undefined || takesPrivileges(core, inode, kills)) return undefined
  const end = offset + length
  if (end <= inode.size) return { start: offset, end }
  return { start: Math.min(offset, inode.size), end: RANGE_END }
}
