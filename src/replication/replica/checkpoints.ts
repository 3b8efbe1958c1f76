/**
 * What the live members have in their durable checkpoints, as their heartbeats say. Dead slices
 * may be punched only when what freed them is in all of them (RULES 11), and in the own one of a member
 * that is not live yet: it may be in sync soon, and fall back to its journal.
 */
import type { StatePosition } from '../../fs/ports/state-machine.ts'
import type { MemberId } from '../../fs/primitives.ts'
import { memberOf } from '../../fs/primitives.ts'
import type { HeartbeatMessage } from '../messages.ts'
import type { EpochRecord } from '../record.ts'
import { type Vector, vectorCovers } from '../vector.ts'
import { liveVector } from './live-vector.ts'

export interface CheckpointsComponents {
  readonly self: MemberId
  readonly record: () => EpochRecord
  /** The durable checkpoint of this member. */
  readonly own: () => StatePosition
}

type CheckpointNews = Pick<HeartbeatMessage, 'checkpointed' | 'checkpointEpoch'>

export class Checkpoints {
  readonly #components: CheckpointsComponents
  readonly #others = new Map<MemberId, StatePosition>()

  constructor(components: CheckpointsComponents) {
    this.#components = components
  }

  heard(from: MemberId, { checkpointed, checkpointEpoch }: CheckpointNews): void {
    this.#others.set(from, { epoch: checkpointEpoch, applied: checkpointed })
  }

  /** What this member's heartbeat says. */
  news(): CheckpointNews {
    const { applied, epoch } = this.#components.own()
    const checkpointed = liveVector(this.#components.record(), applied)
    return { checkpointed, checkpointEpoch: epoch }
  }

  /** True when this and every live member has a durable checkpoint of this epoch that covers the vector. */
  coverEverywhere(vector: Vector): boolean {
    const { self, own } = this.#components
    const record = this.#components.record()
    const live = liveVector(record, vector)
    return [self, ...record.live.map(memberOf)].every((member) => {
      const position = member === self ? own() : this.#others.get(member)
      return position?.epoch === record.epoch && vectorCovers(position.applied, live)
    })
  }
}
