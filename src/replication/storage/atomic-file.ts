/**
 * Small files that are replaced as a whole: at every moment, also after a power cut, the path
 * holds either the old content or the new one. A checked file carries its kind, version, length
 * and crc32 in its first line, so that what is read back is exactly what was written.
 */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { DamagedFileError, systemCode } from './storage-errors.ts'

const CHECKED_MAX_BYTES = 16 * 1024 * 1024
const FIRST_LINE = /^tandemfs ([a-z-]+) (\d{1,6}) ([0-9a-f]{8}) (\d{1,9})\n/

/** Makes new, renamed and removed names in `dir` durable. */
export function fsyncDirectory(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Replaces the file at `path` with `data`. Content and name are durable on return. Throws the
 * system's error (ENOSPC, EIO, ...); the old content then stands.
 */
export function writeFileAtomic(path: string, data: Uint8Array | string, mode = 0o600): void {
  const dir = dirname(path)
  const temporary = join(dir, `.${basename(path)}.${process.pid}.tmp`)
  try {
    const fd = openSync(temporary, 'w', mode)
    try {
      writeFileSync(fd, data)
      fdatasyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  fsyncDirectory(dir)
}

export interface CheckedFormat<T> {
  /** Says what the file is: lower case letters and dashes. */
  readonly kind: string
  readonly version: number
  /** Turns parsed JSON into the value; throws with a reason when it is not one. */
  validate(value: unknown): T
}

/** Replaces the checked JSON file at `path`; durable on return. */
export function writeChecked<T>(path: string, format: CheckedFormat<T>, value: T): void {
  const body = `${JSON.stringify(value, null, 2)}\n`
  const bytes = Buffer.byteLength(body)
  if (bytes > CHECKED_MAX_BYTES) throw new RangeError(`${path}: larger than a checked file may be`)
  const sum = crc32(body).toString(16).padStart(8, '0')
  writeFileAtomic(path, `tandemfs ${format.kind} ${format.version} ${sum} ${bytes}\n${body}`)
}

/**
 * Reads a checked JSON file. undefined when there is none; throws DamagedFileError when its
 * content is not what was written, or of another kind or a version this program does not know.
 */
export function readChecked<T>(path: string, format: CheckedFormat<T>): T | undefined {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
  const first = FIRST_LINE.exec(content.toString('latin1', 0, 128))
  if (!first) throw new DamagedFileError(path, 'its first line is not that of a tandemfs file')
  const [line, kind, version, sum, length] = first
  const body = content.subarray(line.length)
  if (body.length !== Number(length)) throw new DamagedFileError(path, 'its length is wrong')
  if (crc32(body) !== Number.parseInt(sum ?? '', 16)) {
    throw new DamagedFileError(path, 'its checksum is wrong')
  }
  if (kind !== format.kind) throw new DamagedFileError(path, `it is a ${kind}, not ${format.kind}`)
  if (Number(version) !== format.version) {
    throw new DamagedFileError(path, `its version ${version} is not known to this program`)
  }
  try {
    return format.validate(JSON.parse(body.toString('utf8')))
  } catch (error) {
    throw new DamagedFileError(path, error instanceof Error ? error.message : String(error), {
      cause: error
    })
  }
}
