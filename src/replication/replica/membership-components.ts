/** What a member's place in the epochs rests on (membership.ts). */
import type { Clock } from '../../fs/ports/clock.ts'
import type { Logger } from '../../fs/ports/logger.ts'
import type { Epoch, MemberId, WriterId } from '../../fs/primitives.ts'
import type { Admission } from '../admission.ts'
import type { Lease, LeaseOptions, LeasePromises } from '../lease.ts'
import type { HeartbeatMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import type { RegisterNode } from '../register/register-node.ts'
import type { Vector } from '../vector.ts'
import type { CatchUp } from './catch-up.ts'
import type { PeerLinks } from './peer-links.ts'

/**
 * Why an incarnation is over. `rebuild`: its state holds what the volume does not have;
 * `outdated`: its state is older than what the volume remembers;
 * `transferred`: the state of another member is here, and the next one opens it.
 */
export type EndReason = 'expelled' | 'rebuild' | 'outdated' | 'transferred' | 'removed' | 'isolated'

export interface MembershipComponents {
  readonly self: MemberId
  readonly writer: WriterId
  readonly coreKey: string
  readonly links: PeerLinks & { cut(member: MemberId, reason: string): void }
  readonly catchUp: CatchUp
  readonly admission: Admission
  readonly clock: Clock
  readonly logger: Logger
  readonly lease: Lease
  readonly promises: LeasePromises
  readonly register: Pick<
    RegisterNode,
    | 'leads'
    | 'ballot'
    | 'ownersBefore'
    | 'leaseLeftMs'
    | 'beat'
    | 'stop'
    | 'known'
    | 'propose'
    | 'resign'
    | 'connected'
  >
  /** It is heard and does not hear this one. */
  readonly isDeaf: (member: MemberId) => boolean
  /** What this member holds, before the replay already. */
  readonly held: () => Vector
  /** It has nothing at all of what the record says there is. */
  readonly lacksState: (record: EpochRecord) => boolean
  /** Fetches all of it from another member; ignored while that runs. */
  readonly fetchState: () => void
  /** Bytes of the state that was fetched are still to come. */
  readonly lacksData: () => boolean
  /** The last epoch this member's durable checkpoint has passed. */
  readonly passedEpoch: () => Epoch | 0
  readonly heartbeat: (to: MemberId) => Omit<HeartbeatMessage, 'type' | 'sentMs' | 'epoch'>
  /** Durable on return. */
  readonly saveRecord: (record: EpochRecord) => void
  /** The record is another one: dialing, durability, logs. */
  readonly onRecord: (record: EpochRecord) => void
  /**
   * Brings the state forward by the journal, without what the newest record makes void. Takes turns
   * with everything else; ends early when the incarnation does.
   */
  readonly replay: () => Promise<void>
  /** Stops serving; resolves when no op runs and all own entries are journaled. */
  readonly seal: () => Promise<void>
  /** Serves in the record's epoch. */
  readonly serve: (record: EpochRecord) => void
  readonly sync: () => Promise<Vector>
  readonly waitApplied: (vector: Vector) => Promise<void>
  /** Admits nothing of live writers beyond this, until the next record; undefined lifts it. */
  readonly limitIntake: (limit: Vector | undefined) => void
  /** Asks at once for the slices that entries wait for. */
  readonly fetchSlices: () => void
  /** Bytes of slices that entries wait for, counted up to `limit`. */
  readonly missingBytes: (limit: number) => number
  /** Notes the member has not acknowledged, for how long it may keep its lease. */
  readonly ownsUpToNotes: (member: MemberId, nowMs: number) => boolean
  /** Work that is done with each heartbeat. */
  readonly onBeat: () => void
  readonly onEnded: (reason: EndReason) => void
  readonly onFatal: (error: Error) => void
}

export interface MembershipOptions extends LeaseOptions {
  /** A member without a lease for so long gives up its incarnation: EIO for what waits. */
  readonly isolationMs: number
}
