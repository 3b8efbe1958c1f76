import { createHash } from 'node:crypto'
import type { TimeSpec } from '../attr.ts'
import type { Extent } from './extent-table.ts'
import type { Tables } from './tables.ts'

function timeText(time: TimeSpec): string {
  return `${time.sec}.${time.nsec}`
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** True when `next` continues `extent` in the file and in the slice. */
function continues(extent: Extent, next: Extent): boolean {
  return (
    extent.offset + extent.length === next.offset &&
    extent.delta + extent.length === next.delta &&
    extent.slice.segment === next.slice.segment &&
    extent.slice.offset === next.slice.offset
  )
}

function* extentLines(tables: Tables): IterableIterator<string> {
  let open: (Extent & { ino: number }) | undefined
  const line = ({ ino, offset, length, delta, slice }: Extent & { ino: number }): string =>
    `e ${ino} ${offset} ${length} ${delta} ${slice.segment} ${slice.offset} ${slice.length} ` +
    `${slice.crc32} ${hex(slice.sha256)}\n`
  for (const extent of tables.extents.all()) {
    if (open !== undefined && open.ino === extent.ino && continues(open, extent)) {
      open = { ...open, length: open.length + extent.length }
      continue
    }
    if (open !== undefined) yield line(open)
    open = extent
  }
  if (open !== undefined) yield line(open)
}

function* inodeLines(tables: Tables): IterableIterator<string> {
  for (const i of tables.inodes.all()) {
    const target = tables.inodes.target(i.ino)
    const times = [i.atime, i.mtime, i.ctime, i.btime].map(timeText).join(' ')
    yield `i ${i.ino} ${i.mode} ${i.nlink} ${i.uid} ${i.gid} ${i.rdev} ${i.size} ${i.bytes} ` +
      `${times} ${i.parent} ${i.lastCookie} ${target === undefined ? '-' : hex(target)}\n`
  }
}

/** The replicated state line by line, in the one order that equal states share. */
export function* stateLines(tables: Tables): IterableIterator<string> {
  yield* inodeLines(tables)
  for (const d of tables.dentries.all()) {
    yield `d ${d.parent} ${hex(d.name)} ${d.ino} ${d.type} ${d.cookie}\n`
  }
  yield* extentLines(tables)
  for (const s of tables.shared.all()) {
    yield `s ${s.segment} ${s.sliceOffset} ${s.ino} ${s.base}\n`
  }
  for (const x of tables.xattrs.all()) yield `x ${x.ino} ${hex(x.name)} ${hex(x.value)}\n`
}

export function stateDigest(tables: Tables): string {
  const hash = createHash('sha256')
  for (const line of stateLines(tables)) hash.update(line)
  return hash.digest('hex')
}
