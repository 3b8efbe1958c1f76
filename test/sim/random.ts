/** Repeatable chance: the same seed gives the same numbers (sfc32). */
export class Random {
  #a: number
  #b: number
  #c: number
  #d = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = Math.floor(seed / 2 ** 32) | 0
    this.#c = 0x9e3779b9 | 0
    for (let i = 0; i < 15; i++) this.next()
  }

  /** 0 .. 2^32 - 1 */
  next(): number {
    const sum = (this.#a + this.#b + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return sum >>> 0
  }

  /** 0 .. limit - 1 */
  below(limit: number): number {
    return Math.floor(this.share() * limit)
  }

  /** low .. high, both included */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** 0 <= x < 1 */
  share(): number {
    return this.next() / 2 ** 32
  }

  chance(probability: number): boolean {
    return this.share() < probability
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('pick from nothing')
    return item
  }
}
