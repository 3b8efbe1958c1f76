/** Ranges of bytes as tokens see them: whole pages, the end of the last one open. */
import {
  type ByteRange,
  RANGE_END,
  type TokenMode,
  type TokenWant
} from '../../fs/ports/token-service.ts'
import type { Ino } from '../../fs/primitives.ts'

/** Tokens never split a page: it is what kernels cache and send. */
export const TOKEN_PAGE_BYTES = 4096

/** What names all of an inode or a range of it. */
export interface Ranged {
  readonly range?: ByteRange
}

/** First byte, at the start of its page. */
export function startOf({ range }: Ranged): number {
  return range === undefined ? 0 : range.start - (range.start % TOKEN_PAGE_BYTES)
}

/** Behind the last byte, at the end of its page; an empty range is its page. */
export function endOf({ range }: Ranged): number {
  if (range === undefined) return RANGE_END
  const end = Math.max(range.end, range.start + 1)
  const beyond = end % TOKEN_PAGE_BYTES
  return Math.min(beyond === 0 ? end : end - beyond + TOKEN_PAGE_BYTES, RANGE_END)
}

/** The part of an item that says its range: nothing for all of the inode. */
export function rangePart(start: number, end: number): Ranged {
  return start === 0 && end === RANGE_END ? {} : { range: { start, end } }
}

export function overlapsAny(ranges: readonly ByteRange[], start: number, end: number): boolean {
  for (let i = 0; i < ranges.length; i++) {
    const range = ranges[i] as ByteRange
    if (range.start < end && range.end > start) return true
  }
  return false
}

/** The ranges, disjoint and in order, with [start, end) among them. */
export function addRange(ranges: readonly ByteRange[], start: number, end: number): ByteRange[] {
  const before = ranges.filter((range) => range.end < start)
  const behind = ranges.filter((range) => range.start > end)
  let joinedStart = start
  let joinedEnd = end
  for (const range of ranges.slice(before.length, ranges.length - behind.length)) {
    joinedStart = Math.min(joinedStart, range.start)
    joinedEnd = Math.max(joinedEnd, range.end)
  }
  return [...before, { start: joinedStart, end: joinedEnd }, ...behind]
}

/** The ranges, disjoint and in order, without [start, end). */
export function subtractRange(
  ranges: readonly ByteRange[],
  start: number,
  end: number
): ByteRange[] {
  const rest: ByteRange[] = []
  for (const range of ranges) {
    if (range.end <= start || range.start >= end) {
      rest.push(range)
      continue
    }
    if (range.start < start) rest.push({ start: range.start, end: start })
    if (range.end > end) rest.push({ start: end, end: range.end })
  }
  return rest
}

/** Each inode once, in the order given: the strongest mode over all that is named of it. */
export function strongestWants(wants: readonly TokenWant[]): readonly TokenWant[] {
  if (wants.length < 2) return wants
  const strongest = new Map<Ino, TokenWant>()
  for (const want of wants) {
    const known = strongest.get(want.ino)
    strongest.set(want.ino, known === undefined ? want : joinWants(known, want))
  }
  return [...strongest.values()]
}

function joinWants(a: TokenWant, b: TokenWant): TokenWant {
  const exclusive = a.mode === 'exclusive' || b.mode === 'exclusive'
  const mode: TokenMode = exclusive ? 'exclusive' : 'shared'
  const start = Math.min(startOf(a), startOf(b))
  return { ino: a.ino, mode, ...rangePart(start, Math.max(endOf(a), endOf(b))) }
}

/** True when every want of `wanted` is met by one of `wants`. */
export function coversWants(wants: readonly TokenWant[], wanted: readonly TokenWant[]): boolean {
  return wanted.every((want) =>
    wants.some(
      (have) =>
        have.ino === want.ino &&
        (have.mode === 'exclusive' || have.mode === want.mode) &&
        startOf(have) <= startOf(want) &&
        endOf(have) >= endOf(want)
    )
  )
}
