/**
 * fsync across the cluster: asks the members of the in-sync set whose acknowledgement is missing,
 * makes what others ask for durable here, and says so (RULES 2, 3).
 *
 * In rounds: whoever syncs while the files are synced here for a round is in the next one. Its entry is closed and its
 * question asked when it begins, so that all in it share both.
 */
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { Defer } from '../defer.ts'
import type { Durability } from '../durability.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'
import type { Acknowledgements } from './acknowledgements.ts'
import type { AppliedWaits } from './applied-waits.ts'
import { liveVector } from './live-vector.ts'
import type { LocalSync } from './local-sync.ts'
import type { Peers } from './peers.ts'

export interface ClusterSyncComponents {
  readonly self: MemberId
  readonly record: () => EpochRecord
  readonly applied: () => Vector
  /** Own ops gathered so far get their entry. */
  readonly flushOwn: () => void
  readonly peers: Pick<Peers, 'sendControl'>
  readonly durability: Durability
  readonly localSync: LocalSync
  readonly acknowledgements: Acknowledgements
  readonly waits: AppliedWaits
  readonly defer: Defer
  readonly logger: Logger
}

interface Round {
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

export class ClusterSync {
  readonly #components: ClusterSyncComponents
  /** The round that has not begun. */
  #next: Round | undefined
  /** The files are being synced here for a round. */
  #isSyncing = false
  /** Set at the end: nothing is synced any more, and why. */
  #over: Error | undefined

  constructor(components: ClusterSyncComponents) {
    this.#components = components
  }

  /** See `OpLog.durable`. */
  sync(): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#over)
    if (this.#next === undefined) {
      this.#next = newRound()
      if (!this.#isSyncing) this.#beginSoon()
    }
    return this.#next.done
  }

  /** Asks again while somebody waits: a question may be lost with its connection. */
  remind(): void {
    if (this.#components.durability.waiting > 0) this.#ask(this.#liveApplied())
  }

  /** A member asks. */
  onSync(from: MemberId, vector: Vector): void {
    const { waits, localSync, acknowledgements, logger } = this.#components
    waits
      .wait(vector)
      .then(() => localSync.sync())
      .then(() => acknowledgements.soon([from]))
      .catch((error: unknown) => {
        if (this.#over === undefined) logger.warn({ from, error }, 'sync for a peer failed')
      })
  }

  /** All of the vector is durable here. Who waits for that has asked, and hears at once (`onSync`). */
  onDurable(vector: Vector): void {
    const { self, record, durability, acknowledgements } = this.#components
    durability.acknowledged(self, liveVector(record(), vector))
    acknowledgements.later(
      record()
        .live.map(memberOf)
        .filter((member) => member !== self)
    )
  }

  /** Whoever waits for a round that has not begun is told; those of the others wait for `durability`. */
  stop(over: Error): void {
    this.#over = over
    this.#next?.reject(over)
    this.#next = undefined
  }

  /** With all who sync in this turn. */
  #beginSoon(): void {
    this.#components.defer(() => {
      const round = this.#next
      this.#next = undefined
      if (round !== undefined) this.#run().then(round.resolve, round.reject)
    })
  }

  async #run(): Promise<void> {
    const { flushOwn, durability, localSync } = this.#components
    flushOwn()
    const vector = this.#liveApplied()
    const covered = durability.wait(vector)
    this.#ask(vector)
    this.#isSyncing = true
    const over = (): void => {
      this.#isSyncing = false
      if (this.#next !== undefined) this.#beginSoon()
    }
    localSync.syncFiles().then(over, over)
    await Promise.all([localSync.sync(), covered])
  }

  #ask(vector: Vector): void {
    const { self, durability, peers } = this.#components
    for (const member of durability.missing(vector)) {
      if (member !== self) peers.sendControl(member, { type: 'sync', vector })
    }
  }

  #liveApplied(): Vector {
    return liveVector(this.#components.record(), this.#components.applied())
  }
}

function newRound(): Round {
  let resolve = (): void => {}
  let reject = (_reason: unknown): void => {}
  const done = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { done, resolve, reject }
}
