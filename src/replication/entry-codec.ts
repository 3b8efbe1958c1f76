/** Binary form of an entry's head (version 1): the block in the writer's hypercore. */

import { ByteReader, ByteWriter, DecodeError } from '../fs/byte-codec.ts'
import type { Slice } from '../fs/op.ts'
import { SLICE_MAX_BYTES } from '../fs/op.ts'
import { decodeOps, encodeOps } from '../fs/op-codec.ts'
import type { Epoch, MemberId, Seq, WriterId } from '../fs/primitives.ts'
import { memberOf, writerOfSegment } from '../fs/primitives.ts'
import type { Entry, SealedEntry } from './entry.ts'
import {
  ENTRY_HEAD_MAX_BYTES,
  ENTRY_PAYLOAD_MAX_BYTES,
  isInline,
  opDataBytes,
  SEGMENT_MAX_BYTES
} from './entry.ts'
import type { Vector } from './vector.ts'

const VERSION = 1
export const VECTOR_ENTRIES_MAX = 1024

export function writeVector(writer: ByteWriter, vector: Vector): void {
  writer.uint(vector.size)
  for (const [id, seq] of vector) writer.uint(id).uint(seq)
}

export function readVector(reader: ByteReader): Map<WriterId, Seq> {
  const count = reader.uint(VECTOR_ENTRIES_MAX)
  const vector = new Map<WriterId, Seq>()
  for (let i = 0; i < count; i++) {
    const id = reader.uint() as WriterId
    vector.set(id, reader.uint() as Seq)
  }
  if (vector.size !== count) throw new DecodeError('a writer stands twice in a vector')
  return vector
}

export function encodeEntryHead(entry: Entry): Buffer {
  const writer = new ByteWriter(512)
  writeHeadStart(writer, entry)
  writer.raw(encodeOps(entry.ops))
  return writer.finish()
}

/** What stands in a head before the list of its ops. */
export function writeHeadStart(to: ByteWriter, entry: Omit<Entry, 'ops'>): void {
  to.u8(VERSION).uint(entry.epoch).uint(entry.writer).uint(entry.seq)
  writeVector(to, entry.deps)
}

/** Throws DecodeError for anything that is not one whole entry. */
export function decodeEntryHead(head: Buffer): Entry {
  if (head.length > ENTRY_HEAD_MAX_BYTES) throw new DecodeError('entry too large')
  const reader = new ByteReader(head)
  const version = reader.u8()
  if (version !== VERSION) throw new DecodeError(`unknown entry version ${version}`)
  const epoch = reader.uint() as Epoch
  const writer = reader.uint() as WriterId
  const seq = reader.uint() as Seq
  if (epoch < 1 || writer < 1 || seq < 1) throw new DecodeError('entry header out of range')
  const deps = readVector(reader)
  const ops = decodeOps(reader.rest())
  return { epoch, writer, seq, deps, ops }
}

/**
 * Decodes an entry; checks that its slices lie in segments of its member and that its payload is
 * as long as its inline ops say. Throws DecodeError.
 */
export function openEntry(sealed: SealedEntry): Entry {
  const entry = decodeEntryHead(sealed.head)
  if (entry.writer !== sealed.writer || entry.seq !== sealed.seq) {
    throw new DecodeError('entry is not the one it was sent as')
  }
  const member = memberOf(entry.writer)
  let inlineBytes = 0
  for (const op of entry.ops) {
    if (op.type === 'write') for (const slice of op.slices) checkPlace(slice, member)
    if (isInline(op)) inlineBytes += opDataBytes(op)
  }
  if (inlineBytes > ENTRY_PAYLOAD_MAX_BYTES) throw new DecodeError('entry payload too large')
  // Without payload it is bare: catch-up fetches the bytes slice by slice.
  if (sealed.payload.length !== 0 && sealed.payload.length !== inlineBytes) {
    throw new DecodeError('entry payload has the wrong length')
  }
  return entry
}

/** A place outside, or in a segment of another member, would break the store it is written to. */
function checkPlace({ segment, offset, length }: Slice, member: MemberId): void {
  const isInside =
    Number.isSafeInteger(segment) &&
    segment > 0 &&
    length >= 1 &&
    length <= SLICE_MAX_BYTES &&
    offset >= 0 &&
    offset + length <= SEGMENT_MAX_BYTES
  if (!isInside) throw new DecodeError(`segment ${segment}: no slice at ${offset} + ${length}`)
  if (memberOf(writerOfSegment(segment)) === member) return
  throw new DecodeError(`segment ${segment} is not one of member ${member}`)
}
