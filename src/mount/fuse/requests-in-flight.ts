/**
 * The requests that are not answered yet, by their unique. The kernel counts that up, so few meet in
 * one slot; these stand in a Map. All in a Map would make and throw away its table with each request: it
 * shrinks when it is empty.
 */
import type { ServedRequest } from './served-request.ts'

const SLOTS = 256

export class RequestsInFlight {
  readonly #slots: (ServedRequest | undefined)[] = new Array(SLOTS).fill(undefined)
  readonly #others = new Map<number, ServedRequest>()
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: number): ServedRequest | undefined {
    const there = this.#slots[slotOf(key)]
    if (there?.key === key) return there
    return this.#others.size === 0 ? undefined : this.#others.get(key)
  }

  /** There is none with this key. */
  add(request: ServedRequest): void {
    const slot = slotOf(request.key)
    if (this.#slots[slot] === undefined) this.#slots[slot] = request
    else this.#others.set(request.key, request)
    this.#size++
  }

  remove(request: ServedRequest): void {
    const slot = slotOf(request.key)
    if (this.#slots[slot] === request) this.#slots[slot] = undefined
    else if (!this.#others.delete(request.key)) return
    this.#size--
  }

  all(): ServedRequest[] {
    const found = this.#slots.filter((request) => request !== undefined)
    return [...found, ...this.#others.values()]
  }
}

function slotOf(key: number): number {
  // The kernel counts up by two.
  return (key >>> 1) % SLOTS
}
