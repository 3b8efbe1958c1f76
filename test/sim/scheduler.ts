/** Virtual time: what is scheduled runs in the order of its time, then of its scheduling. */
interface Scheduled {
  readonly atUs: number
  readonly order: number
  readonly run: () => void
}

export class Scheduler {
  #nowUs = 0
  #order = 0
  readonly #heap: Scheduled[] = []

  get nowUs(): number {
    return this.#nowUs
  }

  after(delayUs: number, run: () => void): void {
    this.#push({ atUs: this.#nowUs + Math.max(0, Math.ceil(delayUs)), order: this.#order++, run })
  }

  /** Runs the next; false when there is none. */
  runNext(): boolean {
    const next = this.#pop()
    if (next === undefined) return false
    this.#nowUs = next.atUs
    next.run()
    return true
  }

  #push(item: Scheduled): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(item)
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex]
      if (parent === undefined || before(parent, item)) break
      heap[index] = parent
      index = parentIndex
    }
    heap[index] = item
  }

  #pop(): Scheduled | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (top === undefined || last === undefined || top === last) return top
    let index = 0
    for (;;) {
      let childIndex = 2 * index + 1
      let child = heap[childIndex]
      const right = heap[childIndex + 1]
      if (child === undefined) break
      if (right !== undefined && before(right, child)) {
        child = right
        childIndex++
      }
      if (before(last, child)) break
      heap[index] = child
      index = childIndex
    }
    heap[index] = last
    return top
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order)
}
