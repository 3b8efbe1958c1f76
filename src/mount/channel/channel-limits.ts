/** The sizes and counts both channels keep to. */

/** The largest WRITE payload and so the largest request, as INIT must negotiate it. */
export const PAYLOAD_MAX_BYTES = 1024 * 1024

/**
 * The kernel wants room for fuse_in_header (40), fuse_write_in (40) and max_write; one page more
 * covers the headers and keeps payloads of page-sized slots aligned.
 */
export const REQUEST_MAX_BYTES = PAYLOAD_MAX_BYTES + 4096

export const REQUEST_HEADER_BYTES = 40
/** Larger requests get a buffer of their own at once. */
export const LENT_MAX_BYTES = 4096
const OPCODE_WRITE = 16
/**
 * One may wait for the lock of a directory, and so for a token; those on which a token depends have
 * to go on meanwhile.
 */
const NOTIFY_CONCURRENCY_MIN = 2

export interface ChannelLimits {
  /** Memory for requests that are read and not yet released. */
  readonly budgetBytes: number
  readonly notifyConcurrency: number
  readonly notifyWaitingMax: number
  /** How long `close` waits for notifications in the kernel before it aborts the connection. */
  readonly closeWaitMs: number
}

/** Blocked notifications and reads must leave threads for the reads and fsyncs they wait for. */
export function threadShare(): number {
  const configured = Number.parseInt(process.env['UV_THREADPOOL_SIZE'] ?? '', 10)
  const threads = Number.isSafeInteger(configured) && configured > 0 ? configured : 4
  return Math.min(4, Math.max(1, Math.floor(threads / 4)))
}

export function defaultChannelLimits(): ChannelLimits {
  return {
    budgetBytes: 48 * 1024 * 1024,
    notifyConcurrency: Math.max(NOTIFY_CONCURRENCY_MIN, threadShare()),
    notifyWaitingMax: 4096,
    closeWaitMs: 500
  }
}

/** A write is kept until its bytes are stored; every other request is let go when it is decoded. */
export function isKept(request: Buffer): boolean {
  return request.readUInt32LE(4) === OPCODE_WRITE
}

/** Whether what was read is one whole request: its header gives its own length. */
export function isWholeRequest(buffer: Buffer, sizeBytes: number): boolean {
  return sizeBytes >= REQUEST_HEADER_BYTES && buffer.readUInt32LE(0) === sizeBytes
}
