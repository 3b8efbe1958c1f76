import type { Op, Slice } from '../../src/fs/op.ts'
import type { Ino, SegmentId } from '../../src/fs/primitives.ts'

export function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

const time = { sec: 1_700_000_000, nsec: 123_456_789 }
const ino = (2 ** 45 + 7) as Ino
const root = 1 as Ino

export const sampleSlice: Slice = {
  segment: (2 ** 44 + 3) as SegmentId,
  offset: 4096,
  length: 5,
  crc32: 0xdeadbeef,
  sha256: Buffer.alloc(32, 0xab)
}

/** One op of every type, and each optional field both present and absent. */
export const sampleOps: readonly Op[] = [
  {
    type: 'create',
    parent: root,
    name: bytes('file'),
    ino,
    mode: 0o100644,
    uid: 1000,
    gid: 0xffffffff,
    rdev: 0,
    target: bytes(''),
    cookie: 3,
    time
  },
  {
    type: 'create',
    parent: root,
    name: bytes('\xff'),
    ino,
    mode: 0o120777,
    uid: 0,
    gid: 0,
    rdev: 0,
    target: bytes('a/b'),
    cookie: 2 ** 40,
    time: { sec: -1, nsec: 999_999_999 }
  },
  { type: 'link', ino, parent: root, name: bytes('l'), cookie: 4, time },
  { type: 'unlink', parent: root, name: bytes('l'), ino, time },
  { type: 'rmdir', parent: root, name: bytes('d'), ino, time },
  {
    type: 'rename',
    parent: root,
    name: bytes('a'),
    newParent: ino,
    newName: bytes('b'),
    ino,
    replaced: 0,
    exchange: false,
    cookie: 9,
    exchangeCookie: 0,
    time
  },
  {
    type: 'rename',
    parent: root,
    name: bytes('a'),
    newParent: root,
    newName: bytes('b'),
    ino,
    replaced: 2 as Ino,
    exchange: true,
    cookie: 9,
    exchangeCookie: 10,
    time
  },
  { type: 'setattr', ino, ctime: time },
  { type: 'setattr', ino, mode: 0o4755, uid: 1, gid: 2, atime: time, mtime: time, ctime: time },
  { type: 'truncate', ino, size: 2 ** 53 - 4096, time },
  { type: 'truncate', ino, size: 0, time, mode: 0o755 },
  { type: 'write', ino, offset: 2 ** 33, slices: [sampleSlice, sampleSlice], time },
  { type: 'write', ino, offset: 0, slices: [sampleSlice], time, mode: 0o644 },
  { type: 'punch', ino, offset: 1, length: 2 ** 50, extend: true, time },
  { type: 'setxattr', ino, name: bytes('user.x'), value: bytes('v'), time },
  { type: 'removexattr', ino, name: bytes('user.x'), time },
  { type: 'reap', ino },
  { type: 'tmpfile', ino, mode: 0o4640, uid: 1000, gid: 0, time },
  {
    type: 'clone',
    ino,
    offset: 2 ** 33,
    source: 2 as Ino,
    sourceOffset: 7,
    length: 2 ** 40,
    time
  },
  { type: 'clone', ino, offset: 0, source: ino, sourceOffset: 10, length: 10, time, mode: 0o755 }
]
