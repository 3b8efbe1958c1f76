/** Byte ranges of file locks: first and last byte, both included, 0..LOCK_END. */
import { FsError } from '../errno.ts'
import { LOCK_END, type LockRequest } from '../ports/lock-service.ts'

export interface LockRange {
  readonly start: bigint
  readonly end: bigint
}

export const WHOLE_FILE: LockRange = { start: 0n, end: LOCK_END }

export function rangesOverlap(a: LockRange, b: LockRange): boolean {
  return a.start <= b.end && b.start <= a.end
}

/** The bytes in both; undefined when there are none. */
export function commonRange(a: LockRange, b: LockRange): LockRange | undefined {
  const { start } = a.start > b.start ? a : b
  const { end } = a.end < b.end ? a : b
  return start <= end ? { start, end } : undefined
}

export function isLockRange({ start, end }: LockRange): boolean {
  return start >= 0n && start <= end && end <= LOCK_END
}

/** Throws EINVAL for a request that no kernel rule gives a meaning. */
export function checkLockRequest(request: LockRequest): void {
  const { kind, type } = request
  if (kind !== 'record' && kind !== 'flock') throw new FsError('EINVAL', `lock kind ${kind}`)
  if (type !== 'read' && type !== 'write' && type !== 'unlock') {
    throw new FsError('EINVAL', `lock type ${type}`)
  }
  if (!isLockRange(request)) {
    throw new FsError('EINVAL', `lock range ${request.start}..${request.end}`)
  }
  if (kind === 'flock' && (request.start !== 0n || request.end !== LOCK_END)) {
    throw new FsError('EINVAL', 'flock covers the whole file')
  }
}
