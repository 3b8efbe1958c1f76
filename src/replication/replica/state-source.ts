/**
 * Gives copies of this member's state to members that have none: one copy for each of them, read in
 * parts as they ask for them. At most COPIES_MAX at a time; one that nobody asks for is given up.
 *
 * Invariant: a copy takes nothing of what the disk keeps in reserve; where there is no room for it, or
 * it failed, none is begun for a while. This member has a volume to serve.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { MemberId } from '../../fs/primitives.ts'
import type { StateFetch, StatePart } from '../messages.ts'
import type { StateCopy } from '../storage/state-exchange.ts'
import type { PeerLinks } from './peer-links.ts'

const COPIES_MAX = 2
const IDLE_MS = 30_000
/** After a copy that could not be made. */
const PAUSE_MS = 60_000
const NOTHING = Buffer.alloc(0)

export interface StateSourceComponents {
  readonly links: Pick<PeerLinks, 'sendBulk' | 'bulkHasRoom' | 'bulkDrained'>
  readonly copy: () => Promise<StateCopy>
  /** This member is live, and its last commit is of this volume's life. */
  readonly mayGive: () => boolean
  /** The disk has room for one more copy. */
  readonly hasRoom: () => boolean
  readonly clock: Clock
  readonly logger: Logger
}

interface Given {
  readonly copy: number
  state: StateCopy | undefined
  timer: Timer | undefined
  isReading: boolean
  isOver: boolean
}

export class StateSource {
  readonly #components: StateSourceComponents
  readonly #given = new Map<MemberId, Given>()
  #pausedUntilMs = 0

  constructor(components: StateSourceComponents) {
    this.#components = components
  }

  /** How many members are being given a copy. */
  get giving(): number {
    return this.#given.size
  }

  onFetch(from: MemberId, message: StateFetch): void {
    let given = this.#given.get(from)
    if (given?.copy !== message.copy) {
      this.gone(from)
      if (!this.#mayBegin()) {
        this.#answer(from, message, 'refused')
        return
      }
      given = this.#begin(from, message)
    }
    this.#keep(from, given)
    if (!given.state) this.#answer(from, message, 'preparing')
    else if (!given.isReading) void this.#give(from, given, given.state, message)
  }

  gone(member: MemberId): void {
    const given = this.#given.get(member)
    if (!given) return
    this.#given.delete(member)
    given.isOver = true
    given.timer?.cancel()
    given.state?.discard()
  }

  stop(): void {
    for (const member of [...this.#given.keys()]) this.gone(member)
  }

  #mayBegin(): boolean {
    const { mayGive, hasRoom, clock, logger } = this.#components
    if (!mayGive() || this.#given.size >= COPIES_MAX) return false
    if (this.#pausedUntilMs > clock.monotonicMs()) return false
    if (hasRoom()) return true
    logger.error({}, 'no room on the disk for a copy of the state: no member can have it from here')
    this.#pause()
    return false
  }

  #pause(): void {
    this.#pausedUntilMs = this.#components.clock.monotonicMs() + PAUSE_MS
  }

  #begin(from: MemberId, message: StateFetch): Given {
    const { logger } = this.#components
    const { copy } = message
    const given: Given = {
      copy,
      state: undefined,
      timer: undefined,
      isReading: false,
      isOver: false
    }
    this.#given.set(from, given)
    logger.info({ from }, 'state is copied for a member')
    this.#components.copy().then(
      (state) => {
        given.state = state
        if (given.isOver) state.discard()
      },
      (error: unknown) => {
        if (given.isOver) return
        logger.error({ from, error }, 'state could not be copied for a member')
        this.gone(from)
        this.#pause()
        this.#answer(from, message, 'refused')
      }
    )
    return given
  }

  #keep(from: MemberId, given: Given): void {
    given.timer?.cancel()
    given.timer = this.#components.clock.setTimer(IDLE_MS, () => {
      if (this.#given.get(from) === given) this.gone(from)
    })
  }

  async #give(from: MemberId, given: Given, state: StateCopy, message: StateFetch): Promise<void> {
    const { links, logger } = this.#components
    const { offset, length } = message
    given.isReading = true
    try {
      if (!links.bulkHasRoom(from)) await links.bulkDrained(from)
      const data = await state.read(offset, Math.min(length, state.totalBytes - offset))
      if (given.isOver) return
      if (data.length === 0) throw new Error(`nothing at ${offset} of ${state.totalBytes}`)
      const { totalBytes } = state
      const sha256 = Buffer.from(state.sha256)
      const part = { type: 'state-part', copy: given.copy, status: 'there' } as const
      links.sendBulk(from, { ...part, offset, totalBytes, sha256, data })
      if (offset + data.length >= totalBytes) this.gone(from)
    } catch (error) {
      if (given.isOver) return
      logger.error({ from, error }, 'copy of the state could not be read for a member')
      this.gone(from)
      this.#answer(from, message, 'refused')
    } finally {
      given.isReading = false
    }
  }

  #answer(to: MemberId, { copy, offset }: StateFetch, status: StatePart['status']): void {
    const empty = { totalBytes: 0, sha256: NOTHING, data: NOTHING }
    this.#components.links.sendBulk(to, { type: 'state-part', copy, status, offset, ...empty })
  }
}
