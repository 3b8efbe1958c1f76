/**
 * RULES 17: a lease is renewed only for a member that acknowledges its notes. An acknowledgement
 * may take as long as the operations that look at the inode; beyond that the member is treated as
 * if it were gone, so that nobody waits for it without end.
 */
import type { MemberId } from '../../fs/primitives.ts'
import type { LeaseOptions } from '../lease.ts'

const LEASES_OF_PATIENCE = 5

interface Behind {
  readonly acknowledged: number
  readonly sinceMs: number
}

export class NoteWatch {
  readonly #position: (member: MemberId) => { readonly sent: number; readonly acknowledged: number }
  readonly #patienceMs: number
  readonly #behind = new Map<MemberId, Behind>()

  constructor(
    position: (member: MemberId) => { readonly sent: number; readonly acknowledged: number },
    options: LeaseOptions
  ) {
    this.#position = position
    this.#patienceMs = options.leaseMs * LEASES_OF_PATIENCE
  }

  /** False when the member has not moved on for too long though it owes acknowledgements. */
  keepsUp(member: MemberId, nowMs: number): boolean {
    const { sent, acknowledged } = this.#position(member)
    if (acknowledged >= sent) {
      this.#behind.delete(member)
      return true
    }
    const behind = this.#behind.get(member)
    if (!behind || behind.acknowledged !== acknowledged) {
      this.#behind.set(member, { acknowledged, sinceMs: nowMs })
      return true
    }
    return nowMs - behind.sinceMs < this.#patienceMs
  }
}
