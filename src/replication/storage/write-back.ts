/**
 * (I/O) Starts the writing of what streams leave in the page cache. Without it the disk rests while
 * a file is written and the processors rest while its fsync waits for the disk.
 *
 * Makes nothing durable and promises nothing: what is durable is said by fdatasync alone, which
 * also finds the errors of what was begun here. One range is under way at a time, so it takes one thread
 * of the pool; what was skipped waits for the sync.
 */
import type { SegmentId } from '../../fs/primitives.ts'
import type { FileRangeCalls } from './disk-io.ts'
import type { SegmentFiles } from './segment-files.ts'
import { systemCode } from './storage-errors.ts'

/** Less is left to the sync: a small write may be followed by others of the same block. */
const RUN_BYTES = 4 * 1024 * 1024
const BLOCK_BYTES = 4096
/** Each of a few writers goes on in one segment. */
const RUNS_MAX = 16
/** The filesystem below has no such call. */
const UNSUPPORTED: ReadonlySet<string | undefined> = new Set(['ENOSYS', 'EOPNOTSUPP', 'EINVAL'])

/** Bytes written behind each other whose writing to the disk nobody asked for yet. */
interface Run {
  from: number
  to: number
}

export interface WriteBackComponents {
  readonly files: Pick<SegmentFiles, 'use' | 'writeBackFailed'>
  readonly ranges: Pick<FileRangeCalls, 'startWriteBack'>
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
    const run = this.#runOf(segment, offset)
    run.to = offset + lengthBytes
    if (run.to - run.from < RUN_BYTES || this.#running !== undefined) return
    const { from } = run
    run.from = run.to - (run.to % BLOCK_BYTES)
    this.#running = this.#start(segment, from, run.from - from)
  }

  /** Resolves when no call is under way. */
  async idle(): Promise<void> {
    await this.#running
  }

  #runOf(segment: SegmentId, offset: number): Run {
    const known = this.#runs.get(segment)
    if (known?.to === offset) return known
    const run = { from: offset, to: offset }
    this.#runs.delete(segment)
    this.#runs.set(segment, run)
    if (this.#runs.size > RUNS_MAX) {
      const oldest = this.#runs.keys().next()
      if (!oldest.done) this.#runs.delete(oldest.value)
    }
    return run
  }

  async #start(segment: SegmentId, offset: number, lengthBytes: number): Promise<void> {
    const { files, ranges } = this.#components
    try {
      await files.use(segment, (fd) => ranges.startWriteBack(fd, offset, lengthBytes))
    } catch (error) {
      this.#unsupported = UNSUPPORTED.has(systemCode(error))
      if (!this.#unsupported) files.writeBackFailed(error)
    } finally {
      this.#running = undefined
    }
  }
}
