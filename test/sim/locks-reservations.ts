/**
 * Stands for the tokens of one member in the simulation of locks: every token request that is
 * reserved for a lock is settled once, and it was made exactly when the settling says so.
 */
import { LockSafetyError } from './locks-checker.ts'
import type { Random } from './random.ts'

interface Reserved {
  readonly epoch: number
  made: boolean
  settled: boolean
}

export class SimReservations {
  readonly #random: Random
  readonly #reserved: Reserved[] = []

  constructor(random: Random) {
    this.#random = random
  }

  /** Sometimes the token is there already. */
  reserve(epoch: number): number | undefined {
    if (this.#random.chance(0.3)) return undefined
    return this.#reserved.push({ epoch, made: false, settled: false }) - 1
  }

  /** The authority has granted the lock. */
  make(epoch: number, request: number): void {
    const reserved = this.#find(request)
    if (reserved.epoch !== epoch) throw new LockSafetyError('a token request of another epoch')
    if (reserved.made) throw new LockSafetyError('a token request is made twice')
    reserved.made = true
  }

  settle(request: number, coming: boolean): void {
    const reserved = this.#find(request)
    if (reserved.settled) throw new LockSafetyError('a reserved request is settled twice')
    if (coming && !reserved.made) throw new LockSafetyError('a token is waited for, not asked for')
    reserved.settled = true
  }

  checkEnd(): void {
    if (this.#reserved.every((each) => each.settled)) return
    throw new LockSafetyError('a reserved request is never settled')
  }

  #find(request: number): Reserved {
    const reserved = this.#reserved[request]
    if (reserved === undefined) throw new LockSafetyError(`request ${request} was not reserved`)
    return reserved
  }
}
