/**
 * Fetches the whole state from another member, for a member that has none: new, or with one that
 * was put aside. Part after part, from one live member; when that one is gone, silent, refuses, or
 * what it gave is not what it said, from the next, from the beginning.
 *
 * Invariant: nothing of it is opened before all of it is here, checked and durable; `onReceived` is
 * called once, after that.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { StatePosition } from '../../fs/ports/state-machine.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import { STATE_PART_MAX_BYTES } from '../message-codec.ts'
import type { StatePart } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import type { StateReceiver } from '../storage/state-exchange.ts'
import type { PeerLinks } from './peer-links.ts'

const ANSWER_MS = 10_000
const PREPARING_MS = 200
const RETRY_MS = 300
/** A member that did not give it is not asked again for so long. */
const REFUSED_MS = 1000
const UNFIT_MS = 10_000
/** No state is larger. */
const STATE_MAX_BYTES = 2 ** 40

export interface StateTransferComponents {
  readonly self: MemberId
  readonly links: Pick<PeerLinks, 'bulkConnected' | 'sendBulk'>
  readonly record: () => EpochRecord
  readonly receive: () => StateReceiver
  /** Undefined, or why a state at that position is of no use here. */
  readonly unfit: (position: StatePosition) => string | undefined
  readonly clock: Clock
  readonly logger: Logger
  readonly onReceived: () => void
}

interface Transfer {
  readonly member: MemberId
  readonly copy: number
  receiver: StateReceiver | undefined
  offset: number
  totalBytes: number
  sha256: Buffer
}

export class StateTransfer {
  readonly #components: StateTransferComponents
  readonly #pausedUntilMs = new Map<MemberId, number>()
  #isRunning = false
  #lastCopy = 0
  #current: Transfer | undefined
  #finishing: StateReceiver | undefined
  #timer: Timer | undefined

  constructor(components: StateTransferComponents) {
    this.#components = components
  }

  /** Bytes still to come; undefined when nothing is fetched or nobody has said how much it is. */
  get bytesLeft(): number | undefined {
    const current = this.#current
    if (!current?.receiver) return undefined
    return current.totalBytes - current.offset
  }

  /** Begins; ignored while it runs. */
  start(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#next()
  }

  stop(): void {
    this.#isRunning = false
    this.#finishing?.discard()
    this.#drop()
  }

  onPart(from: MemberId, message: StatePart): void {
    const current = this.#current
    if (!current || current.member !== from || current.copy !== message.copy) return
    if (message.offset !== current.offset) return
    if (message.status === 'there') {
      this.#take(current, message)
      return
    }
    if (message.status === 'refused') {
      this.#components.logger.info({ from }, 'that member does not give its state now')
      this.#giveUp(current, REFUSED_MS)
      return
    }
    this.#wait(PREPARING_MS, () => this.#ask(current))
  }

  gone(member: MemberId): void {
    if (this.#current?.member === member) this.#giveUp(this.#current, 0)
  }

  #next(): void {
    if (!this.#isRunning) return
    const member = this.#source()
    if (member === undefined) {
      this.#wait(RETRY_MS, () => this.#next())
      return
    }
    const copy = ++this.#lastCopy
    const sha256 = Buffer.alloc(0)
    this.#current = { member, copy, receiver: undefined, offset: 0, totalBytes: 0, sha256 }
    this.#ask(this.#current)
  }

  /** The authority has enough to do: another live member where there is one. */
  #source(): MemberId | undefined {
    const { self, links, record, clock } = this.#components
    const { live, authority } = record()
    const now = clock.monotonicMs()
    const candidates = links.bulkConnected().filter((member) => {
      if (member === self || (this.#pausedUntilMs.get(member) ?? 0) > now) return false
      return live.some((writer) => memberOf(writer) === member)
    })
    return candidates.find((member) => member !== authority) ?? candidates[0]
  }

  #ask(current: Transfer): void {
    const { member, copy, offset } = current
    const length = STATE_PART_MAX_BYTES
    this.#components.links.sendBulk(member, { type: 'fetch-state', copy, offset, length })
    this.#wait(ANSWER_MS, () => this.#giveUp(current, REFUSED_MS))
  }

  #take(current: Transfer, { offset, totalBytes, sha256, data }: StatePart): void {
    const { receive, logger } = this.#components
    const { member } = current
    try {
      if (!current.receiver) {
        if (totalBytes > STATE_MAX_BYTES) throw new Error(`a state of ${totalBytes} bytes`)
        current.totalBytes = totalBytes
        current.sha256 = Buffer.from(sha256)
        current.receiver = receive()
        logger.info({ member, totalBytes }, 'state is fetched from another member')
      }
      if (current.totalBytes !== totalBytes || !current.sha256.equals(sha256)) {
        throw new Error('its parts are not of one state')
      }
      current.receiver.write(data)
    } catch (error) {
      this.#refuse(current, error)
      return
    }
    current.offset = offset + data.length
    if (current.offset < totalBytes) this.#ask(current)
    else this.#finish(current, current.receiver)
  }

  #finish(current: Transfer, receiver: StateReceiver): void {
    const { unfit, onReceived, logger } = this.#components
    this.#timer?.cancel()
    // From here on it does not matter whether the source is there.
    this.#current = undefined
    this.#finishing = receiver
    receiver
      .finish(current.sha256, unfit)
      .then(({ epoch }) => {
        if (!this.#isRunning) return
        this.#isRunning = false
        const { member, totalBytes } = current
        logger.info({ member, totalBytes, epoch }, 'state of another member is here')
        onReceived()
      })
      .catch((error: unknown) => {
        this.#finishing = undefined
        this.#refuse(current, error)
      })
  }

  #refuse(current: Transfer, error: unknown): void {
    if (!this.#isRunning) return
    const { member } = current
    this.#components.logger.error({ member, error }, 'state of that member cannot be taken')
    this.#giveUp(current, UNFIT_MS)
  }

  #giveUp(current: Transfer, pauseMs: number): void {
    this.#pausedUntilMs.set(current.member, this.#components.clock.monotonicMs() + pauseMs)
    current.receiver?.discard()
    this.#drop()
    this.#wait(RETRY_MS, () => this.#next())
  }

  #drop(): void {
    this.#timer?.cancel()
    this.#current?.receiver?.discard()
    this.#current = undefined
  }

  #wait(delayMs: number, then: () => void): void {
    this.#timer?.cancel()
    if (this.#isRunning) this.#timer = this.#components.clock.setTimer(delayMs, then)
  }
}
