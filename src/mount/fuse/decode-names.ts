/** Decoders of requests that name directory entries. */
import { Errno } from '../../fs/errno.ts'
import { NAME_MAX_BYTES, SYMLINK_MAX_BYTES } from '../../fs/op.ts'
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
  const { NOREPLACE, EXCHANGE, WHITEOUT } = RenameFlag
  const known = NOREPLACE | EXCHANGE | WHITEOUT
  if ((flags & ~known) !== 0 || (flags & EXCHANGE && flags !== EXCHANGE)) {
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
  const umask = reader.u32()
  reader.skip(4)
  return { op: 'mknod', mode, rdev, umask, name: reader.name() }
}

function mkdir(reader: BodyReader): RequestBody {
  const mode = reader.u32()
  const umask = reader.u32()
  return { op: 'mkdir', mode, umask, name: reader.name() }
}

function create(reader: BodyReader): RequestBody {
  const flags = reader.u32()
  const mode = reader.u32()
  const umask = reader.u32()
  reader.skip(4)
  return { op: 'create', flags, mode, umask, name: reader.name() }
}

/** As CREATE; its name says nothing (the kernel sends "/"). */
function tmpfile(reader: BodyReader): RequestBody {
  const flags = reader.u32()
  const mode = reader.u32()
  const umask = reader.u32()
  reader.skip(4)
  reader.string(NAME_MAX_BYTES)
  return { op: 'tmpfile', flags, mode, umask }
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
  [Opcode.CREATE]: create,
  [Opcode.TMPFILE]: tmpfile
}
