/**
 * What the kernel may believe, and for how long. Asked at a request's arrival, and again when its
 * answer is written; kernel-cache.ts is the one that lets the kernel cache.
 */
import type { Ino } from '../../fs/primitives.ts'
import type { FuseChannel } from '../channel/channel.ts'
import { OpenReplyFlag } from './abi.ts'
import type { Reply } from './reply.ts'
import type { ServedRequest } from './served-request.ts'
import type { Session } from './session.ts'

/** Positions in the drops and changes seen so far. */
export interface CacheMark {
  readonly drops: number
  readonly changes: number
}

/** How the kernel is told, and what the channel answers by itself. */
export type PolicyChannel = Pick<
  FuseChannel,
  'notify' | 'notifyNow' | 'bareInodes' | 'readyAttributes' | 'plainHandles'
>

export interface CachePolicy {
  /** INIT was answered; nothing was asked of this policy before. */
  begin(session: Session, channel: PolicyChannel): void
  /** A request has arrived and is not served yet. */
  arrived(request: ServedRequest): void
  /** Taken when a request arrives: what is dropped after it makes the answer uncacheable. */
  mark(): CacheMark
  /** What an answer about the inode has to wait for; it rejects only when the mount is over. */
  beforeAnswer(ino: Ino): Promise<void> | undefined
  /** The same, for an answer that tells the attributes only; it may reject with ESTALE as well. */
  beforeAttributes(ino: Ino): Promise<void> | undefined
  /** A direct write was done, wherever its bytes went; what its answer has to wait for. */
  written(ino: Ino): Promise<void> | undefined
  /**
   * Puts validity and open flags into an answer. The answer is written in the same synchronous
   * piece, so that no drop comes between.
   */
  complete(request: ServedRequest, reply: Reply): void
  /** The answer was written, in this synchronous piece: what does not have to be done before that. */
  delivered(request: ServedRequest, reply: Reply): void
  /** The answer did not reach the kernel. */
  undelivered(reply: Reply): void
  /** FORGET: the kernel lets go of `lookups` of the times an answer gave it the inode. */
  forgotten(ino: Ino, lookups: number): void
}

const NO_MARK: CacheMark = { drops: 0, changes: 0 }

/** No kernel caching at all: every stat asks, every read and write goes past the page cache. */
export const uncachedPolicy: CachePolicy = {
  begin: () => {},
  arrived: () => {},
  mark: () => NO_MARK,
  beforeAnswer: () => undefined,
  beforeAttributes: () => undefined,
  written: () => undefined,
  complete: (_request, reply) => {
    if (reply.kind === 'create' || (reply.kind === 'open' && reply.regular)) {
      reply.openFlags = OpenReplyFlag.DIRECT_IO
    }
  },
  delivered: () => {},
  undelivered: () => {},
  forgotten: () => {}
}
