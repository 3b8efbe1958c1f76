/** Decoders of requests about the connection itself. */
import { Errno } from '../../fs/errno.ts'
import { InitFlag, Opcode, Size } from './abi.ts'
import { type BodyReader, DecodeError, type DecoderTable } from './body-reader.ts'
import type { RequestBody } from './request.ts'

function init(reader: BodyReader): RequestBody {
  const available = reader.remaining()
  const major = reader.u32()
  const minor = reader.u32()
  const maxReadahead = reader.u32()
  const flags = reader.u32()
  const extended = (flags & InitFlag.INIT_EXT) !== 0 && available >= Size.INIT_IN_EXT
  const flags2 = extended ? reader.u32() : 0
  // Newer kernels may say more than is known here.
  reader.skip(reader.remaining())
  return { op: 'init', major, minor, maxReadahead, flags, flags2 }
}

/** Counts of lookups; one beyond all reason forgets all there can be. */
function lookups(reader: BodyReader): number {
  return reader.u64() ?? Number.MAX_SAFE_INTEGER
}

function batchForget(reader: BodyReader): RequestBody {
  const count = reader.u32()
  reader.skip(4)
  if (count * Size.FORGET_ONE !== reader.remaining()) {
    throw new DecodeError(Errno.EINVAL, 'count does not fit the message')
  }
  const forgotten = []
  for (let i = 0; i < count; i++) forgotten.push({ ino: reader.ino(), lookups: lookups(reader) })
  return { op: 'batchForget', forgotten }
}

export const sessionDecoders: DecoderTable = {
  [Opcode.INIT]: init,
  [Opcode.DESTROY]: () => ({ op: 'destroy' }),
  [Opcode.INTERRUPT]: (reader) => ({
    op: 'interrupt',
    uniqueLow: reader.u32(),
    uniqueHigh: reader.u32()
  }),
  [Opcode.FORGET]: (reader) => ({ op: 'forget', lookups: lookups(reader) }),
  [Opcode.BATCH_FORGET]: batchForget
}
