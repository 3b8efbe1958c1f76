/** Decoders of requests on open files and directories. */
import { Errno } from '../../fs/errno.ts'
import { FILE_SIZE_MAX } from '../../fs/op.ts'
import { FsyncFlag, MAX_IO_BYTES, Opcode, ReadFlag, WriteFlag } from './abi.ts'
import { type BodyReader, DecodeError, type DecoderTable } from './body-reader.ts'
import type { RequestBody } from './request.ts'

/** One answer counts to 2^32 - 1; this is as much, in whole pages. */
const COPY_MAX_BYTES = 0xfffff000

function ioSize(reader: BodyReader): number {
  const size = reader.u32()
  if (size > MAX_IO_BYTES) throw new DecodeError(Errno.EINVAL, 'more bytes than negotiated')
  return size
}

function openFlags(reader: BodyReader): number {
  const flags = reader.u32()
  reader.skip(4)
  return flags
}

/** Who reads or writes, where the kernel says it: not for pages it fills or writes back. */
function ownerIf(reader: BodyReader, isThere: boolean): bigint | undefined {
  if (isThere) return reader.u64big()
  reader.skip(8)
  return undefined
}

function read(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  // No file reaches FILE_SIZE_MAX: as on every filesystem, reading past the end gives no bytes.
  const offset = Math.min(reader.u64() ?? FILE_SIZE_MAX, FILE_SIZE_MAX)
  const size = ioSize(reader)
  const readFlags = reader.u32()
  const lockOwner = ownerIf(reader, (readFlags & ReadFlag.LOCKOWNER) !== 0)
  const flags = reader.u32()
  reader.skip(4)
  return { op: 'read', handle, offset, size, readFlags, flags, lockOwner }
}

function write(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  const offset = reader.offset(Errno.EFBIG)
  const size = ioSize(reader)
  if (offset + size > FILE_SIZE_MAX) throw new DecodeError(Errno.EFBIG, 'write too far')
  const writeFlags = reader.u32()
  const lockOwner = ownerIf(reader, (writeFlags & WriteFlag.LOCKOWNER) !== 0)
  const flags = reader.u32()
  reader.skip(4)
  return { op: 'write', handle, offset, data: reader.bytes(size), writeFlags, flags, lockOwner }
}

function readdir(reader: BodyReader, plus: boolean): RequestBody {
  const handle = reader.handle()
  const cookie = reader.u64()
  if (cookie === undefined) throw new DecodeError(Errno.EINVAL, 'cookie was never given out')
  const size = ioSize(reader)
  reader.skip(20)
  return { op: 'readdir', handle, cookie, size, plus }
}

function flush(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  reader.skip(8)
  return { op: 'flush', handle, lockOwner: reader.u64big() }
}

function release(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  const flags = reader.u32()
  const releaseFlags = reader.u32()
  reader.skip(8)
  return { op: 'release', handle, flags, releaseFlags }
}

function releasedir(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  const flags = reader.u32()
  reader.skip(12)
  return { op: 'releasedir', handle, flags }
}

function fsync(reader: BodyReader, op: 'fsync' | 'fsyncdir'): RequestBody {
  const handle = reader.handle()
  const dataOnly = (reader.u32() & FsyncFlag.DATA_ONLY) !== 0
  reader.skip(4)
  return { op, handle, dataOnly }
}

function fallocate(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  const offset = reader.offset(Errno.EFBIG)
  const length = reader.offset(Errno.EFBIG)
  const mode = reader.u32()
  reader.skip(4)
  if (length === 0) throw new DecodeError(Errno.EINVAL, 'empty range')
  if (offset + length > FILE_SIZE_MAX) throw new DecodeError(Errno.EFBIG, 'range too far')
  return { op: 'fallocate', handle, offset, length, mode }
}

/** Bytes beyond the largest file are not there to be copied; the filesystem says so by the count. */
function copy(reader: BodyReader): RequestBody {
  const sourceHandle = reader.handle()
  const sourceOffset = reader.offset(Errno.EINVAL)
  const target = reader.ino()
  const handle = reader.handle()
  const offset = reader.offset(Errno.EFBIG)
  const length = Math.min(reader.u64() ?? FILE_SIZE_MAX, COPY_MAX_BYTES)
  const flags = reader.u64()
  if (flags !== 0) throw new DecodeError(Errno.EINVAL, 'copy flags')
  return { op: 'copy', sourceHandle, sourceOffset, target, handle, offset, length }
}

function lseek(reader: BodyReader): RequestBody {
  const handle = reader.handle()
  const offset = reader.offset(Errno.ENXIO)
  const whence = reader.u32()
  reader.skip(4)
  if (whence !== 3 && whence !== 4) throw new DecodeError(Errno.EINVAL, 'whence')
  return { op: 'lseek', handle, offset, whence }
}

export const fileDecoders: DecoderTable = {
  [Opcode.OPEN]: (reader) => ({ op: 'open', flags: openFlags(reader) }),
  [Opcode.READ]: read,
  [Opcode.WRITE]: write,
  [Opcode.FLUSH]: flush,
  [Opcode.FSYNC]: (reader) => fsync(reader, 'fsync'),
  [Opcode.RELEASE]: release,
  [Opcode.FALLOCATE]: fallocate,
  [Opcode.LSEEK]: lseek,
  [Opcode.COPY_FILE_RANGE]: copy,
  [Opcode.COPY_FILE_RANGE_64]: copy,
  [Opcode.OPENDIR]: (reader) => ({ op: 'opendir', flags: openFlags(reader) }),
  [Opcode.READDIR]: (reader) => readdir(reader, false),
  [Opcode.READDIRPLUS]: (reader) => readdir(reader, true),
  [Opcode.FSYNCDIR]: (reader) => fsync(reader, 'fsyncdir'),
  [Opcode.RELEASEDIR]: releasedir
}
