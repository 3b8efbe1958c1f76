/**
 * How much more than asked for a grant gives. The first to want an inode gets all of it; when it is
 * shared between several, each gets what lies free around its request. More never costs anybody a
 * right that is in use: what another member holds or a waiting request wants is left out.
 */
import { type ByteRange, RANGE_END, type TokenWant } from '../../fs/ports/token-service.ts'
import type { MemberId } from '../../fs/primitives.ts'
import {
  conflicts,
  type TokenObject,
  type TokenRequest,
  type TokenSpan,
  wantIn
} from './token-object.ts'
import { endOf, startOf } from './token-range.ts'

/** Behind the bytes asked for, others are told not to look at this much more at once. */
const GROWTH_MIN_BYTES = 256 * 1024

/** Where others are told not to look when `want` needs notes: at least its own range. */
export function noteRange(object: TokenObject, request: TokenRequest, want: TokenWant): ByteRange {
  const room = freeOfWaiters(object, request, want)
  const [only] = object.spans
  if (object.spans.length === 1 && only?.holder === undefined) return room
  const end = endOf(want)
  let growthBytes = GROWTH_MIN_BYTES
  for (const span of object.spans) {
    const isNeighbour = span.end === startOf(want) && span.holder === request.member
    // A writer that goes on asks half as often each time.
    if (isNeighbour) growthBytes = Math.max(growthBytes, span.end - span.start)
  }
  return { start: startOf(want), end: Math.min(room.end, Math.min(RANGE_END, end + growthBytes)) }
}

/** What the grant of `want` reaches over, all of which its member may have right now. */
export function grantRange(
  object: TokenObject,
  request: TokenRequest,
  want: TokenWant,
  members: Iterable<MemberId>
): ByteRange {
  const room = freeOfWaiters(object, request, want)
  const others = [...members].filter((member) => member !== request.member)
  const isFree = want.mode === 'exclusive' ? isFreeToChange : isFreeToRead
  let start = startOf(want)
  let end = endOf(want)
  for (const span of object.spans) {
    if (span.end <= end || span.start >= room.end) continue
    if (span.start > end || !isFree(span, request.member, others)) break
    end = Math.min(span.end, room.end)
  }
  for (const span of object.spans.toReversed()) {
    if (span.start >= start || span.end <= room.start) continue
    if (span.end < start || !isFree(span, request.member, others)) break
    start = Math.max(span.start, room.start)
  }
  return { start, end }
}

function isFreeToChange(span: TokenSpan, member: MemberId, others: readonly MemberId[]): boolean {
  if (span.holder !== undefined) return span.holder === member && !span.recalled
  return !span.pendingNotes.has(member) && others.every((id) => span.noted.has(id))
}

function isFreeToRead(span: TokenSpan, member: MemberId): boolean {
  return span.holder === undefined && !span.pendingNotes.has(member)
}

/** The bytes around `want` that no other waiting request is in conflict about. */
function freeOfWaiters(object: TokenObject, request: TokenRequest, want: TokenWant): ByteRange {
  const start = startOf(want)
  const end = endOf(want)
  let low = 0
  let high = RANGE_END
  for (const other of object.queue) {
    if (other === request) continue
    const wanted = wantIn(other, object.ino)
    if (!conflicts({ ino: want.ino, mode: want.mode }, wanted)) continue
    if (startOf(wanted) < start) low = Math.max(low, Math.min(endOf(wanted), start))
    if (endOf(wanted) > end) high = Math.min(high, Math.max(startOf(wanted), end))
  }
  return { start: low, end: high }
}
