/**
 * A toy of the replicated log and state: registers, one for each page of an inode, and a size for
 * each file, written through entries with causal order; and the ledger of the true order of all
 * writes. As in the real state, writes grow a size to a maximum and only a truncate sets it.
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

/** A page of an inode; what has no pages is its page 0. */
export interface Register {
  readonly ino: Ino
  readonly page: number
}

interface RegisterOp extends Register {
  readonly type: 'page'
  readonly value: Value
}

interface SizeOp {
  readonly type: 'size'
  readonly ino: Ino
  readonly pages: number
  /** The size does not shrink by it. */
  readonly grows: boolean
}

type ToyOp = RegisterOp | SizeOp

function keyOf(ino: Ino, page: number): string {
  return `${ino}.${page}`
}

function sizeAfter(pages: number, op: SizeOp): number {
  return op.grows ? Math.max(pages, op.pages) : op.pages
}

export interface ToyEntry {
  readonly writer: WriterId
  readonly seq: Seq
  readonly deps: Vector
  readonly ops: readonly ToyOp[]
}

interface Position {
  readonly writer: WriterId
  readonly seq: Seq
}

interface Writes<T> {
  readonly register: Register
  readonly list: (T & Position)[]
}

/** All that was ever written, in true time; no member can look into it. */
export class Ledger {
  readonly entries = new Map<WriterId, ToyEntry[]>()
  readonly #writes = new Map<string, Writes<RegisterOp>>()
  readonly #sizes = new Map<Ino, (SizeOp & Position)[]>()

  wrote(op: ToyOp, position: Position): void {
    if (op.type === 'size') {
      this.#sizes.set(op.ino, [...(this.#sizes.get(op.ino) ?? []), { ...op, ...position }])
      return
    }
    const { ino, page } = op
    const key = keyOf(ino, page)
    const writes = this.#writes.get(key) ?? { register: { ino, page }, list: [] }
    writes.list.push({ ...op, ...position })
    this.#writes.set(key, writes)
  }

  newest(ino: Ino, page: number): Value {
    return this.#writes.get(keyOf(ino, page))?.list.at(-1)?.value ?? UNWRITTEN
  }

  pages(ino: Ino): number {
    return (this.#sizes.get(ino) ?? []).reduce(sizeAfter, 0)
  }

  registers(): Register[] {
    return Array.from(this.#writes.values(), ({ register }) => register)
  }

  /** Entries beyond the cut of their writer never were. */
  cut(cuts: Vector): void {
    const isKept = ({ writer, seq }: Position) => seq <= (cuts.get(writer) ?? 0)
    for (const { list } of this.#writes.values())
      list.splice(0, list.length, ...list.filter(isKept))
    for (const [ino, ops] of this.#sizes) this.#sizes.set(ino, ops.filter(isKept))
  }
}

export class ToyReplica {
  readonly writer: WriterId
  readonly #ledger: Ledger
  readonly values: Map<string, Value>
  readonly sizes: Map<Ino, number>
  readonly applied: Map<WriterId, Seq>
  /** Entries here, applied or not. */
  readonly received: Map<WriterId, Seq>
  #gathering: ToyOp[] = []
  #closed = 0

  constructor(ledger: Ledger, writer: WriterId, like?: ToyReplica) {
    this.#ledger = ledger
    this.writer = writer
    this.values = new Map(like?.values)
    this.sizes = new Map(like?.sizes)
    this.applied = new Map(like?.applied)
    this.received = new Map(like?.received)
    ledger.entries.set(writer, [])
  }

  get isGathering(): boolean {
    return this.#gathering.length > 0
  }

  read(ino: Ino, page: number): Value {
    return this.values.get(keyOf(ino, page)) ?? UNWRITTEN
  }

  pages(ino: Ino): number {
    return this.sizes.get(ino) ?? 0
  }

  write(ino: Ino, page: number, value: Value): void {
    this.#submit({ type: 'page', ino, page, value })
  }

  resize(ino: Ino, pages: number, grows: boolean): void {
    this.#submit({ type: 'size', ino, pages, grows })
  }

  #submit(op: ToyOp): void {
    this.#apply(op)
    this.#gathering.push(op)
    this.#ledger.wrote(op, { writer: this.writer, seq: (this.#closed + 1) as Seq })
  }

  #apply(op: ToyOp): void {
    if (op.type === 'size') this.sizes.set(op.ino, sizeAfter(this.pages(op.ino), op))
    else this.values.set(keyOf(op.ino, op.page), op.value)
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
      for (const op of entry.ops) this.#apply(op)
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
