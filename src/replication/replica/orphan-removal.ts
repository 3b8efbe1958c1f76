/**
 * The removal of orphans at this member: runs the reaper's rounds when it is the authority, and
 * answers the authority's questions when it is not. What the rounds promise is in reaper.ts.
 */
import type { Awaitable } from '../../fs/awaitable.ts'
import type { Op } from '../../fs/op.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { StateMachine } from '../../fs/ports/state-machine.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { OrphanAnswerMessage, OrphanQueryMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import type { Vector } from '../vector.ts'
import type { PeerLinks } from './peer-links.ts'
import { Reaper } from './reaper.ts'

export interface OrphanRemovalComponents {
  readonly self: MemberId
  readonly record: () => EpochRecord
  readonly isLive: () => boolean
  readonly state: Pick<StateMachine, 'orphans'>
  readonly links: Pick<PeerLinks, 'sendControl'>
  /** Of these inodes, the ones not open here: from now on opening them answers ESTALE. */
  readonly closeForGood: (inos: readonly Ino[]) => readonly Ino[]
  readonly forgetReaped: (inos: readonly Ino[]) => void
  readonly submit: (op: Op) => Awaitable<void>
  /** Gives own ops gathered so far their entry; then, what is applied of the live writers. */
  readonly flushedApplied: () => Vector
  readonly waitApplied: (vector: Vector) => Promise<void>
  readonly logger: Logger
}

export class OrphanRemoval {
  readonly #components: OrphanRemovalComponents
  readonly #reaper: Reaper
  #stopped = false

  constructor(components: OrphanRemovalComponents) {
    const { self, record, state, links, closeForGood, waitApplied } = components
    this.#components = components
    this.#reaper = new Reaper({
      self,
      record,
      others: () =>
        record()
          .live.map(memberOf)
          .filter((member) => member !== self),
      orphans: () => state.orphans(),
      closeForGood,
      send: (member, message) => {
        links.sendControl(member, message)
      },
      waitApplied,
      reap: (inos) => this.#reap(inos)
    })
  }

  /** At the authority, regularly; true when there are orphans. */
  round(): boolean {
    const { isLive, state } = this.#components
    if (!isLive()) return false
    const orphans = state.orphans()
    if (orphans.length === 0) return false
    this.#reaper.round(orphans).catch((error: unknown) => this.#failed(error))
    return true
  }

  onQuery(from: MemberId, message: OrphanQueryMessage): void {
    const { record, links, closeForGood, flushedApplied } = this.#components
    const { epoch, query, inos } = message
    if (epoch !== record().epoch || from !== record().authority) return
    const closed = closeForGood(inos)
    const applied = flushedApplied()
    links.sendControl(from, { type: 'orphan-answer', epoch, query, closed, applied })
  }

  onAnswer(from: MemberId, message: OrphanAnswerMessage): void {
    this.#reaper.onAnswer(from, message).catch((error: unknown) => this.#failed(error))
  }

  /** Another epoch. */
  reset(): void {
    this.#reaper.reset()
  }

  stop(): void {
    this.#stopped = true
  }

  async #reap(inos: readonly Ino[]): Promise<void> {
    const { isLive, state, submit, forgetReaped } = this.#components
    if (!isLive()) return
    const living = new Set(state.orphans())
    const gone = inos.filter((ino) => living.has(ino))
    await Promise.all(gone.map((ino) => submit({ type: 'reap', ino })))
    forgetReaped(inos)
  }

  #failed(error: unknown): void {
    this.#reaper.reset()
    if (!this.#stopped) this.#components.logger.warn({ error }, 'orphans could not be removed')
  }
}
