/** Decoders of file lock requests (struct fuse_lk_in). */
import { Errno } from '../../fs/errno.ts'
import { LOCK_END, type LockRequest, type LockType } from '../../fs/ports/lock-service.ts'
import { LockFlag, LockTypeCode, Opcode } from './abi.ts'
import { type BodyReader, DecodeError, type DecoderTable } from './body-reader.ts'
import type { LockBody, RequestBody } from './request.ts'

function lockType(code: number): LockType | 'unlock' {
  if (code === LockTypeCode.READ) return 'read'
  if (code === LockTypeCode.WRITE) return 'write'
  if (code === LockTypeCode.UNLOCK) return 'unlock'
  throw new DecodeError(Errno.EINVAL, `lock type ${code}`)
}

function lock(reader: BodyReader): LockBody {
  const handle = reader.handle()
  const owner = reader.u64big()
  const start = reader.u64big()
  const end = reader.u64big()
  const type = lockType(reader.u32())
  const pid = reader.u32()
  const flags = reader.u32()
  reader.skip(4)
  if ((flags & ~LockFlag.FLOCK) !== 0) throw new DecodeError(Errno.EINVAL, 'lock flags')
  if (end < start || end > LOCK_END) throw new DecodeError(Errno.EINVAL, 'lock range')
  const kind = (flags & LockFlag.FLOCK) === 0 ? 'record' : 'flock'
  if (kind === 'flock' && (start !== 0n || end !== LOCK_END)) {
    throw new DecodeError(Errno.EINVAL, 'flock of a part of the file')
  }
  const request: LockRequest = { kind, type, start, end, owner, pid }
  return { handle, request }
}

/** F_OFD_GETLK with F_UNLCK (Linux 6.6) asks for the caller's own locks: not served. */
function getlk(reader: BodyReader): RequestBody {
  const body = lock(reader)
  if (body.request.type === 'unlock') throw new DecodeError(Errno.EINVAL, 'query of an unlock')
  return { op: 'getlk', ...body }
}

/** An unlock never waits, though flock(LOCK_UN) comes as SETLKW: no signal may end it. */
function setlk(reader: BodyReader, wait: boolean): RequestBody {
  const body = lock(reader)
  return { op: 'setlk', ...body, wait: wait && body.request.type !== 'unlock' }
}

export const lockDecoders: DecoderTable = {
  [Opcode.GETLK]: getlk,
  [Opcode.SETLK]: (reader) => setlk(reader, false),
  [Opcode.SETLKW]: (reader) => setlk(reader, true)
}
