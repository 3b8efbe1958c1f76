/**
 * Upkeep: commits the state, makes checkpoints durable, prunes the journal and punches dead slices
 * out of their segments; all in the background, in this order:
 *
 *   commit      journal and slices are durable up to what is applied (RULES 3, 13), then COMMIT
 *   checkpoint  that commit is fsynced in the database file
 *   prune       segments and hypercores the journal feeds are durable as well (RULES 1)
 *   punch       what freed the slices is under a checkpoint durable on every live member (RULES 11)
 *
 * Punching a place twice is harmless, so what was punched and not forgotten - a crash, another epoch - is
 * simply read again. Between the two nothing can have come to that place that anybody reads: a
 * writer hands out each place of its segments once (each incarnation begins new ones), and what a
 * repair or the replay writes there are the bytes of the same slice, which no state that can come back
 * refers to, or it would not have been punched before.
 *
 * One checkpoint at a time, and commits go on beside it: what is not committed stands in memory, and a
 * checkpoint waits as long as the state is copied for another member.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { StateMachine, StatePosition } from '../../fs/ports/state-machine.ts'
import type { Epoch } from '../../fs/primitives.ts'
import type { JournalPosition } from '../storage/journal-record.ts'
import type { SegmentStore } from '../storage/segment-store.ts'
import type { Vector } from '../vector.ts'
import { DeadRuns } from './dead-runs.ts'
import type { LocalSync } from './local-sync.ts'
import type { PublishedEntries } from './published-entries.ts'
import type { ReplicaJournal } from './replica-ports.ts'

export interface UpkeepComponents {
  /** What it was opened with is durable. */
  readonly state: StateMachine
  readonly journal: ReplicaJournal
  readonly segments: Pick<SegmentStore, 'syncUnsynced' | 'canPunch' | 'punch'>
  /** Resolves when the latest commit is durable in the database file. */
  readonly checkpoint: () => Promise<StatePosition>
  readonly published: Pick<PublishedEntries, 'areWaiting' | 'release'>
  /** Own ops gathered so far get their entry. Throws when they cannot: nothing is to be punched then. */
  readonly flushOwn: () => void
  readonly sync: Pick<LocalSync, 'syncFiles' | 'syncNow'>
  readonly applied: () => Vector
  /** What a commit now contains. */
  readonly position: () => StatePosition
  /** The last epoch whose cuts are applied. */
  readonly epoch: () => Epoch | 0
  /** True when every live member has a durable checkpoint of this epoch that covers the vector. */
  readonly checkpointedEverywhere: (vector: Vector) => boolean
  /** What can be given back should be. */
  readonly isSpaceShort: () => boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly onFatal: (error: Error) => void
}

export interface UpkeepOptions {
  readonly commitMs: number
  /** Commits between checkpoints. */
  readonly commitsPerCheckpoint: number
  /** The journal is pruned when it is larger than this. */
  readonly journalKeepBytes: number
  /**
   * So many freed slices are read in one piece (a few milliseconds for 20,000), wait together until it
   * is safe to punch them, and become runs together.
   */
  readonly deadSlices: number
}

/** Commits wait no longer for the punches of a round; the rest comes with the next. */
const PUNCH_MS = 500

/** An fdatasync that took longer is followed by another one before a commit, so many at most in all. */
const SYNC_MS = 3
const SYNCS_MAX = 4

export const UPKEEP_DEFAULTS: UpkeepOptions = {
  commitMs: 1000,
  commitsPerCheckpoint: 4,
  journalKeepBytes: 64 * 1024 * 1024,
  deadSlices: 20_000
}

export class Upkeep {
  readonly #components: UpkeepComponents
  readonly #options: UpkeepOptions
  #timer: Timer | undefined
  #stopped = false
  #hasFailed = false
  #commits = 0
  /** Freed slices that wait until what freed them is safe everywhere. */
  #dead: Dead | undefined
  #committedAt: JournalPosition
  #committedEpoch: Epoch | 0
  #checkpointed: StatePosition
  #checkpointedAt = 0 as JournalPosition
  #running: Promise<void> = Promise.resolve()
  /** A checkpoint waits while the state is copied for another member; commits do not wait for it. */
  #checkpointing: Promise<void> | undefined

  constructor(components: UpkeepComponents, options: UpkeepOptions = UPKEEP_DEFAULTS) {
    this.#components = components
    this.#options = options
    this.#committedAt = 0 as JournalPosition
    this.#committedEpoch = components.state.position().epoch
    this.#checkpointed = components.state.position()
  }

  /** What the durable checkpoint contains. */
  get checkpointed(): StatePosition {
    return this.#checkpointed
  }

  /** Up to where of the journal the checkpoint has it; 0 before the first of this process. */
  get checkpointedAt(): JournalPosition {
    return this.#checkpointedAt
  }

  /** The state on the disk is one of this volume's life. */
  get hasCommitted(): boolean {
    return this.#committedEpoch !== 0
  }

  start(): void {
    this.#schedule()
  }

  /** Ends after the round in progress. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
    await this.#checkpointing
  }

  /** A last commit and checkpoint, so that the next start has nothing to replay. */
  async finish(): Promise<void> {
    await this.stop()
    await this.#commit()
    await this.#checkpoint()
  }

  /** Resolves when everything applied at the call stands in a durable checkpoint. */
  async checkpointNow(): Promise<void> {
    const wanted = this.#components.journal.appended
    await this.#commit()
    while (this.#checkpointedAt < wanted) {
      if (this.#hasFailed) throw new Error('no checkpoint is made any more')
      this.#checkpointing ??= this.#checkpointBeside()
      await this.#checkpointing
    }
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = this.#components.clock.setTimer(this.#options.commitMs, () => {
      this.#running = this.#round()
        .catch((error: unknown) => this.#failed(error))
        .then(() => this.#schedule())
    })
  }

  #failed(error: unknown): void {
    this.#stopped = true
    this.#hasFailed = true
    this.#components.onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  async #round(): Promise<void> {
    const { journal, epoch } = this.#components
    const isNew = journal.appended !== this.#committedAt || epoch() !== this.#committedEpoch
    if (isNew) await this.#commit()
    const large = journal.stats().sizeBytes > this.#options.journalKeepBytes
    // When nothing comes any more the last commit gets its checkpoint, so that the dead is freed.
    const due = this.#commits >= this.#options.commitsPerCheckpoint || large || !isNew
    if (this.#commits > 0 && due) this.#checkpointing ??= this.#checkpointBeside()
    await this.#punch()
  }

  async #checkpointBeside(): Promise<void> {
    try {
      await this.#checkpoint()
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#checkpointing = undefined
    }
  }

  async #commit(): Promise<void> {
    const { journal, state, sync, position } = this.#components
    await this.#syncMost()
    // What came during the last fdatasync is little: it is synced in one piece with the commit.
    sync.syncNow()
    const { appended } = journal
    const committed = position()
    state.commit(committed)
    this.#committedAt = appended
    this.#committedEpoch = committed.epoch
    this.#commits++
  }

  /** Again while it takes long: what comes meanwhile would stop the event loop for as long. */
  async #syncMost(): Promise<void> {
    const { sync, clock } = this.#components
    for (let round = 0; round < SYNCS_MAX; round++) {
      const begunMs = clock.monotonicMs()
      await sync.syncFiles()
      if (clock.monotonicMs() - begunMs < SYNC_MS) return
    }
  }

  async #checkpoint(): Promise<void> {
    const { journal, segments, checkpoint, published, logger } = this.#components
    const covered = this.#committedAt
    const commits = this.#commits
    this.#checkpointed = await checkpoint()
    this.#checkpointedAt = covered
    this.#commits -= commits
    const keepBytes = this.#components.isSpaceShort() ? 0 : this.#options.journalKeepBytes
    const isLarge = journal.stats().sizeBytes > keepBytes
    if (isLarge || published.areWaiting) await published.release()
    if (!isLarge) return
    await segments.syncUnsynced()
    const pruned = journal.prune(covered)
    logger.debug({ pruned, ...journal.stats() }, 'journal pruned')
  }

  /**
   * Slices are freed in another order on another member when two parts of one are overwritten at
   * the same time; so it is not the freeing entry alone that must be safe, but everything applied
   * when the slices were looked at. That includes what the entry that is still open has freed, also
   * of its own: it is closed first, as after a crash its bytes would be looked for in the segments.
   * What a round does not get done is still safe in the next one, unless the epoch is another.
   */
  async #punch(): Promise<void> {
    const { segments, epoch } = this.#components
    if (!segments.canPunch) return
    const dead = this.#dead
    if (!dead || dead.epoch !== epoch()) {
      this.#dead = this.#lookForDead()
      return
    }
    await this.#punchRuns(dead)
  }

  #lookForDead(): Dead | undefined {
    const { flushOwn, state, applied, epoch } = this.#components
    flushOwn()
    const batches = state.freedBatches(this.#options.deadSlices)
    if (batches.length === 0) return undefined
    return { runs: new DeadRuns(batches), vector: new Map(applied()), epoch: epoch() }
  }

  async #punchRuns({ runs, vector, epoch }: Dead): Promise<void> {
    const { segments, state, clock, logger, checkpointedEverywhere } = this.#components
    const endMs = clock.monotonicMs() + PUNCH_MS
    for (let run = runs.next(); run; run = runs.next()) {
      // Meanwhile a member may have come that lacks what freed them.
      if (clock.monotonicMs() >= endMs || !checkpointedEverywhere(vector)) return
      await segments.punch(run.segment, run.offset, run.length)
      if (this.#stopped || epoch !== this.#components.epoch()) return
      state.forgetFreed(runs.punched())
    }
    this.#dead = undefined
    logger.debug({ slices: runs.slices }, 'dead slices punched')
  }
}

/** Freed slices, and when it is safe to punch them. */
interface Dead {
  readonly runs: DeadRuns
  readonly vector: Vector
  readonly epoch: Epoch | 0
}
