/**
 * Where the member's right to answer is checked: before a request has any effect, and again right
 * before its answer is written (DESIGN 5: the lease is checked at each acknowledgement). The daemon
 * supplies it. Requests nobody waits for (FORGET, INTERRUPT, RELEASE, RELEASEDIR) and those about
 * the connection (INIT, DESTROY) pass without it, so that unmounting always works.
 */
import type { RequestContext } from '../../fs/filesystem-api.ts'

export interface RequestGate {
  /**
   * Nothing when the request may be served now, or a promise to wait for: an isolated member
   * blocks. Throws or rejects with FsError when it may not. It must end by itself or with
   * `ctx.signal`.
   */
  beforeServe(ctx: RequestContext, opcode: number): void | Promise<void>
  /**
   * Called when `beforeReply` refuses what was served: resolves when the right to answer is back,
   * rejects with FsError when it will not be for this answer.
   */
  untilReply(ctx: RequestContext, opcode: number): Promise<void>
  /** 0, or the errno to answer instead. Synchronous: nothing comes between it and the answer. */
  beforeReply(ctx: RequestContext, opcode: number): number
}

/** For a mount that needs nobody's leave. */
export const openGate: RequestGate = {
  beforeServe: () => {},
  untilReply: () => Promise.resolve(),
  beforeReply: () => 0
}
