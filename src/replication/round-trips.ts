/**
 * How long a message to another member and its answer take together: network, event loops and
 * encryption of both. Measured by the heartbeats that go both ways anyway: each says when it was
 * sent, which one of the receiver's came last before it and how long ago that was. For reports only.
 */
import type { Clock } from '../fs/ports/clock.ts'
import type { MemberId } from '../fs/primitives.ts'

/** Times in whole microseconds. */
export interface HeartbeatStamp {
  /** Sender's clock when the heartbeat was sent. */
  readonly sentUs: number
  /** `sentUs` of the last heartbeat that came from the receiver; 0 = none on this connection. */
  readonly heardUs: number
  /** How long ago that one came. */
  readonly heldUs: number
}

interface Heard {
  readonly sentUs: number
  readonly atUs: number
}

/** The least of so many is told: what waiting for a busy processor adds is left out. */
const SAMPLES = 8
/** A heartbeat that took longer belongs to a connection that is cut for silence. */
const SAMPLE_MAX_US = 60_000_000
const US_PER_MS = 1000

export class RoundTrips {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #heard = new Map<MemberId, Heard>()
  readonly #samplesUs = new Map<MemberId, number[]>()

  constructor(components: { readonly clock: Pick<Clock, 'monotonicMs'> }) {
    this.#clock = components.clock
  }

  /** For the heartbeat that is sent to the member now. */
  stamp(member: MemberId): HeartbeatStamp {
    const sentUs = this.#nowUs()
    const heard = this.#heard.get(member)
    if (heard === undefined) return { sentUs, heardUs: 0, heldUs: 0 }
    return { sentUs, heardUs: heard.sentUs, heldUs: sentUs - heard.atUs }
  }

  /** A heartbeat of the member came. */
  heard(member: MemberId, { sentUs, heardUs, heldUs }: HeartbeatStamp): void {
    const atUs = this.#nowUs()
    this.#heard.set(member, { sentUs, atUs })
    if (heardUs === 0) return
    const sampleUs = atUs - heardUs - heldUs
    // What another clock or a wrong member says may be anything.
    if (sampleUs > SAMPLE_MAX_US || sampleUs < -SAMPLE_MAX_US) return
    const samples = this.#samplesUs.get(member) ?? []
    samples.push(Math.max(0, sampleUs))
    if (samples.length > SAMPLES) samples.shift()
    this.#samplesUs.set(member, samples)
  }

  /** The connection is gone: the next one may be another way, to another start of the member. */
  forget(member: MemberId): void {
    this.#heard.delete(member)
    this.#samplesUs.delete(member)
  }

  /** The least of the last few, in milliseconds; undefined when nothing was measured. */
  leastMs(member: MemberId): number | undefined {
    const samples = this.#samplesUs.get(member)
    return samples === undefined ? undefined : Math.min(...samples) / US_PER_MS
  }

  #nowUs(): number {
    return Math.floor(this.#clock.monotonicMs() * US_PER_MS)
  }
}
