/**
 * Which members do not hear this one, though they are heard: a connection may swallow what goes one way.
 * Each heartbeat says which one of this member's came last and how long ago that was.
 *
 * A member that was paused beats before it reads what has come meanwhile, so one heartbeat that says that
 * nothing came for long proves nothing. Between two beats it has read: it is deaf when two
 * that are at least half a beat apart name the same heartbeat as the last, the first of them more
 * than one beat after it came, the second more than two. On a new connection, on which nothing has come to it
 * yet, its first heartbeat counts for that one; and who was deaf still is, until something has come.
 */
import type { MemberId } from '../fs/primitives.ts'
import type { HeartbeatStamp } from './round-trips.ts'

const LATE_BEATS = 1
const DEAF_BEATS = 2
const APART_BEATS = 0.5

interface Heard {
  /** Which heartbeat of this member came last on the connection, by the member's word; 0: none. */
  readonly heardUs: number
  /** When that was, or its own first one, by the member's clock. */
  readonly sinceUs: number
  /** When it first said that another one is late. */
  lateUs: number | undefined
  isDeaf: boolean
}

export class Hearing {
  readonly #beatUs: number
  readonly #members = new Map<MemberId, Heard>()

  constructor(options: { readonly heartbeatMs: number }) {
    this.#beatUs = options.heartbeatMs * 1000
  }

  /** A heartbeat of the member came. */
  heard(member: MemberId, { sentUs, heardUs, heldUs }: HeartbeatStamp): void {
    let last = this.#members.get(member)
    if (last?.heardUs !== heardUs) {
      const isDeaf = heardUs === 0 && this.isDeaf(member)
      last = { heardUs, sinceUs: sentUs - heldUs, lateUs: undefined, isDeaf }
      this.#members.set(member, last)
    }
    const silentUs = sentUs - last.sinceUs
    if (silentUs <= LATE_BEATS * this.#beatUs) return
    last.lateUs ??= sentUs
    const isSaidAgain = sentUs - last.lateUs >= APART_BEATS * this.#beatUs
    if (isSaidAgain && silentUs > DEAF_BEATS * this.#beatUs) last.isDeaf = true
  }

  /** False as well when nothing is known. */
  isDeaf(member: MemberId): boolean {
    return this.#members.get(member)?.isDeaf ?? false
  }
}
