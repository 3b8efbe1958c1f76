/**
 * Reading and writing. A write puts its bytes into the segment first and only then asks for the
 * token, so nothing is held while the bulk queues are full; where an append goes is decided in the
 * synchronous piece that submits it. A write inside the file wants its own bytes; one that extends
 * the file wants all from its end on, because whoever may change those owns the size (RULES 28); one
 * that takes privileges away changes the mode and wants the whole inode. A read is as of the moment its extents were looked up: slices
 * never change, so the token is not held while bytes are fetched.
 */
import { isDirectory, isRegular } from '../attr.ts'
import { allDone, whenDone } from '../awaitable.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, HandleId, RequestContext } from '../filesystem-api.ts'
import type { Op, Slice } from '../op.ts'
import { FILE_SIZE_MAX, INLINE_MAX_BYTES } from '../op.ts'
import type { ByteRange, TokenMode } from '../ports/token-service.ts'
import { RANGE_END } from '../ports/token-service.ts'
import type { Ino } from '../primitives.ts'
import type { Extent } from '../state/extent-table.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Core } from './core.ts'
import { exclusive, exclusiveRange, needInode, now, underTokens } from './core.ts'
import { capabilityRemoval, takesPrivileges, withoutSetId } from './privileges.ts'

/** Less is read slice by slice, and kept in memory. */
const RUN_MIN_BYTES = 256 * 1024
const EMPTY = new Uint8Array(0)
const WHOLE: ByteRange = { start: 0, end: RANGE_END }
/** open(2) flags. */
const O_ACCMODE = 3
const O_RDONLY = 0

export interface WriteOptions {
  readonly append: boolean
  readonly killSuidGid: boolean
}

export function assertFile(inode: Inode): void {
  if (isRegular(inode.mode)) return
  throw new FsError(isDirectory(inode.mode) ? 'EISDIR' : 'EINVAL', 'not a regular file')
}

function assertRange(offset: number, length: number): void {
  if (!Number.isInteger(offset) || offset < 0) throw new FsError('EINVAL', 'offset')
  if (offset + length > FILE_SIZE_MAX) throw new FsError('EFBIG')
}

export function read(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  part: { readonly offset: number; readonly length: number }
): Awaitable<Uint8Array> {
  const { offset, length } = part
  if (offset < 0 || length < 0) throw new FsError('EINVAL', 'offset')
  const range = { start: offset, end: offset + length }
  const want = { ino, mode: readMode(core, ino, handle), range }
  const resolution = { wants: [want] }
  const plan = underTokens(
    core,
    ctx,
    () => resolution,
    (): ReadPlan => {
      const inode = needInode(core, ino)
      core.openFiles.get(ino, handle, ctx.lockOwner)
      assertFile(inode)
      core.sections.used(handle, range, false)
      const end = Math.min(offset + length, inode.size)
      return { end, extents: end > offset ? core.state.extents(ino, offset, end) : [] }
    }
  )
  return whenDone(plan, (granted) => readPlanned(core, ctx, granted, offset))
}

interface ReadPlan {
  readonly end: number
  readonly extents: readonly Extent[]
}

function readPlanned(
  core: Core,
  ctx: RequestContext,
  { end, extents }: ReadPlan,
  offset: number
): Awaitable<Uint8Array> {
  return end <= offset ? EMPTY : readExtents(core, ctx, extents, offset, end)
}

/** Read under a write lock and then written: one hand-over of the token instead of two. */
function readMode(core: Core, ino: Ino, handle: HandleId): TokenMode {
  if (!core.sections.isInside(handle)) return 'shared'
  const isWritable = (core.openFiles.get(ino, handle).flags & O_ACCMODE) !== O_RDONLY
  return core.sections.expectsWrite(ino, handle, isWritable) ? 'exclusive' : 'shared'
}

function readExtents(
  core: Core,
  ctx: RequestContext,
  extents: readonly Extent[],
  start: number,
  end: number
): Awaitable<Uint8Array> {
  const target = ctx.answerRoom?.(end - start) ?? Buffer.allocUnsafe(end - start)
  const waits: Promise<void>[] = []
  const run = runOf(extents, start, end)
  const isRead = readRun(core, run, start, target, ctx.keepsBytes === true)
  let at = start
  for (const extent of extents) {
    const from = Math.max(extent.offset, start)
    const to = Math.min(extent.offset + extent.length, end)
    if (from > at) target.fill(0, at - start, from - start)
    at = to
    if (isRead && run.includes(extent)) continue
    const inSlice = extent.delta + from - extent.offset
    const wait = core.slices.read(extent.slice, inSlice, to - from, target, from - start)
    if (wait !== undefined) {
      // Whatever becomes of the others, this one writes when it can.
      ctx.keepAnswerRoom?.()
      waits.push(wait)
    }
  }
  if (at < end) target.fill(0, at - start)
  return waits.length === 0 ? target : Promise.all(waits).then(() => target)
}

/** Extents of whole slices that lie behind each other, in the file and in one segment; or none. */
function runOf(extents: readonly Extent[], start: number, end: number): readonly Extent[] {
  if (end - start < RUN_MIN_BYTES) return []
  const run = extents.filter(({ offset, length }) => offset >= start && offset + length <= end)
  const [first] = run
  if (first === undefined) return []
  const { segment } = first.slice
  const inSegment = first.slice.offset - first.offset
  let at = first.offset
  for (const { offset, length, slice, delta } of run) {
    if (offset !== at || delta !== 0 || length !== slice.length) return []
    if (slice.segment !== segment || slice.offset - offset !== inSegment) return []
    at += length
  }
  return at - first.offset < RUN_MIN_BYTES ? [] : run
}

/** False unless all of the run is there and sound: then it is read slice by slice. */
function readRun(
  core: Core,
  run: readonly Extent[],
  start: number,
  target: Uint8Array,
  once: boolean
): boolean {
  const [first] = run
  const last = run.at(-1)
  if (first === undefined || last === undefined) return false
  const part = target.subarray(first.offset - start, last.offset + last.length - start)
  return core.slices.readRun(
    run.map(({ slice }) => slice),
    part,
    once
  )
}

/** The bytes a write needs; undefined for the whole inode. */
function writeRange(
  core: Core,
  ino: Ino,
  offset: number,
  length: number,
  options: WriteOptions
): ByteRange | undefined {
  const inode = core.state.inode(ino)
  if (inode === undefined || takesPrivileges(core, inode, options.killSuidGid)) return undefined
  if (options.append) return { start: inode.size, end: RANGE_END }
  const end = offset + length
  if (end <= inode.size) return { start: offset, end }
  return { start: Math.min(offset, inode.size), end: RANGE_END }
}

export function write(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  offset: number,
  data: Uint8Array,
  options: WriteOptions
): Awaitable<number> {
  assertFile(needInode(core, ino))
  core.openFiles.get(ino, handle, ctx.lockOwner)
  if (!options.append) assertRange(offset, data.length)
  if (data.length === 0) return 0
  core.opLog.assertSpace(data.length)
  const slices = core.slices.append(data)
  const place = { ino, handle, offset }
  return whenDone(slices, (stored) => submitWrite(core, ctx, place, data, stored, options))
}

interface WritePlace {
  readonly ino: Ino
  readonly handle: HandleId
  /** Without meaning for an append. */
  readonly offset: number
}

function submitWrite(
  core: Core,
  ctx: RequestContext,
  { ino, handle, offset }: WritePlace,
  data: Uint8Array,
  slices: readonly Slice[],
  options: WriteOptions
): Awaitable<number> {
  const resolve = () => {
    const range = writeRange(core, ino, offset, data.length, options)
    return { wants: [range === undefined ? exclusive(ino) : exclusiveRange(ino, range)] }
  }
  const submitted = underTokens(core, ctx, resolve, ({ wants: [want] }) => {
    const inode = needInode(core, ino)
    core.openFiles.get(ino, handle, ctx.lockOwner)
    const at = options.append ? inode.size : offset
    assertRange(at, data.length)
    const time = now(core)
    const mode = options.killSuidGid ? withoutSetId(inode.mode) : undefined
    const op: Op =
      mode === undefined
        ? { type: 'write', ino, offset: at, slices, time }
        : { type: 'write', ino, offset: at, slices, time, mode }
    // Each may be the last one before a crash: a changed file never has the capability left.
    const removal = capabilityRemoval(core, inode, time)
    const removed = removal === undefined ? undefined : core.opLog.submit(removal)
    const inline = data.length <= INLINE_MAX_BYTES ? data : undefined
    const done = core.opLog.submit(op, inline)
    core.sections.used(handle, want?.range ?? WHOLE, true)
    return allDone([removed, done])
  })
  return whenDone(submitted, () => data.length)
}
