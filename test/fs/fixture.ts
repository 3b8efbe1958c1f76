/** The filesystem on parts that live in memory: a log that only applies, slices in a map. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { TimeSpec } from '../../src/fs/attr.ts'
import { FsError } from '../../src/fs/errno.ts'
import type { FilesystemOptions } from '../../src/fs/filesystem.ts'
import { Filesystem } from '../../src/fs/filesystem.ts'
import type { Awaitable, RequestContext } from '../../src/fs/filesystem-api.ts'
import type { Op, Slice } from '../../src/fs/op.ts'
import { INLINE_MAX_BYTES, SLICE_MAX_BYTES } from '../../src/fs/op.ts'
import type { Clock, Timer } from '../../src/fs/ports/clock.ts'
import type { Logger } from '../../src/fs/ports/logger.ts'
import type { OpLog } from '../../src/fs/ports/op-log.ts'
import type { SliceStore } from '../../src/fs/ports/slice-store.ts'
import type { FreedSlice } from '../../src/fs/ports/state-machine.ts'
import type {
  ByteRange,
  TokenGuard,
  TokenService,
  TokenWant
} from '../../src/fs/ports/token-service.ts'
import type {
  Incarnation,
  Ino,
  MemberId,
  SegmentId,
  Seq,
  WriterId
} from '../../src/fs/primitives.ts'
import { inoRangeStart, makeSegmentId, makeWriterId } from '../../src/fs/primitives.ts'
import type { OpenStateOptions } from '../../src/fs/state/open-state.ts'
import { openState } from '../../src/fs/state/open-state.ts'
import type { StateStore } from '../../src/fs/state/state-store.ts'
import { LocalLocks } from './local-locks.ts'

export const root: RequestContext = { uid: 0, gid: 0, pid: 1 }
export const user: RequestContext = { uid: 1000, gid: 1000, pid: 2 }
export const MEMBER = 1 as MemberId
export const WRITER = writerOf(MEMBER)

export function writerOf(member: MemberId): WriterId {
  return makeWriterId(member, 1 as Incarnation)
}

export function name(text: string): Uint8Array {
  return Buffer.from(text)
}

/** Wall time that moves one microsecond at each look. */
export class StepClock implements Clock {
  #wall = 1_700_000_000_000_000

  wall(): TimeSpec {
    this.#wall++
    return { sec: Math.floor(this.#wall / 1e6), nsec: (this.#wall % 1e6) * 1000 }
  }

  monotonicMs(): number {
    return this.#wall / 1000
  }

  setTimer(): Timer {
    return { cancel: () => undefined }
  }
}

export class MemoryLog implements OpLog {
  readonly ops: Op[] = []
  /** What was submitted together. */
  readonly together: (readonly Op[])[] = []
  readonly payloads: (Uint8Array | undefined)[] = []
  availableBytes = 2 ** 40
  /** Keeps every op when true. */
  record = false
  durableCalls = 0
  /** What the next submit fails with, nothing of it being applied. */
  refusal: FsError | undefined
  readonly #state: StateStore
  #nextIno: Ino
  #seq = 0

  constructor(components: { readonly state: StateStore }, options: { readonly member: MemberId }) {
    this.#state = components.state
    this.#nextIno = inoRangeStart(options.member, 1)
  }

  get seq(): Seq {
    return this.#seq as Seq
  }

  async submit(op: Op, payload?: Uint8Array): Promise<void> {
    this.#refuse()
    this.#seq++
    this.#state.apply(op)
    if (!this.record) return
    this.ops.push(op)
    this.payloads.push(payload)
  }

  async submitTogether(ops: readonly Op[]): Promise<void> {
    this.#refuse()
    if (this.record) this.together.push(ops)
    await Promise.all(ops.map((op) => this.submit(op)))
  }

  #refuse(): void {
    const { refusal } = this
    this.refusal = undefined
    if (refusal) throw refusal
  }

  async durable(): Promise<void> {
    this.durableCalls++
  }

  allocateIno(): Ino {
    return this.#nextIno++ as Ino
  }

  assertSpace(bytes: number): void {
    if (bytes > this.availableBytes) throw new FsError('ENOSPC')
  }

  space(): { readonly totalBytes: number; readonly availableBytes: number } {
    return { totalBytes: 2 ** 40, availableBytes: this.availableBytes }
  }
}

export class MemorySlices implements SliceStore {
  readonly #data = new Map<number, Uint8Array>()
  readonly #segment: SegmentId
  #end = 0
  appended: Promise<void> = Promise.resolve()
  /** What `readRun` was asked for. */
  readonly runs: { readonly slices: number; readonly once: boolean }[] = []
  /** Cheap hashes for speed measurements. */
  hash = true

  constructor(options: { readonly member: MemberId }) {
    this.#segment = makeSegmentId(writerOf(options.member), 0)
  }

  async append(data: Uint8Array): Promise<readonly Slice[]> {
    await this.appended
    const slices: Slice[] = []
    for (let at = 0; at < data.length; at += SLICE_MAX_BYTES) {
      const bytes = Buffer.from(data.subarray(at, at + SLICE_MAX_BYTES))
      const sha256 = this.hash ? createHash('sha256').update(bytes).digest() : Buffer.alloc(32)
      slices.push({
        segment: this.#segment,
        offset: this.#end,
        length: bytes.length,
        crc32: this.hash ? crc32(bytes) : 0,
        sha256
      })
      this.#data.set(this.#end, bytes)
      this.#end += bytes.length
    }
    return slices
  }

  read(
    slice: Slice,
    from: number,
    length: number,
    target: Uint8Array,
    at: number
  ): void | Promise<void> {
    const bytes = this.#data.get(slice.offset)
    if (bytes === undefined || bytes.length !== slice.length) throw new FsError('EIO')
    target.set(bytes.subarray(from, from + length), at)
  }

  readRun(slices: readonly Slice[], target: Uint8Array, once: boolean): boolean {
    this.runs.push({ slices: slices.length, once })
    let at = 0
    for (const slice of slices) {
      const bytes = this.#data.get(slice.offset)
      if (bytes === undefined) return false
      target.set(bytes, at)
      at += bytes.length
    }
    return at === target.length
  }

  /** Bytes of a slice that was freed: reading it afterwards is an error. */
  punch(offset: number): void {
    this.#data.delete(offset)
  }
}

/** Grants everything; with `whenAsked`, only after a wait in which it runs. */
export class MemoryTokens implements TokenService {
  held = 0
  readonly asked: (readonly TokenWant[])[] = []
  /** What was named to be brought along, at each wait. */
  readonly ahead: (readonly Ino[])[] = []
  readonly givenUp: { readonly ino: Ino; readonly range: ByteRange }[] = []
  whenAsked: ((wants: readonly TokenWant[]) => Promise<void>) | undefined

  tryAcquire(wants: readonly TokenWant[]): TokenGuard | undefined {
    return this.whenAsked === undefined ? this.#grant(wants) : undefined
  }

  async acquire(
    wants: readonly TokenWant[],
    _signal?: AbortSignal,
    ahead?: () => readonly Ino[]
  ): Promise<TokenGuard> {
    this.ahead.push(ahead?.() ?? [])
    await this.whenAsked?.(wants)
    return this.#grant(wants)
  }

  #grant(wants: readonly TokenWant[]): TokenGuard {
    if (this.whenAsked !== undefined) this.asked.push(wants)
    this.held++
    let released = false
    return {
      release: () => {
        if (released) throw new Error('guard released twice')
        released = true
        this.held--
      }
    }
  }

  own(): void {}

  query(): undefined {}

  giveUp(ino: Ino, range: ByteRange): void {
    this.givenUp.push({ ino, range })
  }
}

const silent = () => undefined
/** All that were freed and not forgotten. */
export function freedSlices(state: StateStore): FreedSlice[] {
  return state.freedBatches(Number.MAX_SAFE_INTEGER).flatMap(({ slices }) => slices)
}

export const quiet: Logger = {
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  child: () => quiet
}

export interface Fixture {
  readonly fs: Filesystem
  readonly state: StateStore
  readonly log: MemoryLog
  readonly slices: MemorySlices
  readonly tokens: MemoryTokens
  readonly locks: LocalLocks
}

export function openFixture(
  directory: string,
  options: FilesystemOptions = {},
  clock: Clock = new StepClock(),
  stateOptions: OpenStateOptions = {},
  member: MemberId = MEMBER
): Fixture {
  const state = openState(join(directory, 'state.db'), stateOptions)
  const log = new MemoryLog({ state }, { member })
  const slices = new MemorySlices({ member })
  const tokens = new MemoryTokens()
  const locks = new LocalLocks({ member })
  const components = { state, opLog: log, slices, tokens, locks, clock, logger: quiet }
  const fs = new Filesystem(components, { member, ...options })
  return { fs, state, log, slices, tokens, locks }
}

/** Removes orphans that are closed, as the members do together; those that were removed. */
export async function reapOrphans(
  { fs, state, log }: Fixture,
  orphans: readonly Ino[] = state.orphans()
): Promise<Ino[]> {
  const inos = fs.closedForGood(orphans)
  for (const ino of inos) await log.submit({ type: 'reap', ino })
  fs.forgetReaped(inos)
  return inos
}

/** A name that is not there as the error a process sees. */
export async function found<T>(value: Awaitable<T | undefined>): Promise<T> {
  const there = await value
  if (there === undefined) throw new FsError('ENOENT')
  return there
}

/** The errno name `run` fails with, or 'ok'. */
export async function errnoOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'ok'
  } catch (error) {
    if (error instanceof FsError) return error.code
    throw error
  }
}

export const INLINE = INLINE_MAX_BYTES
