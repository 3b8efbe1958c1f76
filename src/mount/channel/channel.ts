/**
 * A channel carries FUSE requests from the kernel and replies to it. Two implementations: the
 * native addon (poll-driven) and the thread-pool fallback that needs no native code.
 */
import type { BareInodes } from './bare-inodes.ts'
import type { PlainHandleTable } from './plain-handles.ts'
import type { ReadyAttributes } from './ready-attributes.ts'

export interface FuseChannelEvents {
  /**
   * One request as read from /dev/fuse. The buffer is the receiver's until it calls `release`
   * (exactly once), then the channel uses it again.
   */
  onRequest(request: Buffer, release: () => void): void
  /** The mount is gone (ENODEV) or reading failed; nothing comes after it. */
  onClose(error: Error | undefined): void
}

export interface FuseChannel {
  readonly kind: 'native' | 'threadpool'
  /** Undefined where every request comes to `onRequest`. */
  readonly bareInodes?: BareInodes
  readonly readyAttributes?: ReadyAttributes
  readonly plainHandles?: PlainHandleTable
  /** Where bytes lie in memory, behind the beginning of a page. */
  pageOffset?(bytes: Uint8Array): number
  start(events: FuseChannelEvents): void
  /**
   * Writes one reply (fuse_out_header first) in one call. A request the kernel no longer waits
   * for (ENOENT) is not an error. The parts are not used after return.
   */
  reply(parts: readonly Uint8Array[]): void
  /**
   * Writes one notification off the event loop, because the kernel may block it until other
   * requests are answered. Resolves when the kernel has taken it: false when it caches nothing of
   * what the message names (ENOENT).
   */
  notify(message: Uint8Array): Promise<boolean>
  /** The same at once, only for notifications the kernel never holds. */
  notifyNow(message: Uint8Array): boolean
  /** Stops reading and closes the descriptor; the kernel then answers ENOTCONN. */
  close(): Promise<void>
}
