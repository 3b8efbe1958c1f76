/** Waits for a vector to be applied here; ended by progress or by the end of the epoch. */
import type { Vector } from '../vector.ts'
import { vectorCovers } from '../vector.ts'

interface Wait {
  readonly vector: Vector
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class AppliedWaits {
  readonly #applied: () => Vector
  readonly #waits = new Set<Wait>()

  constructor(applied: () => Vector) {
    this.#applied = applied
  }

  /** True when nothing of it is missing. */
  isOver(vector: Vector): boolean {
    return vectorCovers(this.#applied(), vector)
  }

  wait(vector: Vector): Promise<void> {
    if (this.isOver(vector)) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waits.add({ vector, resolve, reject })
    })
  }

  /** Call after entries were applied. */
  settle(): void {
    if (this.#waits.size === 0) return
    const applied = this.#applied()
    for (const wait of this.#waits) {
      if (!vectorCovers(applied, wait.vector)) continue
      this.#waits.delete(wait)
      wait.resolve()
    }
  }

  fail(error: Error): void {
    for (const wait of this.#waits) wait.reject(error)
    this.#waits.clear()
  }
}
