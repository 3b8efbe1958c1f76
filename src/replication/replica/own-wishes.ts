/**
 * What this member asks a leader for, again and again until a record answers it: to become live,
 * and what became of a seal whose leader is gone.
 *
 * It asks to become live only when little is missing: everybody waits for the rest, sealed.
 */
import type { Clock } from '../../fs/ports/clock.ts'
import type { MemberId, WriterId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { EpochRecord } from '../record.ts'
import type { CatchUp } from './catch-up.ts'
import type { OwnSeals } from './own-seals.ts'
import type { PeerLinks } from './peer-links.ts'

const JOIN_LAG_MAX = 256
const JOIN_BYTES_MAX = 4 * 1024 * 1024
/** A seal that nothing follows for so long was given by a leader that is gone. */
const SEALED_PATIENCE_MS = 1500

export interface OwnWishesComponents {
  readonly self: MemberId
  readonly writer: WriterId
  readonly record: () => EpochRecord
  /** Who is asked. */
  readonly leader: () => MemberId
  readonly links: PeerLinks
  readonly catchUp: Pick<CatchUp, 'lag'>
  readonly seals: Pick<OwnSeals, 'isGiven' | 'sinceMs' | 'announcedAfter'>
  readonly clock: Clock
  /** Bytes of slices that entries wait for, counted up to `limit`. */
  readonly missingBytes: (limit: number) => number
}

export class OwnWishes {
  readonly #components: OwnWishesComponents

  constructor(components: OwnWishesComponents) {
    this.#components = components
  }

  /** For a member that catches up. */
  askToJoin(): void {
    const { links, record, leader, writer, self, seals } = this.#components
    // Once sealed it takes nothing more before it is sealed again.
    if (!seals.isGiven && this.#isBehind()) return
    const { live, epoch } = record()
    if (live.includes(writer) || live.some((w) => memberOf(w) === self)) return
    links.sendControl(leader(), { type: 'join', epoch, want: 'in-sync' })
  }

  /** A sealed member waits for too long: who leads now may not know of an earlier leader's seal. */
  get missesRecord(): boolean {
    const { record, seals, clock } = this.#components
    if (clock.monotonicMs() - seals.sinceMs < SEALED_PATIENCE_MS) return false
    return seals.announcedAfter(record().epoch)
  }

  /** Asks everybody, for nobody may be known to lead. */
  askToUnseal(): void {
    const { links, record } = this.#components
    const { epoch } = record()
    for (const member of links.connected()) {
      links.sendControl(member, { type: 'join', epoch, want: 'unsealed' })
    }
  }

  #isBehind(): boolean {
    const { catchUp, missingBytes } = this.#components
    return catchUp.lag() > JOIN_LAG_MAX || missingBytes(JOIN_BYTES_MAX) >= JOIN_BYTES_MAX
  }
}
