/**
 * The way out of a member that stops in the orderly way: it asks the leader for a record that goes
 * on without it, with all it has written. Then nobody waits for the end of its lease, and another
 * one is the authority if this was it. The wait has an end: the others find out by themselves.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'

/** How long a stopping member waits for the record that goes on without it. */
const LEAVE_MS = 3000

export class Departure {
  readonly #clock: Clock
  readonly #logger: Logger
  /** Set while this member waits for the record. */
  #end: (() => void) | undefined
  #isReplaced = false

  constructor(components: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = components.clock
    this.#logger = components.logger
  }

  get isUnderWay(): boolean {
    return this.#end !== undefined
  }

  /** A record goes on without this member: whoever it served was sealed for that. */
  get isReplaced(): boolean {
    return this.#isReplaced
  }

  /** Calls `ask`; resolves when the wait is over, for whatever reason. */
  begin(ask: () => void): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(LEAVE_MS, () => {
        this.#logger.warn({}, 'stopping without a record that goes on without this member')
        resolve()
      })
      this.#end = () => {
        timer.cancel()
        resolve()
      }
      ask()
    })
  }

  /** The record that goes on without this member is here. */
  replaced(): void {
    this.#isReplaced = true
  }

  /** Nobody waits any more. */
  end(): void {
    this.#end?.()
  }
}
