/**
 * Ops on the bytes of a file. A write merges its size and times by maximum (RULES 20), so that writes
 * by two members to disjoint ranges commute; truncate and punch set them, under a token that orders
 * them with every write. A clone is a write of slices that other extents refer to as well. Slices
 * nothing refers to any more are noted as freed; punching them out of their segment is the
 * replication's decision (RULES 11).
 */
import { assert } from '../assert.ts'
import type { TimeSpec } from '../attr.ts'
import { isRegular } from '../attr.ts'
import type { CloneOp, PunchOp, ReapOp, TruncateOp, WriteOp } from '../op.ts'
import { FILE_SIZE_MAX } from '../op.ts'
import type { Ino } from '../primitives.ts'
import { withPermissions } from './apply-attr.ts'
import type { CutResult, Extent } from './extent-table.ts'
import { homeOf } from './extent-table.ts'
import type { Inode } from './inode-table.ts'
import { withData } from './inode-table.ts'
import type { Tables } from './tables.ts'

function needFile(tables: Tables, ino: Ino): Inode {
  const inode = tables.inodes.need(ino)
  assert(isRegular(inode.mode), () => `op writes to ${ino}, which is not a regular file`)
  return inode
}

function isLater(a: TimeSpec, b: TimeSpec): boolean {
  return a.sec !== b.sec ? a.sec > b.sec : a.nsec > b.nsec
}

function later(a: TimeSpec, b: TimeSpec): TimeSpec {
  return isLater(b, a) ? b : a
}

/**
 * The time of modification after a write. Writes set both times to the same, so an mtime ahead of the
 * ctime was set by utimens: the first write behind that replaces it, whichever that is, and leaves an
 * mtime that is not ahead; from there on the latest write counts, in whatever order they come.
 */
function writtenAt(inode: Inode, time: TimeSpec): TimeSpec {
  return isLater(inode.mtime, inode.ctime) ? time : later(inode.mtime, time)
}

/** Cuts [start, end) out of the extents; returns how many bytes of data that took. */
function cut(tables: Tables, ino: Ino, start: number, end: number): number {
  return freeing(tables, tables.extents.cut(ino, start, end))
}

/** What a cut left without a home is free. Returns how many bytes it took. */
function freeing(tables: Tables, { bytes, left }: CutResult): number {
  for (const home of left) if (tables.shared.leave(home)) tables.freed.add(home.slice)
  return bytes
}

export function applyWrite(tables: Tables, op: WriteOp): void {
  const inode = withPermissions(needFile(tables, op.ino), op.mode)
  let end = op.offset
  for (const slice of op.slices) end += slice.length
  assert(op.offset >= 0 && end > op.offset && end <= FILE_SIZE_MAX, 'write out of range')
  let lost = 0
  // Extents never reach beyond the size, so an append has nothing to cut.
  if (op.offset >= inode.size) tables.extents.append(op.ino, op.offset, op.slices)
  else lost = freeing(tables, tables.extents.write(op.ino, op.offset, end, op.slices))
  noteWritten(tables, inode, op.time, end, end - op.offset - lost)
}

/**
 * The write that was applied last to this inode is now `op`: the same up to `from` bytes of it, and
 * longer, or with its sha256. Leaves what applying `op` at once would have left.
 */
export function applyExtendedWrite(tables: Tables, op: WriteOp, from: number): void {
  const inode = needFile(tables, op.ino)
  const [slice] = op.slices
  assert(slice !== undefined && op.slices.length === 1, 'a write of one slice grows')
  const start = op.offset + from
  const end = op.offset + slice.length
  const lost = start < Math.min(end, inode.size) ? cut(tables, op.ino, start, end) : 0
  tables.extents.set(op.ino, op.offset, slice)
  if (end > start) noteWritten(tables, inode, op.time, end, end - start - lost)
}

function noteWritten(
  tables: Tables,
  inode: Inode,
  time: TimeSpec,
  end: number,
  gained: number
): void {
  tables.inodes.update(
    withData(inode, {
      size: Math.max(inode.size, end),
      bytes: inode.bytes + gained,
      mtime: writtenAt(inode, time),
      ctime: later(inode.ctime, time)
    })
  )
  tables.totals.dataBytes += gained
}

export function applyTruncate(tables: Tables, op: TruncateOp): void {
  const inode = withPermissions(needFile(tables, op.ino), op.mode)
  assert(op.size >= 0 && op.size <= FILE_SIZE_MAX, 'size out of range')
  const lost = op.size < inode.size ? cut(tables, op.ino, op.size, inode.size) : 0
  tables.inodes.update(
    withData(inode, {
      size: op.size,
      bytes: inode.bytes - lost,
      mtime: op.time,
      ctime: op.time
    })
  )
  tables.totals.dataBytes -= lost
}

export function applyPunch(tables: Tables, op: PunchOp): void {
  const inode = needFile(tables, op.ino)
  const end = op.offset + op.length
  assert(op.offset >= 0 && op.length >= 0 && end <= FILE_SIZE_MAX, 'punch out of range')
  const lost = cut(tables, op.ino, op.offset, end)
  tables.inodes.update(
    withData(inode, {
      size: op.extend ? Math.max(inode.size, end) : inode.size,
      bytes: inode.bytes - lost,
      mtime: op.time,
      ctime: op.time
    })
  )
  tables.totals.dataBytes -= lost
}

/** As a write: its size and times merge by maximum, with everything else ordered by tokens. */
export function applyClone(tables: Tables, op: CloneOp): void {
  const inode = withPermissions(needFile(tables, op.ino), op.mode)
  const source = needFile(tables, op.source)
  const end = op.offset + op.length
  const sourceEnd = op.sourceOffset + op.length
  assert(op.offset >= 0 && op.length > 0 && end <= FILE_SIZE_MAX, 'clone out of range')
  assert(op.sourceOffset >= 0 && sourceEnd <= source.size, 'clone of what the source has not')
  const overlaps = op.ino === op.source && op.offset < sourceEnd && op.sourceOffset < end
  assert(!overlaps, 'clone onto itself')
  const extents = tables.extents.range(op.source, op.sourceOffset, sourceEnd)
  // First, so that what is cut away below keeps the slices that stay in use.
  for (const extent of extents) tables.shared.enter(homeOf(op.source, extent))
  const lost = op.offset < inode.size ? cut(tables, op.ino, op.offset, end) : 0
  let gained = 0
  for (const extent of extents) {
    const from = Math.max(extent.offset, op.sourceOffset)
    const length = Math.min(extent.offset + extent.length, sourceEnd) - from
    const clone: Extent = {
      offset: op.offset + from - op.sourceOffset,
      length,
      slice: extent.slice,
      delta: extent.delta + from - extent.offset
    }
    tables.extents.insert(op.ino, clone)
    tables.shared.enter(homeOf(op.ino, clone))
    gained += length
  }
  tables.inodes.update(
    withData(inode, {
      size: Math.max(inode.size, end),
      bytes: inode.bytes + gained - lost,
      mtime: writtenAt(inode, op.time),
      ctime: later(inode.ctime, op.time)
    })
  )
  tables.totals.dataBytes += gained - lost
}

export function applyReap(tables: Tables, op: ReapOp): void {
  const inode = tables.inodes.need(op.ino)
  assert(inode.nlink === 0, () => `reap of inode ${op.ino}, which still has links`)
  const lost = cut(tables, op.ino, 0, inode.size)
  assert(lost === inode.bytes, () => `inode ${op.ino} counted ${inode.bytes} bytes, had ${lost}`)
  tables.xattrs.deleteAll(op.ino)
  tables.inodes.delete(op.ino)
  tables.totals.inodes--
  tables.totals.dataBytes -= lost
}
