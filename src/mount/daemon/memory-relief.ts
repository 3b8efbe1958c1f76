/**
 * Gives memory back that was needed in busy times: caches are made smaller, the dead is collected, and
 * what the allocator keeps free is returned to the system, once, when the process has come to rest.
 */
import type { Clock, Timer } from '../../fs/ports/clock.ts'

export interface MemoryReliefComponents {
  readonly clock: Clock
  /** Resident memory of the process. */
  readonly residentBytes: () => number
  /** Processor time used so far. */
  readonly cpuMs: () => number
  /** Gives back what can be; takes some tens of milliseconds. */
  readonly release: () => void
}

const LOOK_MS = 10_000
/** A process that used less of a processor since the last look is at rest. */
const REST_SHARE = 0.05
/** Growth since the last time that makes it worth while. */
const GROWTH_BYTES = 8 * 1024 * 1024

export class MemoryRelief {
  readonly #components: MemoryReliefComponents
  #timer: Timer | undefined
  #cpuMs = 0
  #leastBytes = 0

  constructor(components: MemoryReliefComponents) {
    this.#components = components
  }

  start(): void {
    this.#cpuMs = this.#components.cpuMs()
    this.#schedule()
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #schedule(): void {
    this.#timer = this.#components.clock.setTimer(LOOK_MS, () => {
      this.#look()
      this.#schedule()
    })
  }

  #look(): void {
    const { cpuMs, residentBytes, release } = this.#components
    const usedMs = cpuMs() - this.#cpuMs
    this.#cpuMs += usedMs
    if (usedMs > LOOK_MS * REST_SHARE) return
    if (residentBytes() < this.#leastBytes + GROWTH_BYTES) return
    release()
    this.#leastBytes = residentBytes()
  }
}
