/**
 * Writes that follow each other in file and segment become one op with one slice: what an appending
 * process does between two entries costs the other members one op. The slice's sha256 is that of all its
 * bytes, so it is known when no more come.
 */
import { crc32 } from 'node:zlib'
import type { TimeSpec } from '../../fs/attr.ts'
import type { Op, WriteOp } from '../../fs/op.ts'
import { INLINE_MAX_BYTES } from '../../fs/op.ts'
import { sha256 } from '../storage/segment-store.ts'

const UNKNOWN_SHA256 = Buffer.alloc(32)

/** `last` and `op`, whose bytes are `payload`, as one op without its sha256; undefined when they are not one. */
export function mergedWrite(
  last: Op | undefined,
  op: Op,
  payload: Uint8Array | undefined
): WriteOp | undefined {
  if (payload === undefined || op.type !== 'write' || last?.type !== 'write') return undefined
  if (last.ino !== op.ino || last.mode !== undefined || op.mode !== undefined) return undefined
  const [head, ...more] = last.slices
  const [tail, ...rest] = op.slices
  if (!head || !tail || more.length > 0 || rest.length > 0) return undefined
  const { segment, offset } = head
  const follows = tail.segment === segment && tail.offset === offset + head.length
  if (!follows || op.offset !== last.offset + head.length) return undefined
  const length = head.length + tail.length
  if (length > INLINE_MAX_BYTES) return undefined
  const sum = crc32(payload, head.crc32)
  const slice = { segment, offset, length, crc32: sum, sha256: UNKNOWN_SHA256 }
  return {
    type: 'write',
    ino: op.ino,
    offset: last.offset,
    slices: [slice],
    time: later(last.time, op.time)
  }
}

/** A merged op to which no more comes. */
export function finishedWrite(op: WriteOp, bytes: Uint8Array): WriteOp {
  return { ...op, slices: op.slices.map((slice) => ({ ...slice, sha256: sha256(bytes) })) }
}

/** The wall clock may have been set back between the two. */
function later(a: TimeSpec, b: TimeSpec): TimeSpec {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec) ? a : b
}
