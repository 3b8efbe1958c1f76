/**
 * Keeps trying to open one kind of connection to one member until told to stop. Invariant: at most
 * one attempt at a time, none while connected, the pause between attempts bounded by
 * BACKOFF_MAX_MS.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'
import { BACKOFF_MIN_MS, backoffMs } from './dial-policy.ts'

export interface DialLoopComponents {
  readonly clock: Clock
  /** 0 <= x < 1. */
  readonly random: () => number
  /** One attempt (`round` counts from 0 and selects the address); resolves when it is over. */
  readonly attempt: (round: number) => Promise<void>
  readonly isConnected: () => boolean
  /** After each failed attempt; `streak` counts from 1. */
  readonly onFailure: (error: unknown, streak: number) => void
}

export interface DialLoopOptions {
  /** Extra pause before the first attempt and after each loss: 0 for the preferred dialer. */
  readonly reserveMs: number
  /** A connection that lived this long was a success: the pause starts from the minimum. */
  readonly stableMs: number
}

export class DialLoop {
  readonly #components: DialLoopComponents
  readonly #options: DialLoopOptions
  #timer: Timer | undefined
  #failures = 0
  #round = 0
  #connectedSinceMs: number | undefined
  #attempting = false
  #stopped = false

  constructor(components: DialLoopComponents, options: DialLoopOptions) {
    this.#components = components
    this.#options = options
  }

  start(): void {
    this.#schedule(this.#options.reserveMs)
  }

  connected(): void {
    this.#connectedSinceMs = this.#components.clock.monotonicMs()
  }

  /** The connection is gone: dial again, at once in effect when it had been stable. */
  lost(): void {
    const now = this.#components.clock.monotonicMs()
    const livedMs = this.#connectedSinceMs === undefined ? 0 : now - this.#connectedSinceMs
    this.#connectedSinceMs = undefined
    if (livedMs >= this.#options.stableMs) this.#failures = 0
    this.#scheduleNext()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #scheduleNext(): void {
    const pauseMs = backoffMs(this.#failures, this.#components.random())
    this.#schedule(Math.max(BACKOFF_MIN_MS, pauseMs) + this.#options.reserveMs)
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return
    this.#timer?.cancel()
    this.#timer = this.#components.clock.setTimer(delayMs, () => void this.#run())
  }

  async #run(): Promise<void> {
    const { attempt, isConnected, onFailure } = this.#components
    if (this.#stopped || this.#attempting || isConnected()) return
    this.#attempting = true
    try {
      await attempt(this.#round)
    } catch (error) {
      if (!this.#stopped && !isConnected()) onFailure(error, this.#failures + 1)
      this.#round += 1
    } finally {
      this.#attempting = false
    }
    this.#failures += 1
    if (!isConnected()) this.#scheduleNext()
  }
}
