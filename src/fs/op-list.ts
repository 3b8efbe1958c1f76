/**
 * Ops encoded one by one as they come, for a list that is written out in parts and then as a
 * whole: each op is encoded once. What is written is what `encodeOps` gives for the same ops.
 */
import { assert } from './assert.ts'
import { ByteWriter } from './byte-codec.ts'
import type { Op } from './op.ts'
import { OPS_MAX, versionOfType, writeOp } from './op-codec.ts'

/** A place between two ops of a list. */
export interface OpListPlace {
  readonly ops: number
  readonly bytes: number
}

export const OP_LIST_START: OpListPlace = { ops: 0, bytes: 0 }

export class OpList {
  readonly #encoded = new ByteWriter()
  #ops = 0
  /** Behind the last op that the first version does not know. */
  #newerUntil = 0

  get end(): OpListPlace {
    return { ops: this.#ops, bytes: this.#encoded.length }
  }

  /** Throws AssertionError for an op no decoder accepts, or one too many; the list is of no use then. */
  add(op: Op): void {
    assert(this.#ops < OPS_MAX, 'too many ops in one list')
    writeOp(this.#encoded, op)
    this.#ops++
    if (versionOfType(op.type) > 1) this.#newerUntil = this.#ops
  }

  clear(): void {
    this.#encoded.reset()
    this.#ops = 0
    this.#newerUntil = 0
  }

  /** The list of the ops from that place on. */
  write(to: ByteWriter, from: OpListPlace): void {
    to.u8(this.#newerUntil > from.ops ? 2 : 1)
    to.uint(this.#ops - from.ops)
    to.raw(this.#encoded.written().subarray(from.bytes))
  }
}
