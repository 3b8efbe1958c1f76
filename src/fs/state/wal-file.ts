/**
 * Reads SQLite's write-ahead log as its file format documentation describes it: a header of 32
 * bytes, then frames of a header of 24 bytes and a page. Both salts are the same in the header and
 * in every frame that belongs to it; they change when the log starts over.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { assert } from '../assert.ts'

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const SALTS_AT = 16
const FRAME_SALTS_AT = 8
const FRAMES_PER_READ = 64

/** Which log of those that stood in the file one after the other. */
export type WalSalts = bigint

export const NO_SALTS: WalSalts = 0n

/** NO_SALTS when there is no log, or an empty one. */
export function walSalts(walFile: string): WalSalts {
  const fd = openIfThere(walFile)
  if (fd === undefined) return NO_SALTS
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    const read = readSync(fd, header, 0, HEADER_BYTES, 0)
    return read < HEADER_BYTES ? NO_SALTS : header.readBigUInt64BE(SALTS_AT)
  } finally {
    closeSync(fd)
  }
}

/**
 * Calls `onPage` for the frames `from`..`to` (counted from 1), in order; a page may come more than
 * once. False when they are not all there with these salts.
 */
export function readFrames(
  walFile: string,
  { salts, from, to, pageBytes }: FrameRange,
  onPage: (page: number, content: Buffer) => void
): boolean {
  if (from > to) return true
  const fd = openIfThere(walFile)
  if (fd === undefined) return false
  const frameBytes = FRAME_HEADER_BYTES + pageBytes
  const buffer = Buffer.alloc(FRAMES_PER_READ * frameBytes)
  try {
    for (let frame = from; frame <= to; ) {
      const count = Math.min(FRAMES_PER_READ, to - frame + 1)
      const position = HEADER_BYTES + (frame - 1) * frameBytes
      if (readSync(fd, buffer, 0, count * frameBytes, position) < count * frameBytes) return false
      for (let at = 0; at < count * frameBytes; at += frameBytes) {
        if (buffer.readBigUInt64BE(at + FRAME_SALTS_AT) !== salts) return false
        const contentAt = at + FRAME_HEADER_BYTES
        onPage(buffer.readUInt32BE(at), buffer.subarray(contentAt, contentAt + pageBytes))
      }
      frame += count
    }
    return true
  } finally {
    closeSync(fd)
  }
}

export interface FrameRange {
  readonly salts: WalSalts
  readonly from: number
  readonly to: number
  readonly pageBytes: number
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, 'r')
  } catch (error) {
    assert(error instanceof Error, 'no error')
    if ('code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
