/**
 * Places of freed slices as bytes: for each segment u56 segment, uint count, then for each slice int
 * offset behind the end of the one before, uint length. In the order of their places, which makes them
 * short (some 6 bytes a slice), and those of several batches quick to merge.
 */
import { ByteReader, type ByteWriter } from '../byte-codec.ts'
import { SLICE_MAX_BYTES } from '../op.ts'
import type { FreedSlice } from '../ports/state-machine.ts'
import type { SegmentId } from '../primitives.ts'

/** Two bytes at least. */
const SLICE_MIN_BYTES = 2
const OFFSET_MAX = 2 ** 52 - 1

function byPlace(a: FreedSlice, b: FreedSlice): number {
  return a.segment - b.segment || a.offset - b.offset
}

/** Sorts `slices`, and writes them. */
export function writeFreedSlices(w: ByteWriter, slices: FreedSlice[]): void {
  slices.sort(byPlace)
  let from = 0
  while (from < slices.length) {
    const segment = slices[from]?.segment
    let to = from + 1
    while (slices[to]?.segment === segment) to++
    writeSegment(w, slices.slice(from, to))
    from = to
  }
}

function writeSegment(w: ByteWriter, slices: readonly FreedSlice[]): void {
  let end = 0
  for (const [i, { segment, offset, length }] of slices.entries()) {
    if (i === 0) w.u56(segment).uint(slices.length)
    w.int(offset - end).uint(length)
    end = offset + length
  }
}

/** Throws DecodeError for what `writeFreedSlices` does not write, nothing included. */
export function readFreedSlices(bytes: Uint8Array): FreedSlice[] {
  const r = new ByteReader(bytes)
  const slices: FreedSlice[] = []
  do {
    const segment = r.u56() as SegmentId
    const count = r.uint(Math.floor(r.left / SLICE_MIN_BYTES))
    if (count === 0) r.fail('segment without slices')
    let end = 0
    for (let i = 0; i < count; i++) {
      const offset = end + r.int(OFFSET_MAX)
      const length = r.uint(SLICE_MAX_BYTES)
      if (offset < 0 || offset > OFFSET_MAX || length === 0) r.fail('no place of a slice')
      slices.push({ segment, offset, length })
      end = offset + length
    }
  } while (r.left > 0)
  return slices
}
