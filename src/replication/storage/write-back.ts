/**
 * (I/O) Starts the writing of what streams leave in the page cache. Without it the disk rests while
 * a file is written and the processors rest while its fsync waits for the disk. What a long stream has left on the
 * disk the page cache lets go of, so that its pages serve for what comes next: a stream needs
 * no more of them however long it is, and does not push out what is read more often.
 *
 * Makes nothing durable and promises nothing: what is durable is said by fdatasync alone, which
 * also finds the errors of what was begun here. One range is under way at a time, so it takes one thread
 * of the pool; what was skipped waits for the sync.
 */
import { SLICE_MAX_BYTES } from '../../fs/op.ts'
import type { SegmentId } from '../../fs/primitives.ts'
import type { FileRangeCalls } from './disk-io.ts'
import type { SegmentFiles } from './segment-files.ts'
import { systemCode } from './storage-errors.ts'

/** Less is left to the sync: a small write may be followed by others of the same block. */
const RUN_BYTES = 4 * 1024 * 1024
const BLOCK_BYTES = 4096
/** Each of a few writers goes on in one segment. */
const RUNS_MAX = 16
/** The end of a stream stays in the page cache: a file of that size is likely to be read soon, and the disk needs time. */
const KEPT_BYTES = 8 * 1024 * 1024
/** The filesystem below has no such call. */
const UNSUPPORTED: ReadonlySet<string | undefined> = new Set(['ENOSYS', 'EOPNOTSUPP', 'EINVAL'])

interface Range {
  readonly from: number
  readonly to: number
}

/** Bytes written behind each other, but for gaps of less than a block, whose writing to the disk nobody asked for yet. */
interface Run {
  from: number
  to: number
  /** False when small writes are among them, which are read one by one. */
  isStream: boolean
  /** Ranges of streams on their way to the disk, at most KEPT_BYTES and one more. */
  readonly written: Range[]
}

export interface WriteBackComponents {
  readonly files: Pick<SegmentFiles, 'use' | 'writeBackFailed'>
  readonly ranges: Pick<FileRangeCalls, 'startWriteBack' | 'forgetPages'>
}

export class WriteBack {
  readonly #components: WriteBackComponents
  readonly #runs = new Map<SegmentId, Run>()
  #running: Promise<void> | undefined
  #unsupported = false

  constructor(components: WriteBackComponents) {
    this.#components = components
  }

  /** Bytes stand in the page cache. */
  written(segment: SegmentId, offset: number, lengthBytes: number): void {
    if (this.#unsupported) return
    const run = this.#runOf(segment, offset, lengthBytes)
    if (offset < run.to) return
    run.to = offset + lengthBytes
    if (lengthBytes < SLICE_MAX_BYTES && lengthBytes >= BLOCK_BYTES) run.isStream = false
    if (run.to - run.from < RUN_BYTES || this.#running !== undefined) return
    const begun = { from: run.from, to: run.to - (run.to % BLOCK_BYTES) }
    if (run.isStream) run.written.push(begun)
    run.from = begun.to
    run.isStream = true
    this.#running = this.#start(segment, begun, forgotten(run))
  }

  /** Resolves when no call is under way. */
  async idle(): Promise<void> {
    await this.#running
  }

  /**
   * The run that these bytes continue. A program whose buffer does not begin at a page of memory writes less than
   * a block behind each MiB by itself, and other members get that in another way, sooner or later: it may be missing, and
   * when it comes it changes nothing.
   */
  #runOf(segment: SegmentId, offset: number, lengthBytes: number): Run {
    const known = this.#runs.get(segment)
    if (known !== undefined) {
      const gap = offset - known.to
      if (gap >= 0 ? gap < BLOCK_BYTES : lengthBytes < BLOCK_BYTES) return known
    }
    const run = { from: offset, to: offset, isStream: true, written: [] }
    this.#runs.delete(segment)
    this.#runs.set(segment, run)
    if (this.#runs.size > RUNS_MAX) {
      const oldest = this.#runs.keys().next()
      if (!oldest.done) this.#runs.delete(oldest.value)
    }
    return run
  }

  async #start(segment: SegmentId, begun: Range, past: readonly Range[]): Promise<void> {
    const { files, ranges } = this.#components
    try {
      await files.use(segment, async (fd) => {
        await ranges.startWriteBack(fd, begun.from, begun.to - begun.from)
        for (const { from, to } of past) await ranges.forgetPages(fd, from, to - from)
      })
    } catch (error) {
      this.#unsupported = UNSUPPORTED.has(systemCode(error))
      if (!this.#unsupported) files.writeBackFailed(error)
    } finally {
      this.#running = undefined
    }
  }
}

/** Takes those off the list that more than KEPT_BYTES were written behind. */
function forgotten(run: Run): readonly Range[] {
  const kept = run.written.findIndex(({ to }) => to > run.from - KEPT_BYTES)
  return run.written.splice(0, kept === -1 ? run.written.length : kept)
}
