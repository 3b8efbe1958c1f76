/**
 * What the kernel may believe and for how long. RULES 23 and 26 are kept by whoever implements
 * this; the FUSE layer only asks at each answer.
 */
import type { Ino } from '../../fs/primitives.ts'
import { OpenReplyFlag } from './abi.ts'

/** The kind of answer the validity is for. */
export type AnswerKind = 'lookup' | 'create' | 'getattr' | 'setattr' | 'readdirplus'

export interface ValidityPolicy {
  /** Milliseconds the attributes of `ino` may be cached from this answer on. */
  attrValidMs(ino: Ino, kind: AnswerKind): number
  /** Milliseconds the name may be cached; not asked for READDIRPLUS, where it is always 0. */
  entryValidMs(parent: Ino, kind: AnswerKind): number
  /** OpenReplyFlag bits of an opened regular file. */
  fileOpenFlags(ino: Ino, flags: number): number
  /** OpenReplyFlag bits of an opened directory. */
  directoryOpenFlags(ino: Ino): number
}

/** No kernel caching at all: every stat asks, every read and write goes past the page cache. */
export const uncachedPolicy: ValidityPolicy = {
  attrValidMs: () => 0,
  entryValidMs: () => 0,
  fileOpenFlags: () => OpenReplyFlag.DIRECT_IO,
  directoryOpenFlags: () => 0
}
