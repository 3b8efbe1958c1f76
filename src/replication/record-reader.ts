/** Reads what stands as checked JSON in a binary message. */
import { type ByteReader, DecodeError } from '../fs/byte-codec.ts'
import type { EpochRecord } from './record.ts'
import { parseRecord, RECORD_TEXT_MAX_BYTES } from './volume/record-codec.ts'
import { ShapeError } from './volume/shape.ts'

/** Throws DecodeError. */
export function readRecord(reader: ByteReader): EpochRecord {
  return shaped('record', () => parseRecord(reader.text(RECORD_TEXT_MAX_BYTES)))
}

/** What `read` returns; its ShapeError as a DecodeError. */
export function shaped<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error
    throw new DecodeError(`${what}: ${error.message}`, { cause: error })
  }
}
