/**
 * A toy of the replicated state: every inode is a list of the values written to it, so that a lost,
 * doubled or misplaced write shows. It commits like a database: a kill keeps the last commit, a
 * power cut keeps one that is not older than the last checkpoint.
 */
import { assert } from '../../src/fs/assert.ts'
import type { Op, Slice } from '../../src/fs/op.ts'
import type {
  FreedBatch,
  FreedSlice,
  Origin,
  StateMachine,
  StatePosition
} from '../../src/fs/ports/state-machine.ts'
import type { FreedBatchId, Ino, Seq, WriterId } from '../../src/fs/primitives.ts'
import type { ReplicaDueSlices, ReplicaShelf } from '../../src/replication/replica/replica-ports.ts'
import type { SimProcess } from './cluster-faults.ts'
import type { Random } from './random.ts'

export interface Register {
  readonly values: readonly number[]
  /** Where the bytes of the last data write stand, and the value they hold. */
  readonly slice: Slice | undefined
  readonly sliceValue: number
}

export interface Image {
  readonly position: StatePosition
  readonly registers: ReadonlyMap<Ino, Register>
  readonly orphans: ReadonlySet<Ino>
  readonly freed: readonly FreedBatch[]
  readonly shelf: ReadonlyMap<string, Buffer>
  readonly due: readonly Slice[]
}

const EMPTY: Image = {
  position: { epoch: 0, applied: new Map() },
  registers: new Map(),
  orphans: new Set(),
  freed: [],
  shelf: new Map(),
  due: []
}

/** Few, so that there are several batches. */
const BATCH_SLICES = 3

/** The database file: what survives the process. */
export class StateDisk {
  #committed: Image[] = [EMPTY]

  get newest(): Image {
    return this.#committed.at(-1) ?? EMPTY
  }

  /** What a power cut may fall back to. */
  get oldest(): Image {
    return this.#committed[0] ?? EMPTY
  }

  commit(image: Image): void {
    this.#committed.push(image)
  }

  checkpointed(image: Image): void {
    this.#committed = this.#committed.slice(this.#committed.indexOf(image))
  }

  powerCut(random: Random): void {
    this.#committed = [random.pick(this.#committed)]
  }

  clear(): void {
    this.replace(EMPTY)
  }

  /** Durable at once. */
  replace(image: Image): void {
    this.#committed = [image]
  }
}

/** The value an op writes, if it writes one. */
export function writtenValue(op: Op): number | undefined {
  if (op.type === 'write') return op.time.nsec
  if (op.type === 'setattr') return op.ctime.nsec
  return undefined
}

export interface ToyStateComponents {
  readonly disk: StateDisk
  readonly process: SimProcess
  readonly onApply: (op: Op, origin: Origin) => void
  /** Sees the image before it stands on the disk. */
  readonly onCommit: (image: Image) => void
}

export class ToyState implements StateMachine, ReplicaShelf, ReplicaDueSlices {
  readonly #disk: StateDisk
  readonly #onApply: (op: Op, origin: Origin) => void
  readonly #onCommit: (image: Image) => void
  readonly #process: SimProcess
  readonly #position: StatePosition
  readonly #registers: Map<Ino, Register>
  readonly #orphans: Set<Ino>
  #freed: FreedBatch[]
  /** Freed, and in no batch yet. */
  #freedLately: FreedSlice[] = []
  readonly #shelf: Map<string, Buffer>
  #due: Slice[]
  #newestOrigin: Origin | undefined

  constructor({ disk, process, onApply, onCommit }: ToyStateComponents) {
    const image = disk.newest
    this.#disk = disk
    this.#process = process
    this.#onApply = onApply
    this.#onCommit = onCommit
    this.#position = image.position
    this.#registers = new Map(image.registers)
    this.#orphans = new Set(image.orphans)
    this.#freed = [...image.freed]
    this.#shelf = new Map(image.shelf)
    this.#due = [...image.due]
  }

  register(ino: Ino): Register | undefined {
    return this.#registers.get(ino)
  }

  values(ino: Ino): readonly number[] {
    return this.#registers.get(ino)?.values ?? []
  }

  /** The last entry of which an op was applied by this process; it may still be open. */
  get newestOrigin(): Origin | undefined {
    return this.#newestOrigin
  }

  apply(op: Op, origin: Origin): void {
    this.#onApply(op, origin)
    this.#newestOrigin = origin
    if (op.type === 'create') {
      assert(!this.#registers.has(op.ino), 'created twice')
      this.#registers.set(op.ino, { values: [], slice: undefined, sliceValue: 0 })
    } else if (op.type === 'unlink') {
      assert(!this.#orphans.has(op.ino), 'unlinked twice')
      this.#orphans.add(op.ino)
    } else if (op.type === 'reap') {
      assert(this.#orphans.delete(op.ino), 'reaped what is no orphan')
      this.#free(this.#registers.get(op.ino)?.slice)
      this.#registers.delete(op.ino)
    } else if (op.type === 'write') {
      const old = this.#registers.get(op.ino)
      this.#free(old?.slice)
      const values = [...(old?.values ?? []), op.time.nsec]
      this.#registers.set(op.ino, { values, slice: op.slices[0], sliceValue: op.time.nsec })
    } else if (op.type === 'setattr') {
      const old = this.#registers.get(op.ino)
      const values = [...(old?.values ?? []), op.ctime.nsec]
      const { slice, sliceValue } = old ?? { slice: undefined, sliceValue: 0 }
      this.#registers.set(op.ino, { values, slice, sliceValue })
    }
  }

  applySoon(op: Op, origin: Origin): void {
    this.apply(op, origin)
  }

  finishApply(): void {}

  position(): StatePosition {
    return this.#position
  }

  commit(position: StatePosition): void {
    if (this.#process.isDead) return
    this.#flushFreed()
    const image: Image = {
      position,
      registers: new Map(this.#registers),
      orphans: new Set(this.#orphans),
      freed: [...this.#freed],
      shelf: new Map(this.#shelf),
      due: [...this.#due]
    }
    this.#onCommit(image)
    this.#disk.commit(image)
  }

  orphans(): Ino[] {
    return [...this.#orphans]
  }

  freedBatches(slices: number): FreedBatch[] {
    this.#flushFreed()
    const batches: FreedBatch[] = []
    let count = 0
    for (const batch of this.#freed) {
      if (count >= slices) break
      batches.push(batch)
      count += batch.slices.length
    }
    return batches
  }

  forgetFreed(ids: readonly FreedBatchId[]): void {
    this.#freed = this.#freed.filter(({ id }) => !ids.includes(id))
  }

  #flushFreed(): void {
    if (this.#freedLately.length === 0) return
    // As SQLite does it: what was the newest batch's is used again once that is forgotten.
    const id = ((this.#freed.at(-1)?.id ?? 0) + 1) as FreedBatchId
    this.#freed.push({ id, slices: this.#freedLately })
    this.#freedLately = []
  }

  digest(): string {
    const registers = [...this.#registers].sort((a, b) => a[0] - b[0])
    const lines = registers.map(
      ([ino, { values, slice }]) => `${ino}=${values.join(',')}@${slice?.segment}+${slice?.offset}`
    )
    return `${lines.join('\n')}\norphans ${[...this.#orphans].sort().join(',')}`
  }

  put(writer: WriterId, seq: Seq, head: Buffer): void {
    this.#shelf.set(`${writer}/${seq}`, head)
  }

  get(writer: WriterId, seq: Seq): Buffer | undefined {
    return this.#shelf.get(`${writer}/${seq}`)
  }

  oldest(writer: WriterId, limit: number): { readonly seq: Seq; readonly head: Buffer }[] {
    const found: { seq: Seq; head: Buffer }[] = []
    for (const [key, head] of this.#shelf) {
      const [owner, seq] = key.split('/').map(Number)
      if (owner === writer) found.push({ seq: seq as Seq, head })
    }
    return found.sort((a, b) => a.seq - b.seq).slice(0, limit)
  }

  remove(writer: WriterId, seq: Seq): void {
    for (const key of this.#shelf.keys()) {
      const [owner, at] = key.split('/').map(Number)
      if (owner === writer && (at ?? 0) <= seq) this.#shelf.delete(key)
    }
  }

  get left(): ReplicaDueSlices['left'] {
    return { slices: this.#due.length, bytes: this.#due.length }
  }

  after(place: Parameters<ReplicaDueSlices['after']>[0], limit: number): Slice[] {
    const from = this.#due.findIndex(({ segment, offset }) => {
      if (!place) return true
      return segment > place.segment || (segment === place.segment && offset > place.offset)
    })
    return from < 0 ? [] : this.#due.slice(from, from + limit)
  }

  settle({ segment, offset }: Slice): void {
    this.#due = this.#due.filter((slice) => slice.segment !== segment || slice.offset !== offset)
  }

  #free(slice: Slice | undefined): void {
    if (!slice) return
    const { segment, offset, length } = slice
    this.#freedLately.push({ segment, offset, length })
    if (this.#freedLately.length >= BATCH_SLICES) this.#flushFreed()
  }
}
