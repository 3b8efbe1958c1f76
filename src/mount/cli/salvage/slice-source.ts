/** (I/O) The bytes of slices: from the lost entries themselves, else from the segment files. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { Slice } from '../../../fs/op.ts'
import { inlineSlices } from '../../../replication/replica/intake.ts'
import { segmentPath, sliceMatches } from '../../../replication/storage/segment-store.ts'
import type { LostEntry } from './bundles.ts'

export class SliceSource {
  readonly #segmentsDir: string
  readonly #inline = new Map<string, Uint8Array>()

  constructor(segmentsDir: string) {
    this.#segmentsDir = segmentsDir
  }

  /** Small writes stand in the entry; whether they also reached a segment is not certain. */
  keep({ entry, sealed }: LostEntry): void {
    if (sealed.payload.length === 0) return
    for (const { slice, bytes } of inlineSlices(entry, sealed)) {
      this.#inline.set(key(slice), bytes)
    }
  }

  /** Undefined when the bytes are nowhere, or are not those that were written. */
  read(slice: Slice): Uint8Array | undefined {
    const inline = this.#inline.get(key(slice))
    if (inline !== undefined && sliceMatches(slice, inline)) return inline
    let fd: number
    try {
      fd = openSync(segmentPath(this.#segmentsDir, slice.segment), 'r')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    }
    try {
      const bytes = Buffer.alloc(slice.length)
      const count = readSync(fd, bytes, 0, slice.length, slice.offset)
      return count === slice.length && sliceMatches(slice, bytes) ? bytes : undefined
    } finally {
      closeSync(fd)
    }
  }
}

function key({ segment, offset }: Slice): string {
  return `${segment}:${offset}`
}
