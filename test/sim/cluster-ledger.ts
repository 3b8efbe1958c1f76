/**
 * What the cluster has promised: the values of every inode in their order, and up to where each
 * writer's entries were acknowledged as durable. Values of an entry behind its writer's cut never
 * were; that is only allowed for what no fsync had covered.
 */
import { INLINE_MAX_BYTES, type Op, type Slice } from '../../src/fs/op.ts'
import type { Origin } from '../../src/fs/ports/state-machine.ts'
import type { Ino, SegmentId, Seq, WriterId } from '../../src/fs/primitives.ts'
import type { EpochRecord } from '../../src/replication/record.ts'
import type { Vector } from '../../src/replication/vector.ts'
import { SafetyError } from './cluster-faults.ts'
import { writtenValue } from './cluster-state.ts'

interface Written {
  readonly value: number
  readonly writer: WriterId
  readonly seq: Seq
}

/** The last data write of an inode. */
export interface DataWritten {
  readonly slice: Slice
  readonly writer: WriterId
  readonly seq: Seq
}

export class ClusterLedger {
  readonly #expected = new Map<Ino, Written[]>()
  readonly #written = new Map<number, Written>()
  readonly #durable = new Map<WriterId, Seq>()
  readonly #ended = new Map<WriterId, Seq>()
  readonly #slices = new Map<Ino, DataWritten>()
  /** Which entry wrote what stands there. */
  readonly #places = new Map<SegmentId, Map<number, Origin>>()
  readonly #created = new Map<Ino, string>()
  #record: EpochRecord | undefined
  #lastValue = 0
  voided = 0

  nextValue(): number {
    return ++this.#lastValue
  }

  get record(): EpochRecord | undefined {
    return this.#record
  }

  /** A member is about to apply an op to what it has. */
  onApply(self: WriterId, op: Op, { writer, seq }: Origin, local: readonly number[]): void {
    if (op.type === 'create') this.#onCreate(op.ino, `${writer}:${seq}`)
    const value = writtenValue(op)
    if (value === undefined || this.#written.has(value)) return
    if (writer !== self) throw new SafetyError(`value ${value} is applied before it was written`)
    const written = { value, writer, seq }
    this.#written.set(value, written)
    // Its epoch went on without it: nobody will hear of this.
    if (this.#ended.has(writer)) return
    if (this.isStale(op.ino, local)) throw new SafetyError(`inode ${op.ino} written while stale`)
    this.#list(op.ino).push(written)
    const slice = op.type === 'write' ? op.slices[0] : undefined
    if (!slice) return
    this.#slices.set(op.ino, { slice, writer, seq })
    const places = this.#places.get(slice.segment) ?? new Map<number, Origin>()
    this.#places.set(slice.segment, places.set(slice.offset, { writer, seq }))
  }

  /** The entries whose bytes stand there, those behind a cut left out. */
  writtenAt(segment: SegmentId, offset: number, length: number): Origin[] {
    const places = [...(this.#places.get(segment) ?? [])]
    return places
      .filter(([at, { writer, seq }]) => {
        return at >= offset && at < offset + length && !this.isVoid(writer, seq)
      })
      .map(([, origin]) => origin)
  }

  /** Behind the cut of its writer. */
  isVoid(writer: WriterId, seq: Seq): boolean {
    return seq > (this.#ended.get(writer) ?? Number.POSITIVE_INFINITY)
  }

  /** RULES 7: a number is given once. */
  #onCreate(ino: Ino, by: string): void {
    const before = this.#created.get(ino) ?? by
    this.#created.set(ino, before)
    if (before !== by) throw new SafetyError(`inode ${ino} is created by ${before} and by ${by}`)
  }

  /** Large slices of the op that nothing has replaced: whoever applies it has them (RULES 3). */
  bytesOf(op: Op, { writer, seq }: Origin): readonly Slice[] {
    const newest = this.#slices.get(op.ino)
    if (op.type !== 'write' || newest?.writer !== writer || newest.seq !== seq) return []
    // An entry may have written there several times.
    const { segment, offset } = newest.slice
    return op.slices.filter((slice) => {
      return slice.length > INLINE_MAX_BYTES && slice.segment === segment && slice.offset === offset
    })
  }

  isStale(ino: Ino, local: readonly number[]): boolean {
    const list = this.#list(ino)
    return list.length !== local.length || list.some(({ value }, i) => local[i] !== value)
  }

  expected(ino: Ino): number[] {
    return this.#list(ino).map(({ value }) => value)
  }

  inos(): Ino[] {
    return [...this.#expected.keys()]
  }

  /** A process was told that its write is done. */
  onAnswered(value: number): void {
    const written = this.#written.get(value)
    if (!written) throw new SafetyError(`value ${value} was answered but never applied`)
    const end = this.#ended.get(written.writer)
    if (end !== undefined && written.seq > end) {
      throw new SafetyError(`value ${value} was answered behind its writer's cut`)
    }
  }

  /** A process was told that everything up to `vector` is durable. */
  onDurable(vector: Vector): void {
    for (const [writer, seq] of vector) {
      const end = this.#ended.get(writer)
      if (end !== undefined && seq > end) {
        throw new SafetyError(`fsync answered for ${writer}:${seq} behind its cut ${end}`)
      }
      if ((this.#durable.get(writer) ?? 0) < seq) this.#durable.set(writer, seq)
    }
  }

  /** The authority decided. */
  onRecord(record: EpochRecord): void {
    this.#record = record
    for (const { writer, finalSeq } of record.writers) {
      if (finalSeq === undefined || this.#ended.has(writer)) continue
      this.#ended.set(writer, finalSeq)
      const durable = this.#durable.get(writer) ?? 0
      if (durable > finalSeq) {
        throw new SafetyError(`fsynced entry ${writer}:${durable} is behind the cut ${finalSeq}`)
      }
      this.#drop(writer, finalSeq)
    }
    for (const [writer, cut] of record.history.at(-1)?.cuts ?? []) {
      if (!record.live.includes(writer)) continue
      for (const list of this.#expected.values()) {
        const beyond = list.find((written) => written.writer === writer && written.seq > cut)
        if (beyond) throw new SafetyError(`${writer}:${beyond.seq} of a live writer is cut off`)
      }
    }
  }

  /** Its process is gone: of what it had not journaled, the ops of the open entry alone remain. */
  onKilled(writer: WriterId, journaled: number, open: ReadonlySet<number>): void {
    for (const [ino, list] of this.#expected) {
      const kept = list.filter((written) => {
        return written.writer !== writer || written.seq <= journaled || open.has(written.value)
      })
      this.#expected.set(ino, kept)
    }
  }

  /** What an fsync has covered. */
  get durable(): Vector {
    return this.#durable
  }

  /** The last data write of each inode. */
  newestSlices(): DataWritten[] {
    return [...this.#slices.values()]
  }

  /** The bytes that an fsync has covered and nothing has replaced. */
  durableSlices(): DataWritten[] {
    return this.newestSlices().filter(({ writer, seq }) => seq <= (this.#durable.get(writer) ?? 0))
  }

  isEnded(writer: WriterId): boolean {
    return this.#ended.has(writer)
  }

  #drop(writer: WriterId, end: Seq): void {
    for (const [ino, list] of this.#expected) {
      const kept = list.filter((written) => written.writer !== writer || written.seq <= end)
      this.voided += list.length - kept.length
      this.#expected.set(ino, kept)
    }
  }

  #list(ino: Ino): Written[] {
    let list = this.#expected.get(ino)
    if (!list) {
      list = []
      this.#expected.set(ino, list)
    }
    return list
  }
}
