/**
 * The state database: owns the replicated tables and this member's position. All changes since the
 * last commit stand in one long transaction, so what is on disk is always the state at one
 * position: after a crash the database holds a commit's state, never something between two.
 *
 * Keeps RULES 13 together with its caller: only `commit` commits, and the caller has the journal
 * durable up to the position it passes. `commit` does not fsync; Checkpointer does, off the loop.
 *
 * The work of an op may be put off, so that its answer does not wait for it (`applySoon`). Nobody sees that:
 * everything here comes to the tables by way of `finishApply`. When that fails nothing more is to be seen: the op may have
 * been answered, and who looks would not find it.
 *
 * Anything thrown by `apply`, `finishApply`, `commit` or `freedBatches` (an assertion: divergence; an SqliteError: disk
 * full or damaged; a StateDamagedError) leaves the store unusable: it must be closed without commit and opened again, and the
 * journal brings it forward. From then on every call throws.
 */
import type { Database } from 'better-sqlite3'
import type { Op, WriteOp } from '../op.ts'
import type { FreedBatch, StateMachine, StatePosition } from '../ports/state-machine.ts'
import type { FreedBatchId, Ino } from '../primitives.ts'
import { applyOp } from './apply.ts'
import { applyExtendedWrite } from './apply-data.ts'
import { isBelow } from './apply-rename.ts'
import { checkpoint } from './checkpoint.ts'
import type { Dentry } from './dentry-table.ts'
import { stateDigest } from './digest.ts'
import type { Extent } from './extent-table.ts'
import type { Inode, InodeTableOptions } from './inode-table.ts'
import { FIRST_COOKIE } from './schema.ts'
import { Tables } from './tables.ts'

export interface StateCounts {
  /** Inodes, orphans included. */
  readonly inodes: number
  /** Bytes of all files that hold data. */
  readonly dataBytes: number
}

export class StateStore implements StateMachine {
  /**
   * The connection, inside the long transaction. The replication keeps local tables of its own in
   * it (names beginning with `local_`), which are then committed together with the position. It
   * must not begin, commit or roll back, nor touch the tables of schema.ts, whose rows may also be
   * older than what the methods here answer.
   */
  readonly database: Database
  /** Path of the database file. */
  readonly file: string
  readonly #tables: Tables
  readonly #opened: StatePosition
  /** An op that counts as applied; whoever comes to the tables does its work first. */
  #unapplied: Op | undefined
  #committed: StatePosition
  #broken: Error | undefined
  #resetWal = false

  /** Use `openState`. */
  constructor(
    components: { readonly database: Database; readonly file: string },
    options: InodeTableOptions = {}
  ) {
    this.database = components.database
    this.file = components.file
    this.#tables = new Tables(this.database, options)
    this.#opened = this.#tables.local.position()
    this.#committed = this.#opened
    this.database.exec('BEGIN IMMEDIATE')
  }

  /** Rows by table, for checks and digests; only `apply` changes them. */
  get tables(): Tables {
    if (this.#unapplied !== undefined) this.finishApply()
    return this.#tables
  }

  apply(op: Op): void {
    this.finishApply()
    this.#applyNow(op)
  }

  applySoon(op: Op): void {
    this.finishApply()
    this.#unapplied = op
  }

  finishApply(): void {
    this.#assertSound()
    const op = this.#unapplied
    if (op === undefined) return
    this.#applyNow(op)
    this.#unapplied = undefined
  }

  extend(op: WriteOp, from: number): void {
    this.#assertSound()
    try {
      applyExtendedWrite(this.tables, op, from)
    } catch (error) {
      throw this.#breakWith(error)
    }
  }

  position(): StatePosition {
    return this.#opened
  }

  /** Position of the latest commit; durable once a checkpoint begun after it has ended. */
  committedPosition(): StatePosition {
    return this.#committed
  }

  commit(position: StatePosition): void {
    this.#assertSound()
    try {
      this.tables.inodes.flush()
      this.tables.extents.flush()
      this.tables.freed.flush()
      this.tables.local.setPosition(position)
      this.tables.local.setTotals(this.tables.totals)
      this.database.exec('COMMIT')
      this.#committed = { epoch: position.epoch, applied: new Map(position.applied) }
      if (this.#resetWal) this.#emptyWal()
      this.database.exec('BEGIN IMMEDIATE')
    } catch (error) {
      throw this.#breakWith(error)
    }
  }

  /**
   * Has the next commit copy the rest of the WAL into the database, on this thread, before it
   * begins the next transaction: the only moment at which the WAL can start over from its
   * beginning. Called by Checkpointer when the WAL has grown, right after it copied nearly all.
   */
  requestWalReset(): void {
    this.#resetWal = true
  }

  /** Called before another connection copies the WAL: two at once would lose sums of pages. */
  withdrawWalReset(): void {
    this.#resetWal = false
  }

  #emptyWal(): void {
    this.#resetWal = false
    checkpoint(this.database, this.file)
  }

  /** Gives back pages of the database but for those that changed. */
  releaseMemory(): void {
    if (this.#broken === undefined) this.database.pragma('shrink_memory')
  }

  orphans(): Ino[] {
    return this.tables.inodes.orphans()
  }

  freedBatches(slices: number): FreedBatch[] {
    this.#assertSound()
    try {
      return this.tables.freed.list(slices)
    } catch (error) {
      throw this.#breakWith(error)
    }
  }

  forgetFreed(ids: readonly FreedBatchId[]): void {
    this.#assertSound()
    this.tables.freed.forget(ids)
  }

  digest(): string {
    return stateDigest(this.tables)
  }

  inode(ino: Ino): Inode | undefined {
    return this.tables.inodes.get(ino)
  }

  /** Inodes that `inode` is about to be asked for are found faster together. */
  readInodesAhead(inos: readonly Ino[]): void {
    this.tables.inodes.readAhead(inos)
  }

  dentry(parent: Ino, name: Uint8Array): Dentry | undefined {
    return this.tables.dentries.get(parent, name)
  }

  /** At most `limit` dentries of `directory` behind `afterCookie`, in cookie order; none at its end. */
  list(directory: Ino, afterCookie: number, limit: number): readonly Dentry[] {
    return this.tables.dentries.list(directory, afterCookie, limit)
  }

  /** At most `limit` dentries of all directories behind that one, by parent and name. */
  dentriesAfter(parent: Ino, name: Uint8Array, limit: number): Dentry[] {
    return this.tables.dentries.after(parent, name, limit)
  }

  /** A name of `ino` in a directory; costs as much as the directory is large. */
  nameIn(directory: Ino, ino: Ino): Uint8Array | undefined {
    return this.tables.dentries.nameIn(directory, ino)
  }

  isEmptyDirectory(directory: Ino): boolean {
    return this.tables.dentries.isEmpty(directory)
  }

  /** The cookie for the next dentry of `directory`. */
  nextCookie(directory: Ino): number {
    const inode = this.tables.inodes.need(directory)
    return Math.max(inode.lastCookie + 1, FIRST_COOKIE)
  }

  /** True when directory `ino` is `ancestor` or lies below it. */
  isBelow(ino: Ino, ancestor: Ino): boolean {
    return isBelow(this.tables, ino, ancestor)
  }

  symlinkTarget(ino: Ino): Uint8Array | undefined {
    return this.tables.inodes.target(ino)
  }

  /**
   * Extents that share a byte with [start, end), in file order, at most `limit`; what lies between
   * is zeros.
   */
  extents(ino: Ino, start: number, end: number, limit?: number): Extent[] {
    return this.tables.extents.range(ino, start, end, limit)
  }

  /** The extent that holds `offset`, or the first one behind it. */
  nextData(ino: Ino, offset: number): Extent | undefined {
    return this.tables.extents.nextData(ino, offset)
  }

  xattr(ino: Ino, name: Uint8Array): Uint8Array | undefined {
    return this.tables.xattrs.get(ino, name)
  }

  /** True when the inode has no extended attributes. */
  isBare(ino: Ino): boolean {
    return this.tables.xattrs.isBare(ino)
  }

  xattrNames(ino: Ino): Uint8Array[] {
    return this.tables.xattrs.names(ino)
  }

  counts(): StateCounts {
    return { ...this.tables.totals }
  }

  /** Closes the database; what was not committed is gone from it. */
  close(): void {
    this.#broken ??= new Error('state store is closed')
    if (!this.database.open) return
    try {
      if (this.database.inTransaction) this.database.exec('ROLLBACK')
      checkpoint(this.database, this.file, { closing: true })
    } catch {
      // The next one to open it finds sums that do not end, and checks its structure instead.
    } finally {
      this.database.close()
    }
  }

  #applyNow(op: Op): void {
    try {
      applyOp(this.#tables, op)
    } catch (error) {
      throw this.#breakWith(error)
    }
  }

  #assertSound(): void {
    if (this.#broken !== undefined) {
      throw new Error('state store failed before or is closed', { cause: this.#broken })
    }
  }

  #breakWith(error: unknown): Error {
    this.#broken = error instanceof Error ? error : new Error(String(error))
    return this.#broken
  }
}
