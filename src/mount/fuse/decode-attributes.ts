/** Decoders of requests about attributes, extended attributes and the filesystem as a whole. */
import type { TimeSpec } from '../../fs/attr.ts'
import { Errno } from '../../fs/errno.ts'
import type { HandleId, SetAttrRequest } from '../../fs/filesystem-api.ts'
import { FILE_SIZE_MAX, XATTR_VALUE_MAX_BYTES } from '../../fs/op.ts'
import { Opcode, SetAttrValid, SetXattrFlag } from './abi.ts'
import { type BodyReader, checkedTime, DecodeError, type DecoderTable } from './body-reader.ts'
import type { RequestBody } from './request.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function setattr(reader: BodyReader): RequestBody {
  const valid = reader.u32()
  reader.skip(4)
  const handle = reader.u64()
  const size = reader.u64()
  reader.skip(8)
  const atimeSec = reader.seconds()
  const mtimeSec = reader.seconds()
  const ctimeSec = reader.seconds()
  const atimeNsec = reader.u32()
  const mtimeNsec = reader.u32()
  const ctimeNsec = reader.u32()
  const mode = reader.u32()
  reader.skip(4)
  const uid = reader.u32()
  const gid = reader.u32()
  reader.skip(4)

  const changes: Mutable<SetAttrRequest> = {}
  if (valid & SetAttrValid.MODE) changes.mode = mode & 0o7777
  if (valid & SetAttrValid.UID) changes.uid = uid
  if (valid & SetAttrValid.GID) changes.gid = gid
  if (valid & SetAttrValid.SIZE) changes.size = checkedSize(size)
  if (valid & SetAttrValid.FH) changes.handle = checkedHandle(handle)
  const atime = changedTime(valid, SetAttrValid.ATIME, SetAttrValid.ATIME_NOW, atimeSec, atimeNsec)
  if (atime !== undefined) changes.atime = atime
  const mtime = changedTime(valid, SetAttrValid.MTIME, SetAttrValid.MTIME_NOW, mtimeSec, mtimeNsec)
  if (mtime !== undefined) changes.mtime = mtime
  if (valid & SetAttrValid.CTIME) changes.ctime = checkedTime(ctimeSec, ctimeNsec)
  if (valid & SetAttrValid.KILL_SUIDGID) changes.killSuidGid = true
  return { op: 'setattr', changes }
}

function changedTime(
  valid: number,
  setBit: number,
  nowBit: number,
  sec: number,
  nsec: number
): TimeSpec | 'now' | undefined {
  if (valid & nowBit) return 'now'
  return valid & setBit ? checkedTime(sec, nsec) : undefined
}

function checkedSize(size: number | undefined): number {
  if (size === undefined || size > FILE_SIZE_MAX) throw new DecodeError(Errno.EFBIG, 'size')
  return size
}

function checkedHandle(handle: number | undefined): HandleId {
  if (handle === undefined) throw new DecodeError(Errno.EBADF, 'handle was never given out')
  return handle as HandleId
}

function setxattr(reader: BodyReader): RequestBody {
  const size = reader.u32()
  return setxattrBody(reader, size, reader.u32(), false)
}

function setxattrBody(
  reader: BodyReader,
  size: number,
  flags: number,
  killSetGid: boolean
): RequestBody {
  const name = reader.xattrName()
  if (size > XATTR_VALUE_MAX_BYTES) throw new DecodeError(Errno.E2BIG, 'attribute value')
  if ((flags & ~3) !== 0) throw new DecodeError(Errno.EINVAL, 'setxattr flags')
  return { op: 'setxattr', name, value: Buffer.from(reader.bytes(size)), flags, killSetGid }
}

/** With FUSE_SETXATTR_EXT, which is always negotiated where the kernel has it (session.ts). */
function extendedSetxattr(reader: BodyReader): RequestBody {
  const size = reader.u32()
  const flags = reader.u32()
  const killSetGid = (reader.u32() & SetXattrFlag.ACL_KILL_SGID) !== 0
  reader.skip(4)
  return setxattrBody(reader, size, flags, killSetGid)
}

function getxattr(reader: BodyReader): RequestBody {
  const size = reader.u32()
  reader.skip(4)
  return { op: 'getxattr', name: reader.xattrName(), size }
}

function listxattr(reader: BodyReader): RequestBody {
  const size = reader.u32()
  reader.skip(4)
  return { op: 'listxattr', size }
}

function getattr(reader: BodyReader): RequestBody {
  reader.skip(16)
  return { op: 'getattr' }
}

/** Which fields are asked for does not matter: all of them are told. */
function statx(reader: BodyReader): RequestBody {
  reader.skip(24)
  return { op: 'statx' }
}

/** By opcode, instead of the ones above where FUSE_SETXATTR_EXT was agreed on. */
export const extendedDecoders: DecoderTable = { [Opcode.SETXATTR]: extendedSetxattr }

export const attributeDecoders: DecoderTable = {
  [Opcode.GETATTR]: getattr,
  [Opcode.SETATTR]: setattr,
  [Opcode.STATX]: statx,
  [Opcode.STATFS]: () => ({ op: 'statfs' }),
  [Opcode.SETXATTR]: setxattr,
  [Opcode.GETXATTR]: getxattr,
  [Opcode.LISTXATTR]: listxattr,
  [Opcode.REMOVEXATTR]: (reader) => ({ op: 'removexattr', name: reader.xattrName() })
}
