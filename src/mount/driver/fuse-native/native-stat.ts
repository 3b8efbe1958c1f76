/** Attributes and space in the package's forms. */
import type { NativeStat, NativeStatfs } from 'fuse-native'
import type { Attr, TimeSpec } from '../../../fs/attr.ts'
import type { StatFs } from '../../../fs/filesystem-api.ts'

const BLOCK_BYTES = 4096
const U32 = 2 ** 32

/** Times before 1970 become 1970: the package reads milliseconds without a sign. */
function msOf({ sec, nsec }: TimeSpec): number {
  return Math.max(0, sec * 1000 + Math.floor(nsec / 1e6))
}

export function timeOf(ms: number): TimeSpec {
  const sec = Math.floor(ms / 1000)
  return { sec, nsec: (ms - sec * 1000) * 1e6 }
}

/** Without the inode number, for which the package has 32 bits: libfuse numbers paths itself. */
export function toStat(attr: Attr): NativeStat {
  const { mode, uid, gid, size, nlink, rdev, blocks } = attr
  const times = { atime: msOf(attr.atime), mtime: msOf(attr.mtime), ctime: msOf(attr.ctime) }
  return { mode, uid, gid, size, nlink, rdev, blocks, blksize: BLOCK_BYTES, ...times }
}

/** The same as the addon takes it: 32-bit numbers, low half first. */
export function toStatArray(attr: Attr): Uint32Array {
  const stat = toStat(attr)
  const halves = (value: number): number[] => [value % U32, Math.floor(value / U32)]
  return Uint32Array.from([
    stat.mode,
    stat.uid,
    stat.gid,
    ...halves(stat.size),
    0,
    stat.nlink,
    0,
    stat.rdev,
    stat.blksize,
    ...halves(stat.blocks),
    ...halves(stat.atime),
    ...halves(stat.mtime),
    ...halves(stat.ctime)
  ])
}

/** In blocks so large that their number fits 32 bits. */
export function toStatfs(statfs: StatFs): NativeStatfs {
  let unit = 1
  while (statfs.blocks / unit >= U32) unit *= 2
  const inUnits = (blocks: number): number => Math.floor(blocks / unit)
  const limited = (count: number): number => Math.min(count, U32 - 1)
  return {
    bsize: statfs.blockSize * unit,
    frsize: statfs.blockSize * unit,
    blocks: inUnits(statfs.blocks),
    bfree: inUnits(statfs.blocksFree),
    bavail: inUnits(statfs.blocksAvailable),
    files: limited(statfs.files),
    ffree: limited(statfs.filesFree),
    favail: limited(statfs.filesFree),
    namemax: statfs.nameMax
  }
}
