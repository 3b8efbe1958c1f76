/**
 * An entry: a group of ops of one writer, one block of its log. Its encoding without the payload
 * is the block in the hypercore; the payload (the bytes of ops whose slices sum up to at most
 * INLINE_MAX_BYTES, concatenated in op order) travels beside it and stands in the journal record.
 */
import type { Op } from '../fs/op.ts'
import { INLINE_MAX_BYTES } from '../fs/op.ts'
import type { Epoch, Seq, WriterId } from '../fs/primitives.ts'
import type { Vector } from './vector.ts'

export interface Entry {
  readonly epoch: Epoch
  readonly writer: WriterId
  readonly seq: Seq
  /** What the writer had applied of the other writers that were live in `epoch`. */
  readonly deps: Vector
  readonly ops: readonly Op[]
}

/** An entry as it travels: `head` is the encoded Entry, `payload` its inline bytes. */
export interface SealedEntry {
  readonly writer: WriterId
  readonly seq: Seq
  readonly head: Buffer
  readonly payload: Buffer
}

export const ENTRY_HEAD_MAX_BYTES = 1024 * 1024
export const ENTRY_PAYLOAD_MAX_BYTES = 4 * 1024 * 1024
export const ENTRY_OPS_MAX = 4096
/** No segment file is longer, on any member. */
export const SEGMENT_MAX_BYTES = 256 * 1024 * 1024

/** Total length of an op's slices; 0 for ops without data. */
export function opDataBytes(op: Op): number {
  if (op.type !== 'write') return 0
  let total = 0
  for (const slice of op.slices) total += slice.length
  return total
}

/** True when the op's bytes are part of the entry's payload. */
export function isInline(op: Op): boolean {
  const bytes = opDataBytes(op)
  return bytes > 0 && bytes <= INLINE_MAX_BYTES
}
