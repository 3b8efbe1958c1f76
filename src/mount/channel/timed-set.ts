/**
 * A set of numbers for the addon's reader, which answers questions about its members itself: bounded, a
 * member may fall out for another one, and nothing is answered behind the end that was last proven for
 * this member's right to answer. The reader looks between two pieces of JavaScript, on the same thread.
 */
const UNTIL = 0

export class TimedSet<Member extends number> {
  /** The end in milliseconds of CLOCK_BOOTTIME, then one member in each slot, or 0. */
  readonly #table: Float64Array
  readonly #slots: number
  /** The table as the addon takes it. */
  readonly bytes: Uint8Array

  /** `slots` is a power of two. */
  constructor(slots: number) {
    this.#slots = slots
    this.#table = new Float64Array(1 + slots)
    this.bytes = new Uint8Array(this.#table.buffer)
  }

  /** Replaces another member of the same slot. */
  add(member: Member): void {
    this.#table[1 + (member % this.#slots)] = member
  }

  remove(member: Member): void {
    const slot = 1 + (member % this.#slots)
    if (this.#table[slot] === member) this.#table[slot] = 0
  }

  has(member: Member): boolean {
    return this.#table[1 + (member % this.#slots)] === member
  }

  /** This member may answer until then, in milliseconds of CLOCK_BOOTTIME. */
  answerUntil(endMs: number): void {
    this.#table[UNTIL] = endMs
  }

  clear(): void {
    this.#table.fill(0)
  }
}
