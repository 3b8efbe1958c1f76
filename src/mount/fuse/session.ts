/**
 * INIT: what this side and the kernel agree on. Pure. Only flags the kernel offers are asked for;
 * FUSE_WRITEBACK_CACHE never (RULES 24), FUSE_AUTO_INVAL_DATA always (RULES 23: without it attribute
 * timeouts do not bound cached reads). ATOMIC_O_TRUNC stays off: the kernel sends SETATTR for it.
 * CACHE_SYMLINKS: the target of an inode never changes. DO_READDIRPLUS where names may be cached at
 * all, else each would be asked for again; AUTO leaves it to the kernel to see whether they are
 * looked at. EXPORT_SUPPORT stays off: lookups of
 * "." and ".." are not served. POSIX_LOCKS and FLOCK_LOCKS come together: without them fcntl and
 * flock exclude processes of this machine only. DONT_MASK goes with POSIX_ACL: a default access
 * control list takes the place of the umask.
 */
import {
  InitFlag,
  InitFlag2,
  MAX_IO_BYTES,
  MAX_IO_PAGES,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  PROTOCOL_MINOR_INC_EPOCH,
  PROTOCOL_MINOR_MIN
} from './abi.ts'
import type { InitReply } from './reply.ts'
import type { BodyOf } from './request.ts'

/** Without these a mount would be wrong, not only slow. */
const requiredFlags =
  InitFlag.BIG_WRITES |
  InitFlag.MAX_PAGES |
  InitFlag.AUTO_INVAL_DATA |
  InitFlag.POSIX_LOCKS |
  InitFlag.FLOCK_LOCKS

const wantedFlags =
  requiredFlags |
  InitFlag.ASYNC_READ |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.DONT_MASK |
  InitFlag.POSIX_ACL |
  InitFlag.SETXATTR_EXT |
  InitFlag.INIT_EXT

const listingFlags = InitFlag.DO_READDIRPLUS | InitFlag.READDIRPLUS_AUTO

const wantedFlags2 = InitFlag2.DIRECT_IO_ALLOW_MMAP

export interface SessionLimits {
  /** Asynchronous requests the kernel sends at the same time. */
  readonly maxBackground: number
  /** From here on the kernel reports congestion. */
  readonly congestionThreshold: number
}

export const defaultSessionLimits: SessionLimits = { maxBackground: 128, congestionThreshold: 96 }

/** What was agreed, for status and for choosing how to invalidate. */
export interface Session {
  readonly minor: number
  readonly flags: number
  readonly flags2: number
  /** Shared mappings of files opened with DIRECT_IO work (Linux 6.6). */
  readonly directIoMmap: boolean
  /** The kernel takes NOTIFY_INC_EPOCH (Linux 6.16, RULES 31). */
  readonly incEpoch: boolean
  /** NOTIFY_INVAL_ENTRY takes EXPIRE_ONLY (Linux 6.2). */
  readonly expireOnly: boolean
}

export type Negotiation =
  | { readonly kind: 'agreed'; readonly session: Session; readonly reply: InitReply }
  /** The kernel speaks a newer major: it is told ours and asks again. */
  | { readonly kind: 'again'; readonly reply: InitReply }
  | { readonly kind: 'refused'; readonly reason: string }

export function negotiate(
  init: BodyOf<'init'>,
  limits: SessionLimits = defaultSessionLimits
): Negotiation {
  if (init.major > PROTOCOL_MAJOR) {
    return { kind: 'again', reply: initReply(PROTOCOL_MINOR, 0, 0, limits) }
  }
  if (init.major < PROTOCOL_MAJOR || init.minor < PROTOCOL_MINOR_MIN) {
    const oldest = `${PROTOCOL_MAJOR}.${PROTOCOL_MINOR_MIN}`
    const reason = `the kernel speaks FUSE ${init.major}.${init.minor}, ${oldest} is needed`
    return { kind: 'refused', reason }
  }
  const missing = requiredFlags & ~init.flags
  if (missing !== 0) {
    return { kind: 'refused', reason: `the kernel lacks FUSE flags 0x${missing.toString(16)}` }
  }
  const minor = Math.min(init.minor, PROTOCOL_MINOR)
  const incEpoch = minor >= PROTOCOL_MINOR_INC_EPOCH
  const flags = (incEpoch ? wantedFlags | listingFlags : wantedFlags) & init.flags
  const flags2 = flags & InitFlag.INIT_EXT ? wantedFlags2 & init.flags2 : 0
  const session: Session = {
    minor,
    flags,
    flags2,
    directIoMmap: (flags2 & InitFlag2.DIRECT_IO_ALLOW_MMAP) !== 0,
    incEpoch,
    expireOnly: (init.flags2 & InitFlag2.HAS_EXPIRE_ONLY) !== 0
  }
  return { kind: 'agreed', session, reply: initReply(minor, flags, flags2, limits) }
}

function initReply(minor: number, flags: number, flags2: number, limits: SessionLimits): InitReply {
  return {
    kind: 'init',
    major: PROTOCOL_MAJOR,
    minor,
    // The kernel takes the least of this and what its device has by then (see read-ahead.ts).
    maxReadahead: MAX_IO_BYTES,
    flags,
    flags2,
    maxBackground: limits.maxBackground,
    congestionThreshold: limits.congestionThreshold,
    maxWrite: MAX_IO_BYTES,
    maxPages: MAX_IO_PAGES
  }
}
