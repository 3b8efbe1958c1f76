/**
 * Bounds what is being served at the same time: the number of requests, and the bytes they and
 * their answers may pin. Requests beyond that wait in order of arrival; those that wait for bytes
 * (large reads and writes) do not hold up those that need none. Beyond `waitingMax` a request is
 * refused. Pure.
 */
import { assert } from '../../fs/assert.ts'
import type { ServedRequest } from './served-request.ts'

export interface AdmissionLimits {
  readonly servingMax: number
  readonly servingMaxBytes: number
  readonly waitingMax: number
}

export const defaultAdmissionLimits: AdmissionLimits = {
  servingMax: 4096,
  servingMaxBytes: 64 * 1024 * 1024,
  waitingMax: 16384
}

/** Requests up to this cost count as free of memory. */
const SMALL_BYTES = 4096

export class Admission {
  readonly #limits: AdmissionLimits
  readonly #small: ServedRequest[] = []
  readonly #large: ServedRequest[] = []
  #serving = 0
  #servingBytes = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  /** 'serve': counted as being served from now on, until `settle`. */
  admit(request: ServedRequest): 'serve' | 'wait' | 'refuse' {
    const queue = request.costBytes > SMALL_BYTES ? this.#large : this.#small
    if (queue.length === 0 && this.#fits(request)) {
      this.#start(request)
      return 'serve'
    }
    if (this.waiting >= this.#limits.waitingMax) return 'refuse'
    queue.push(request)
    return 'wait'
  }

  /** Ends the serving of one request; returns those whose turn it is now, already counted. */
  settle(request: ServedRequest): readonly ServedRequest[] {
    assert(this.#serving > 0, 'settle without admit')
    this.#serving -= 1
    this.#servingBytes -= request.costBytes
    if (this.#small.length === 0 && this.#large.length === 0) return none
    const started: ServedRequest[] = []
    // Large requests first: small ones find room again sooner.
    this.#drain(this.#large, started)
    this.#drain(this.#small, started)
    return started
  }

  /** Takes a waiting request out again. */
  remove(request: ServedRequest): boolean {
    for (const queue of [this.#small, this.#large]) {
      const at = queue.indexOf(request)
      if (at >= 0) {
        queue.splice(at, 1)
        return true
      }
    }
    return false
  }

  get serving(): number {
    return this.#serving
  }

  get servingBytes(): number {
    return this.#servingBytes
  }

  get waiting(): number {
    return this.#small.length + this.#large.length
  }

  #drain(queue: ServedRequest[], started: ServedRequest[]): void {
    for (;;) {
      const next = queue[0]
      if (next === undefined || !this.#fits(next)) return
      queue.shift()
      this.#start(next)
      started.push(next)
    }
  }

  #fits(request: ServedRequest): boolean {
    if (this.#serving >= this.#limits.servingMax) return false
    if (request.costBytes <= SMALL_BYTES) return true
    const bytes = this.#servingBytes + request.costBytes
    // One request alone always fits, whatever the limit.
    return bytes <= this.#limits.servingMaxBytes || this.#servingBytes === 0
  }

  #start(request: ServedRequest): void {
    this.#serving += 1
    this.#servingBytes += request.costBytes
  }
}

const none: readonly ServedRequest[] = []
