/** Counts of served requests by opcode, for status. */
import { OPCODE_LIMIT, opcodeName } from './abi.ts'

export interface OpcodeStatistics {
  readonly count: number
  /** Of these, answered with an errno. */
  readonly errors: number
  /** From arrival to answer, summed. */
  readonly totalUs: number
}

export class FuseStatistics {
  readonly #counts = new Float64Array(OPCODE_LIMIT)
  readonly #errors = new Float64Array(OPCODE_LIMIT)
  readonly #totalUs = new Float64Array(OPCODE_LIMIT)

  /** Opcodes this code does not know are counted together, under 0. */
  add(opcode: number, failed: boolean, elapsedMs: number): void {
    const slot = opcode < OPCODE_LIMIT ? opcode : 0
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1
    this.#totalUs[slot] = (this.#totalUs[slot] ?? 0) + elapsedMs * 1000
    if (failed) this.#errors[slot] = (this.#errors[slot] ?? 0) + 1
  }

  /** By opcode name; those never seen are left out. */
  snapshot(): Record<string, OpcodeStatistics> {
    const result: Record<string, OpcodeStatistics> = {}
    for (let opcode = 0; opcode < OPCODE_LIMIT; opcode += 1) {
      const count = this.#counts[opcode] ?? 0
      if (count === 0) continue
      const errors = this.#errors[opcode] ?? 0
      const totalUs = Math.round(this.#totalUs[opcode] ?? 0)
      result[opcode === 0 ? 'UNKNOWN' : opcodeName(opcode)] = { count, errors, totalUs }
    }
    return result
  }
}
