/**
 * RULES 33: which INTERRUPT ends a wait. Owns the set of interrupted requests that are still being
 * served. The kernel sends one INTERRUPT for the first signal and none for a SIGKILL that follows,
 * so an interrupted request is looked at again until it is answered or its process is dying.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import type { ServedRequest } from './served-request.ts'

/** True when SIGKILL is pending for the thread `pid` of our pid namespace. */
export type KillPending = (pid: number) => boolean

const RECHECK_MS = 100

export class Interrupts {
  readonly #clock: Clock
  readonly #killPending: KillPending
  readonly #end: (request: ServedRequest) => void
  readonly #interrupted = new Set<ServedRequest>()
  #timer: Timer | undefined

  /** `end` is called once for a request whose process is dying. */
  constructor(components: {
    readonly clock: Clock
    readonly killPending: KillPending
    readonly end: (request: ServedRequest) => void
  }) {
    this.#clock = components.clock
    this.#killPending = components.killPending
    this.#end = components.end
  }

  interrupt(request: ServedRequest): void {
    if (request.aborted || request.state === 'answered') return
    this.#interrupted.add(request)
    this.#check()
  }

  /** The request is answered: nothing is left to end. */
  settled(request: ServedRequest): void {
    if (this.#interrupted.size === 0) return
    this.#interrupted.delete(request)
    if (this.#interrupted.size === 0) this.#stopTimer()
  }

  close(): void {
    this.#interrupted.clear()
    this.#stopTimer()
  }

  #check(): void {
    this.#stopTimer()
    for (const request of [...this.#interrupted]) {
      if (!this.#killPending(request.pid)) continue
      this.#interrupted.delete(request)
      this.#end(request)
    }
    if (this.#interrupted.size === 0) return
    this.#timer = this.#clock.setTimer(RECHECK_MS, () => this.#check())
  }

  #stopTimer(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
