/** What the authority knows about one inode that is not simply shared by everybody. */
import { assert } from '../../fs/assert.ts'
import type { TokenMode, TokenWant } from '../../fs/ports/token-service.ts'
import type { Ino, MemberId } from '../../fs/primitives.ts'
import type { Vector } from '../vector.ts'

export interface TokenRequest {
  readonly member: MemberId
  readonly request: number
  /** Each inode once, with the strongest mode asked for. */
  readonly wants: readonly TokenWant[]
}

export const EMPTY_VECTOR: Vector = new Map()

export class TokenObject {
  readonly ino: Ino
  /** The member that has it exclusively; every other live member is then in `noted`. */
  holder: MemberId | undefined
  /** Number of the holder's grant. */
  grant = 0
  /** The holder was asked to give this grant up. */
  recalled = false
  /** Members that neither look at it nor cache it until they are granted it. */
  readonly noted = new Set<MemberId>()
  /** Notes on their way: member -> note number. */
  readonly pendingNotes = new Map<MemberId, number>()
  /** To be applied by whoever of `noted` is granted it: all releases joined (RULES 16). */
  vector: Vector = EMPTY_VECTOR
  /** Requests that want it and wait, in the order of their arrival. */
  readonly queue: TokenRequest[] = []

  constructor(ino: Ino) {
    this.ino = ino
  }

  /** True when nobody would notice its absence. */
  get isBlank(): boolean {
    return this.isIdle && this.noted.size === 0
  }

  /** True when nobody holds it, waits for it or is being told about it. */
  get isIdle(): boolean {
    return this.holder === undefined && this.queue.length === 0 && this.pendingNotes.size === 0
  }

  /** True when no earlier request in the queue conflicts: the order of arrival is kept. */
  isFirst(request: TokenRequest, mode: TokenMode): boolean {
    for (const earlier of this.queue) {
      if (earlier === request) return true
      if (mode === 'exclusive' || modeIn(earlier, this.ino) === 'exclusive') return false
    }
    assert(false, 'request is not in the queue of its inode')
  }

  /** The requests that no earlier one keeps from being looked at. */
  front(): TokenRequest[] {
    const front: TokenRequest[] = []
    for (const request of this.queue) {
      const exclusive = modeIn(request, this.ino) === 'exclusive'
      if (exclusive && front.length > 0) break
      front.push(request)
      if (exclusive) break
    }
    return front
  }

  unqueue(request: TokenRequest): void {
    const index = this.queue.indexOf(request)
    assert(index >= 0, 'request is not in the queue of its inode')
    this.queue.splice(index, 1)
  }
}

function modeIn(request: TokenRequest, ino: Ino): TokenMode {
  for (const want of request.wants) if (want.ino === ino) return want.mode
  return 'shared'
}

/** Each inode once, in the order given, exclusive where any of the wants is. */
export function strongestWants(wants: readonly TokenWant[]): readonly TokenWant[] {
  if (wants.length < 2) return wants
  const strongest = new Map<Ino, TokenMode>()
  for (const { ino, mode } of wants) {
    if (mode === 'exclusive' || !strongest.has(ino)) strongest.set(ino, mode)
  }
  return Array.from(strongest, ([ino, mode]) => ({ ino, mode }))
}
