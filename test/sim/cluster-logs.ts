/** A toy of the hypercores: blocks that a member has, and how those of others come to it. */
import type { Seq, WriterId } from '../../src/fs/primitives.ts'
import { memberOf } from '../../src/fs/primitives.ts'
import type {
  ReplicaForeignLog,
  ReplicaLogs,
  ReplicaOwnLog
} from '../../src/replication/replica/replica-ports.ts'
import { DamagedLogError } from '../../src/replication/storage/log-failure.ts'
import type { BlockSource, DiskUser, LogFile } from './cluster-disk.ts'

export function coreKeyOf(writer: WriterId): Buffer {
  const key = Buffer.alloc(32)
  key.writeDoubleBE(writer)
  return key
}

class ToyOwnLog implements ReplicaOwnLog {
  readonly hasRoom = true
  readonly key: Buffer
  readonly #writer: WriterId
  readonly #file: LogFile
  readonly #process: DiskUser['process']

  constructor(writer: WriterId, { disk, process }: DiskUser) {
    this.#writer = writer
    this.#file = disk.log(writer)
    this.#process = process
    this.key = coreKeyOf(writer)
  }

  get length(): Seq {
    return this.#file.blocks.length as Seq
  }

  async room(): Promise<void> {}

  /** Signatures are not told here: logs grow by download alone, later than entries come. */
  watch(): void {}

  async append(firstSeq: Seq, blocks: readonly Buffer[]): Promise<void> {
    if (this.#process.isDead) return
    if (firstSeq !== this.length + 1) throw new Error('appending to the log out of order')
    this.#file.blocks.push(...blocks)
  }

  async appendMissing(firstSeq: Seq, _lastSeq: Seq, blocks: Iterable<Buffer>): Promise<number> {
    if (this.length < firstSeq - 1) throw new DamagedLogError(this.#writer, 'blocks are missing')
    let appended = 0
    let seq: number = firstSeq
    for (const block of blocks) {
      if (seq > this.length) {
        this.#file.blocks.push(block)
        appended++
      } else if (!this.#file.blocks[seq - 1]?.equals(block)) {
        throw new DamagedLogError(this.#writer, `block ${seq} differs`)
      }
      seq++
    }
    return appended
  }

  async read(seq: Seq): Promise<Buffer | undefined> {
    return this.#file.blocks[seq - 1]
  }
}

class ToyForeignLog implements ReplicaForeignLog {
  readonly #writer: WriterId
  readonly #file: LogFile
  readonly #source: BlockSource
  readonly #user: DiskUser
  #hasEnded = false

  constructor(writer: WriterId, file: LogFile, source: BlockSource, user: DiskUser) {
    this.#writer = writer
    this.#file = file
    this.#source = source
    this.#user = user
    this.#download()
  }

  deliver(fromSeq: Seq, onBlock: (seq: Seq, block: Buffer) => void | Promise<void>): void {
    void this.#deliver(fromSeq, onBlock)
  }

  async extend(): Promise<boolean> {
    return false
  }

  check(): void {}

  end(): void {
    this.#hasEnded = true
  }

  async read(seq: Seq): Promise<Buffer | undefined> {
    return this.#file.blocks[seq - 1]
  }

  async #deliver(
    fromSeq: Seq,
    onBlock: (seq: Seq, block: Buffer) => void | Promise<void>
  ): Promise<void> {
    for (let seq: number = fromSeq; ; seq++) {
      let block = this.#file.blocks[seq - 1]
      while (block === undefined) {
        await this.#user.process.sleep(200_000)
        block = this.#file.blocks[seq - 1]
      }
      await onBlock(seq as Seq, block)
    }
  }

  #download(): void {
    const { process, random } = this.#user
    if (this.#hasEnded) return
    for (let i = 0; i < 32; i++) {
      const block = this.#source(this.#writer, (this.#file.blocks.length + 1) as Seq)
      if (!block) break
      this.#file.blocks.push(block)
    }
    process.after(50_000 + random.below(300_000), () => this.#download())
  }
}

export class ToyLogs implements ReplicaLogs {
  readonly #user: DiskUser
  readonly #source: BlockSource
  readonly #own = new Map<WriterId, ToyOwnLog>()
  readonly #foreign = new Map<WriterId, ToyForeignLog>()

  constructor(user: DiskUser, source: BlockSource) {
    this.#user = user
    this.#source = source
  }

  create(writer: WriterId): ToyOwnLog {
    const log = new ToyOwnLog(writer, this.#user)
    if (log.length > 0) throw new DamagedLogError(writer, 'it has blocks before its first use')
    this.#own.set(writer, log)
    return log
  }

  own(writer: WriterId): ToyOwnLog | undefined {
    return this.#own.get(writer)
  }

  foreign(writer: WriterId): ToyForeignLog | undefined {
    return this.#foreign.get(writer)
  }

  async reopen(writer: WriterId): Promise<ToyOwnLog> {
    if (this.#own.has(writer)) throw new Error('the log is open already')
    const log = new ToyOwnLog(writer, this.#user)
    this.#own.set(writer, log)
    return log
  }

  async follow(writer: WriterId): Promise<ToyForeignLog> {
    const log = new ToyForeignLog(writer, this.#user.disk.log(writer), this.#source, this.#user)
    this.#foreign.set(writer, log)
    return log
  }

  async remove(writer: WriterId): Promise<void> {
    this.#own.delete(writer)
    this.#foreign.get(writer)?.end()
    this.#foreign.delete(writer)
    this.#user.disk.logs.delete(writer)
  }

  replicate(): void {}

  async flush(): Promise<Map<WriterId, Seq>> {
    const { disk, process, random } = this.#user
    const lengths = new Map<WriterId, Seq>()
    for (const [writer, log] of disk.logs) lengths.set(writer, log.blocks.length as Seq)
    await process.sleep(10 + random.below(disk.options.syncMaxUs))
    for (const [writer, length] of lengths) disk.log(writer).flushed = length
    return lengths
  }

  async close(): Promise<void> {}
}

/** Blocks of a writer that a disk has. */
export function blockOn(disk: DiskUser['disk'], writer: WriterId, seq: Seq): Buffer | undefined {
  return disk.logs.get(writer)?.blocks[seq - 1]
}

export function isOwnLog(member: number, writer: WriterId): boolean {
  return memberOf(writer) === member
}
