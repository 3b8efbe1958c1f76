import type { Ino } from './primitives.ts'

/** A point in wall time: whole seconds (may be negative) and nanoseconds 0..999999999. */
export interface TimeSpec {
  readonly sec: number
  readonly nsec: number
}

/** File type bits of `mode` (inode(7)). */
export const S_IFMT = 0o170000
export const S_IFSOCK = 0o140000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o060000
export const S_IFDIR = 0o040000
export const S_IFCHR = 0o020000
export const S_IFIFO = 0o010000
export const S_ISUID = 0o4000
export const S_ISGID = 0o2000
export const S_ISVTX = 0o1000

/** What stat(2) tells of an inode. `blocks` counts 512-byte units that hold data. */
export interface Attr {
  readonly ino: Ino
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly size: number
  readonly blocks: number
  readonly atime: TimeSpec
  readonly mtime: TimeSpec
  readonly ctime: TimeSpec
  readonly btime: TimeSpec
}

export function fileType(mode: number): number {
  return mode & S_IFMT
}

export function isDirectory(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR
}

export function isRegular(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG
}

export function isSymlink(mode: number): boolean {
  return (mode & S_IFMT) === S_IFLNK
}
