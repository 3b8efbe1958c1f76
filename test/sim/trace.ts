/** What happened, as one number: two runs of a seed must agree. The last lines can be kept. */
export class Trace {
  #low = 0x811c9dc5
  #high = 0x1b873593
  #count = 0
  readonly #keep: number
  readonly #lines: string[] = []

  constructor(keep = 0) {
    this.#keep = keep
  }

  add(line: string): void {
    this.#count++
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i)
      this.#low = Math.imul(this.#low ^ code, 0x01000193)
      this.#high = Math.imul(this.#high ^ code, 0x85ebca6b)
    }
    if (this.#keep === 0) return
    this.#lines.push(line)
    if (this.#lines.length > this.#keep) this.#lines.shift()
  }

  get hash(): string {
    const hex = (value: number) => (value >>> 0).toString(16).padStart(8, '0')
    return `${hex(this.#low)}${hex(this.#high)}-${this.#count}`
  }

  get lines(): readonly string[] {
    return this.#lines
  }
}
