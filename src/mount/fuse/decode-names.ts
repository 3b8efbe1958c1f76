/** Decoders of requests that name directory entries. */
import { Errno } from '../../fs/errno.ts'
import { SYMLINK_MAX_BYTES } from '../../fs/op.ts'
import { Opcode, RenameFlag } from './abi.ts'
import { type BodyReader, DecodeError, type DecoderTable } from './body-reader.ts'
import type { RequestBody } from './request.ts'

function rename(reader: BodyReader, withFlags: boolean): RequestBody {
  const newParent = reader.ino()
  let flags = 0
  if (withFlags) {
    flags = reader.u32()
    reader.skip(4)
  }
  if ((flags & ~(RenameFlag.NOREPLACE | RenameFlag.EXCHANGE)) !== 0 || flags === 3) {
    throw new DecodeError(Errno.EINVAL, 'rename flags')
  }
  const name = reader.name()
  return { op: 'rename', name, newParent, newName: reader.name(), flags }
}

function symlink(reader: BodyReader): RequestBody {
  const name = reader.name()
  const target = reader.string(SYMLINK_MAX_BYTES)
  if (target.length === 0) throw new DecodeError(Errno.ENOENT, 'empty symlink target')
  return { op: 'symlink', name, target }
}

function mknod(reader: BodyReader): RequestBody {
  const mode = reader.u32()
  const rdev = reader.u32()
  reader.skip(8)
  return { op: 'mknod', mode, rdev, name: reader.name() }
}

function mkdir(reader: BodyReader): RequestBody {
  const mode = reader.u32()
  reader.skip(4)
  return { op: 'mkdir', mode, name: reader.name() }
}

function create(reader: BodyReader): RequestBody {
  const flags = reader.u32()
  const mode = reader.u32()
  reader.skip(8)
  return { op: 'create', flags, mode, name: reader.name() }
}

export const nameDecoders: DecoderTable = {
  [Opcode.LOOKUP]: (reader) => ({ op: 'lookup', name: reader.name() }),
  [Opcode.READLINK]: () => ({ op: 'readlink' }),
  [Opcode.SYMLINK]: symlink,
  [Opcode.MKNOD]: mknod,
  [Opcode.MKDIR]: mkdir,
  [Opcode.UNLINK]: (reader) => ({ op: 'unlink', name: reader.name() }),
  [Opcode.RMDIR]: (reader) => ({ op: 'rmdir', name: reader.name() }),
  [Opcode.RENAME]: (reader) => rename(reader, false),
  [Opcode.RENAME2]: (reader) => rename(reader, true),
  [Opcode.LINK]: (reader) => ({ op: 'link', target: reader.ino(), name: reader.name() }),
  [Opcode.CREATE]: create
}
