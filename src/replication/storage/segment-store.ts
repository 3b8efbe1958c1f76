/**
 * (I/O) File data: flat segment files, one writer's slices behind each other. This member appends
 * to segments of its own incarnation; slices of other writers go to the same segment and offset
 * as they have at their writer.
 *
 * Invariants: a slice is written once and never changes (except to repair it, with the same
 * bytes); bytes are handed out only after their crc32 was checked over the whole slice; nothing is
 * written at an offset outside a segment. Which slices are held or live is the caller's to know.
 */
import { hash } from 'node:crypto'
import { mkdirSync, readdirSync, readSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { assert } from '../../fs/assert.ts'
import type { Slice } from '../../fs/op.ts'
import { SLICE_MAX_BYTES } from '../../fs/op.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { SegmentId, WriterId } from '../../fs/primitives.ts'
import { makeSegmentId, writerOfSegment } from '../../fs/primitives.ts'
import { SEGMENT_MAX_BYTES } from '../entry.ts'
import { joinPieces } from '../slab.ts'
import type { DiskIo, FileRangeCalls } from './disk-io.ts'
import { diskIo, writeFully } from './disk-io.ts'
import { SegmentFiles } from './segment-files.ts'
import { DamagedFileError, StoreFailedError, systemCode } from './storage-errors.ts'
import { WriteBack } from './write-back.ts'

const SHA256_BYTES = 32
const FILE_NAME = /^(\d{1,16})\.seg$/

export interface SegmentStoreComponents {
  readonly dir: string
  readonly logger: Logger
  /** Called once, when the store fails for good. */
  readonly onFailure?: (error: StoreFailedError) => void
  /** Without them `punch` does nothing, and what is dirty waits for the next sync. */
  readonly ranges?: FileRangeCalls
  readonly io?: DiskIo
}

export interface SegmentStoreOptions {
  /** The writer this member is now; its segments must not exist yet. */
  readonly writer: WriterId
  /** Where this member begins its next segment; at most SEGMENT_MAX_BYTES. */
  readonly segmentMaxBytes?: number
  readonly openFilesMax?: number
}

/**
 * 'missing': the file is absent or too short, or the range holds only zeros (a hole that was never
 * filled or was punched). 'damaged': other bytes than those that were written.
 */
export type SliceState = 'ok' | 'missing' | 'damaged'

export interface SegmentUsage {
  readonly segments: number
  /** Sum of the file sizes, holes included. */
  readonly sizeBytes: number
  /** What the files take on the disk. */
  readonly allocatedBytes: number
}

export interface FreeSpace {
  readonly totalBytes: number
  /** Available to this process. */
  readonly availableBytes: number
}

/** Bytes of a slice, and their place. */
export interface PlacedBytes {
  readonly slice: Pick<Slice, 'segment' | 'offset'>
  readonly bytes: Buffer
}

/** A large write in the page cache: where it stands, and its slices when all their sums are made. */
export interface LargeAppend {
  readonly places: readonly Pick<Slice, 'segment' | 'offset' | 'length'>[]
  readonly slices: Promise<readonly Slice[]>
}

export class SegmentStore {
  readonly #dir: string
  readonly #io: DiskIo
  readonly #ranges: FileRangeCalls | undefined
  readonly #files: SegmentFiles
  readonly #writeBack: WriteBack | undefined
  readonly #writer: WriterId
  readonly #segmentMaxBytes: number
  readonly #scratch = Buffer.allocUnsafeSlow(SLICE_MAX_BYTES)
  /** The sound slice that the scratch holds: small reads in a row check it once. */
  #inScratch: Slice | undefined
  /** Next own segment, and the current one while it has room. */
  #nextCounter = 0
  #current: SegmentId | undefined
  #offset = 0

  private constructor(components: SegmentStoreComponents, options: SegmentStoreOptions) {
    const { dir, logger, onFailure } = components
    this.#dir = dir
    this.#io = components.io ?? diskIo
    this.#ranges = components.ranges
    this.#writer = options.writer
    this.#segmentMaxBytes = options.segmentMaxBytes ?? SEGMENT_MAX_BYTES
    assert(this.#segmentMaxBytes >= SLICE_MAX_BYTES, 'a segment must hold a slice')
    assert(this.#segmentMaxBytes <= SEGMENT_MAX_BYTES, 'segment size out of range')
    this.#files = new SegmentFiles(
      {
        dir,
        io: this.#io,
        onFailure: (error) => {
          logger.error({ error }, 'segment store failed for good')
          onFailure?.(error)
        }
      },
      { openMax: options.openFilesMax ?? 64 }
    )
    const { ranges } = components
    this.#writeBack = ranges && new WriteBack({ files: this.#files, ranges })
  }

  /** Opens the store in `dir` (made when missing). The first append begins a new segment. */
  static open(components: SegmentStoreComponents, options: SegmentStoreOptions): SegmentStore {
    mkdirSync(components.dir, { recursive: true, mode: 0o700 })
    return new SegmentStore(components, options)
  }

  get canPunch(): boolean {
    return this.#ranges !== undefined
  }

  /**
   * Appends `data` to the current own segment, cut into slices of at most SLICE_MAX_BYTES. In the
   * page cache on return. Throws ENOSPC, EIO or StoreFailedError; nothing counts as appended then.
   */
  append(data: Uint8Array): readonly Slice[] {
    return this.#appendParts(data, sha256)
  }

  /**
   * As `append`; the sha256 sums are made beside what the caller does meanwhile, on another processor. `data` must
   * stay what it is until the slices are there.
   */
  appendLarge(data: Uint8Array): LargeAppend {
    const sums = this.#ranges?.sha256Each(data, SLICE_MAX_BYTES)
    if (sums === undefined) {
      const slices = this.append(data)
      return { places: slices, slices: Promise.resolve(slices) }
    }
    // The bytes are the caller's again when this throws: only the sums are wrong then, and nobody asks.
    sums.catch(() => {})
    const places = this.#appendParts(data, () => NO_SUM)
    return { places, slices: sums.then((all) => places.map((place, i) => withSum(place, all, i))) }
  }

  #appendParts(data: Uint8Array, sumOf: (bytes: Uint8Array) => Buffer): readonly Slice[] {
    const slices: Slice[] = []
    const before = { current: this.#current, offset: this.#offset }
    try {
      for (let from = 0; from < data.length; ) {
        const run = data.subarray(from, from + this.#roomFor(data.length - from))
        slices.push(...this.#appendRun(run, sumOf))
        from += run.length
      }
    } catch (error) {
      // Within the same segment the space is used again; a segment begun meanwhile stays.
      if (before.current === this.#current) this.#offset = before.offset
      throw error
    }
    return slices
  }

  /**
   * Writes bytes of a slice that has its place already: another writer's, an older own one that
   * is replayed, or a repair. In the page cache on return. Throws RangeError when the place is
   * outside a segment, ENOSPC, EIO or StoreFailedError.
   */
  writeAt(segment: SegmentId, offset: number, bytes: Uint8Array): void {
    this.#checkPlace(segment, offset, bytes.length)
    if (writerOfSegment(segment) === this.#writer && !this.#isAllocated(segment, offset, bytes)) {
      throw new RangeError(`segment ${segment}: offset ${offset} is not allocated yet`)
    }
    this.#write(segment, offset, bytes)
  }

  /**
   * As `writeAt` for each. Those behind each other both in a segment and in memory, as the small writes of
   * an entry mostly are, are written in one call, which costs more than what it copies.
   */
  writeEach(pieces: Iterable<PlacedBytes>): void {
    let run: PlacedBytes[] = []
    for (const piece of pieces) {
      const last = run.at(-1)
      if (last && !follows(last, piece)) {
        this.#writeRun(run)
        run = []
      }
      run.push(piece)
    }
    this.#writeRun(run)
  }

  #writeRun(run: readonly PlacedBytes[]): void {
    const [first] = run
    if (!first) return
    this.writeAt(first.slice.segment, first.slice.offset, joinPieces(run.map(({ bytes }) => bytes)))
  }

  /**
   * Copies bytes [from, from + length) of the slice to `target` at `targetOffset`, after checking
   * the whole slice. Unless 'ok' is returned, `target` holds nothing that may be used.
   * Throws RangeError for a place outside the slice, and EIO when the disk cannot be read.
   */
  readSync(
    slice: Slice,
    from: number,
    length: number,
    target: Uint8Array,
    targetOffset: number
  ): SliceState {
    if (!(from >= 0 && length >= 0 && from + length <= slice.length)) {
      throw new RangeError('read outside of the slice')
    }
    if (!(targetOffset >= 0 && targetOffset + length <= target.length)) {
      throw new RangeError('read outside of the target')
    }
    if (from === 0 && length === slice.length) {
      return this.#readChecked(slice, target.subarray(targetOffset, targetOffset + length))
    }
    if (!this.#inScratch || !isSameSlice(this.#inScratch, slice)) {
      const state = this.#readToScratch(slice)
      if (state !== 'ok') return state
    }
    target.set(this.#scratch.subarray(from, from + length), targetOffset)
    return 'ok'
  }

  /**
   * Fills `target` with whole slices that lie behind each other in one segment, after checking each, in
   * one system call. `once`: the page cache need not keep them. False unless all are 'ok'; `readSync` tells
   * what is wrong then. Throws RangeError unless they are such and fill it.
   */
  readRun(slices: readonly Slice[], target: Uint8Array, once: boolean): boolean {
    const [first] = slices
    const ranges = this.#ranges
    if (first === undefined || ranges === undefined) return false
    const { segment, offset } = first
    const parts = new Uint32Array(2 * slices.length)
    let end = offset
    for (const [index, slice] of slices.entries()) {
      if (slice.segment !== segment || slice.offset !== end)
        throw new RangeError('no run of slices')
      parts[2 * index] = slice.length
      parts[2 * index + 1] = slice.crc32
      end += slice.length
    }
    this.#checkPlace(segment, offset, end - offset)
    if (target.length !== end - offset) throw new RangeError('read outside of the target')
    const fd = this.#files.forReading(segment)
    return fd !== undefined && ranges.readChecked(fd, target, offset, { parts, once }) === 0
  }

  /**
   * The bytes at a place as they stand on the disk, unchecked: for a member that knows their
   * sha256. Undefined when the file is absent or ends before.
   */
  readBytes(segment: SegmentId, offset: number, length: number): Buffer | undefined {
    this.#checkPlace(segment, offset, length)
    const fd = this.#files.forReading(segment)
    if (fd === undefined) return undefined
    const bytes = Buffer.allocUnsafe(length)
    let done = 0
    while (done < length) {
      const count = readSync(fd, bytes, done, length - done, offset + done)
      if (count === 0) return undefined
      done += count
    }
    return bytes
  }

  /** The sum by which a slice is known. */
  crc32(bytes: Uint8Array): number {
    return this.#ranges === undefined ? crc32(bytes) : this.#ranges.crc32(bytes)
  }

  /** Checks the slice on the disk against its sha256 as well. */
  verifySha(slice: Slice): SliceState {
    const state = this.#readToScratch(slice)
    if (state !== 'ok') return state
    return sha256(this.#scratch.subarray(0, slice.length)).equals(slice.sha256) ? 'ok' : 'damaged'
  }

  /**
   * All bytes of a slice that must be there. Throws DamagedFileError, naming the file, when they are
   * not those that were written.
   */
  readNamed(slice: Slice): Buffer {
    const state = this.verifySha(slice)
    if (state === 'ok') return Buffer.from(this.#scratch.subarray(0, slice.length))
    const { segment, offset, length } = slice
    const reason = `at byte ${offset}: the ${length} bytes of a write that was answered are ${state}`
    throw new DamagedFileError(this.#files.path(segment), reason)
  }

  /** Resolves when everything written so far is durable. Rejects with StoreFailedError. */
  syncUnsynced(): Promise<void> {
    return this.#files.sync(this.#files.unsynced())
  }

  /** Resolves when everything written to these segments so far is durable. */
  syncSegments(segments: Iterable<SegmentId>): Promise<void> {
    return this.#files.sync(segments)
  }

  /** The same, blocking the event loop. Throws StoreFailedError. */
  syncSegmentsNow(segments: Iterable<SegmentId>): void {
    this.#files.syncNow(segments)
  }

  /** Segments with bytes that are not durable yet, as far as this process wrote them. */
  unsyncedSegments(): SegmentId[] {
    return this.#files.unsynced()
  }

  /**
   * Says that bytes of this segment, written before this process began, may not be durable: the
   * replay does so for the slices of every entry that the journal still holds.
   */
  markUnsynced(segment: SegmentId): void {
    this.#files.markUnsynced(segment)
  }

  /**
   * Gives the blocks of a dead range back to the disk. False when that cannot be done here (no
   * punchHole, no such file). The caller keeps RULES 11.
   */
  async punch(segment: SegmentId, offset: number, length: number): Promise<boolean> {
    this.#checkPlace(segment, offset, length)
    const ranges = this.#ranges
    if (!ranges) return false
    return await this.#files.use(segment, (fd) => ranges.punchHole(fd, offset, length))
  }

  /** All segments that have a file, ascending. */
  segments(): SegmentId[] {
    const ids: SegmentId[] = []
    for (const name of readdirSync(this.#dir)) {
      const match = FILE_NAME.exec(name)
      if (match) ids.push(Number(match[1]) as SegmentId)
    }
    return ids.sort((a, b) => a - b)
  }

  usage(): SegmentUsage {
    let sizeBytes = 0
    let allocatedBytes = 0
    let segments = 0
    for (const segment of this.segments()) {
      const stat = statSync(this.#files.path(segment), { throwIfNoEntry: false })
      if (!stat) continue
      segments++
      sizeBytes += stat.size
      allocatedBytes += stat.blocks * 512
    }
    return { segments, sizeBytes, allocatedBytes }
  }

  freeSpace(): FreeSpace {
    const stat = statfsSync(this.#dir)
    return {
      totalBytes: stat.blocks * stat.bsize,
      availableBytes: stat.bavail * stat.bsize
    }
  }

  /** Syncs unless failed, and closes all files. */
  async close(): Promise<void> {
    try {
      if (!this.#files.failure) await this.syncUnsynced()
    } finally {
      await this.#writeBack?.idle()
      await this.#files.close()
    }
  }

  /** How many of `length` bytes the next run takes: all, or the whole slices for which the segment has room. */
  #roomFor(length: number): number {
    this.#segmentWithRoom(Math.min(length, SLICE_MAX_BYTES))
    const room = this.#segmentMaxBytes - this.#offset
    return length <= room ? length : room - (room % SLICE_MAX_BYTES)
  }

  /** Slices behind each other, written in one call. */
  #appendRun(run: Uint8Array, sumOf: (bytes: Uint8Array) => Buffer): Slice[] {
    const segment = this.#segmentWithRoom(run.length)
    const start = this.#offset
    this.#write(segment, start, run)
    this.#offset += run.length
    const slices: Slice[] = []
    for (let from = 0; from < run.length; from += SLICE_MAX_BYTES) {
      const bytes = run.subarray(from, from + SLICE_MAX_BYTES)
      const sums = { crc32: this.crc32(bytes), sha256: sumOf(bytes) }
      slices.push({ segment, offset: start + from, length: bytes.length, ...sums })
    }
    return slices
  }

  #write(segment: SegmentId, offset: number, bytes: Uint8Array): void {
    writeFully(this.#io, this.#files.forWriting(segment), bytes, offset)
    this.#writeBack?.written(segment, offset, bytes.length)
  }

  #segmentWithRoom(length: number): SegmentId {
    if (this.#current !== undefined && this.#offset + length <= this.#segmentMaxBytes) {
      return this.#current
    }
    const segment = makeSegmentId(this.#writer, this.#nextCounter)
    try {
      this.#files.create(segment)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
      // The incarnation was durable before its first use: somebody else has written as it.
      throw new StoreFailedError('segment store', `${segment}.seg exists before its first use`)
    }
    this.#nextCounter++
    this.#current = segment
    this.#offset = 0
    return segment
  }

  #isAllocated(segment: SegmentId, offset: number, bytes: Uint8Array): boolean {
    if (segment === this.#current) return offset + bytes.length <= this.#offset
    return this.#current !== undefined && segment < this.#current
  }

  #readToScratch(slice: Slice): SliceState {
    this.#inScratch = undefined
    const state = this.#readChecked(slice, this.#scratch.subarray(0, slice.length))
    if (state === 'ok') this.#inScratch = slice
    return state
  }

  #readChecked(slice: Slice, bytes: Uint8Array): SliceState {
    this.#checkPlace(slice.segment, slice.offset, slice.length)
    if (slice.length > SLICE_MAX_BYTES) throw new RangeError('slice too long')
    const fd = this.#files.forReading(slice.segment)
    if (fd === undefined) return 'missing'
    let done = 0
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, bytes.length - done, slice.offset + done)
      if (count === 0) return 'missing'
      done += count
    }
    if (this.crc32(bytes) === slice.crc32) return 'ok'
    return isZero(bytes) ? 'missing' : 'damaged'
  }

  #checkPlace(segment: SegmentId, offset: number, length: number): void {
    const sound =
      Number.isSafeInteger(segment) &&
      segment > 0 &&
      Number.isSafeInteger(offset) &&
      Number.isSafeInteger(length) &&
      offset >= 0 &&
      length >= 0 &&
      offset + length <= SEGMENT_MAX_BYTES
    if (!sound) throw new RangeError(`segment ${segment}: no place at ${offset} + ${length}`)
  }
}

const NO_SUM = Buffer.alloc(0)

function withSum(slice: Slice, sums: Buffer, index: number): Slice {
  const at = index * SHA256_BYTES
  return { ...slice, sha256: Buffer.from(sums.subarray(at, at + SHA256_BYTES)) }
}

/** The sha256 of a slice's bytes. */
export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer')
}

/** True when the bytes are those that the slice names. */
export function sliceMatches(slice: Slice, bytes: Uint8Array): boolean {
  return (
    bytes.length === slice.length &&
    crc32(bytes) === slice.crc32 &&
    sha256(bytes).equals(slice.sha256)
  )
}

/** Where the file of a segment is, for tools that look at a stopped member. */
export function segmentPath(dir: string, segment: SegmentId): string {
  return join(dir, `${segment}.seg`)
}

function follows({ slice, bytes }: PlacedBytes, next: PlacedBytes): boolean {
  return (
    next.slice.segment === slice.segment &&
    next.slice.offset === slice.offset + bytes.length &&
    next.bytes.buffer === bytes.buffer &&
    next.bytes.byteOffset === bytes.byteOffset + bytes.length
  )
}

function isSameSlice(a: Slice, b: Slice): boolean {
  return (
    a.segment === b.segment && a.offset === b.offset && a.length === b.length && a.crc32 === b.crc32
  )
}

const ZEROS = Buffer.alloc(SLICE_MAX_BYTES)

function isZero(bytes: Uint8Array): boolean {
  return ZEROS.subarray(0, bytes.length).equals(bytes)
}
