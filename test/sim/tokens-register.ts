/**
 * A toy of the replicated log and state: one register for each inode, written through entries with
 * causal order, and the ledger of the true order of all writes.
 */
import type { Ino, Seq, WriterId } from '../../src/fs/primitives.ts'
import { type Vector, vectorCovers } from '../../src/replication/vector.ts'

export interface Value {
  /** Never used twice; 0 = never written. */
  readonly id: number
  /** What is in it when it is a directory. */
  readonly children: readonly Ino[]
}

export const UNWRITTEN: Value = { id: 0, children: [] }

interface RegisterOp {
  readonly ino: Ino
  readonly value: Value
}

export interface ToyEntry {
  readonly writer: WriterId
  readonly seq: Seq
  readonly deps: Vector
  readonly ops: readonly RegisterOp[]
}

interface TrueWrite extends RegisterOp {
  readonly writer: WriterId
  readonly seq: Seq
}

/** All that was ever written, in true time; no member can look into it. */
export class Ledger {
  readonly entries = new Map<WriterId, ToyEntry[]>()
  readonly #writes = new Map<Ino, TrueWrite[]>()

  wrote(write: TrueWrite): void {
    const writes = this.#writes.get(write.ino)
    if (writes === undefined) this.#writes.set(write.ino, [write])
    else writes.push(write)
  }

  newest(ino: Ino): Value {
    return this.#writes.get(ino)?.at(-1)?.value ?? UNWRITTEN
  }

  inos(): Ino[] {
    return [...this.#writes.keys()]
  }

  /** Entries beyond the cut of their writer never were. */
  cut(cuts: Vector): void {
    for (const [ino, writes] of this.#writes) {
      const kept = writes.filter((write) => write.seq <= (cuts.get(write.writer) ?? 0))
      this.#writes.set(ino, kept)
    }
  }
}

export class ToyReplica {
  readonly writer: WriterId
  readonly #ledger: Ledger
  readonly values: Map<Ino, Value>
  readonly applied: Map<WriterId, Seq>
  /** Entries here, applied or not. */
  readonly received: Map<WriterId, Seq>
  #gathering: RegisterOp[] = []
  #closed = 0

  constructor(ledger: Ledger, writer: WriterId, like?: ToyReplica) {
    this.#ledger = ledger
    this.writer = writer
    this.values = new Map(like?.values)
    this.applied = new Map(like?.applied)
    this.received = new Map(like?.received)
    ledger.entries.set(writer, [])
  }

  get isGathering(): boolean {
    return this.#gathering.length > 0
  }

  read(ino: Ino): Value {
    return this.values.get(ino) ?? UNWRITTEN
  }

  write(ino: Ino, value: Value): void {
    this.values.set(ino, value)
    this.#gathering.push({ ino, value })
    const seq = (this.#closed + 1) as Seq
    this.#ledger.wrote({ ino, value, writer: this.writer, seq })
  }

  /** Ends the entry being gathered. */
  close(): ToyEntry | undefined {
    if (!this.isGathering) return undefined
    const deps = new Map(this.applied)
    deps.delete(this.writer)
    const seq = ++this.#closed as Seq
    const entry: ToyEntry = { writer: this.writer, seq, deps, ops: this.#gathering }
    this.#gathering = []
    this.#ledger.entries.get(this.writer)?.push(entry)
    this.applied.set(this.writer, seq)
    this.received.set(this.writer, seq)
    return entry
  }

  receive(entry: ToyEntry): void {
    if (entry.seq !== (this.received.get(entry.writer) ?? 0) + 1) return
    this.received.set(entry.writer, entry.seq)
  }

  /** Applies one entry whose causes are there; false when there is none. */
  applyOne(): boolean {
    for (const [writer, received] of this.received) {
      const applied = this.applied.get(writer) ?? 0
      if (applied >= received) continue
      const entry = this.#ledger.entries.get(writer)?.[applied]
      if (entry === undefined || !vectorCovers(this.applied, entry.deps)) continue
      for (const { ino, value } of entry.ops) this.values.set(ino, value)
      this.applied.set(writer, entry.seq)
      return true
    }
    return false
  }

  /** Drops what could not be applied for good. */
  forgetUnapplied(): void {
    for (const [writer, seq] of this.applied) this.received.set(writer, seq)
    for (const writer of this.received.keys()) {
      if (!this.applied.has(writer)) this.received.delete(writer)
    }
  }
}
