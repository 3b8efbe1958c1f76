/** Replies to the kernel in typed form: what encode.ts makes bytes of. */
import type { Attr } from '../../fs/attr.ts'
import type { HandleId, LockInTheWay, StatFs } from '../../fs/filesystem-api.ts'
import type { Listing } from './listing.ts'

export interface InitReply {
  readonly kind: 'init'
  readonly major: number
  readonly minor: number
  readonly maxReadahead: number
  readonly flags: number
  readonly flags2: number
  readonly maxBackground: number
  readonly congestionThreshold: number
  readonly maxWrite: number
  readonly maxPages: number
}

/**
 * What a process is told of an inode. Validity in milliseconds, and open flags, are the policy's:
 * nothing until it puts them in.
 */
export interface EntryReply {
  readonly kind: 'entry'
  readonly attr: Attr
  entryValidMs: number
  attrValidMs: number
}

/** There is no such name: ENOENT, which the kernel may remember. */
export interface AbsentReply {
  readonly kind: 'absent'
  entryValidMs: number
}

export interface AttrReply {
  readonly kind: 'attr'
  readonly attr: Attr
  attrValidMs: number
}

/** Everything STATX_BTIME and the basic fields of statx(2) ask for. */
export interface StatxReply {
  readonly kind: 'statx'
  readonly attr: Attr
  attrValidMs: number
}

export interface OpenReply {
  readonly kind: 'open'
  readonly handle: HandleId
  /** False for a directory. */
  readonly regular: boolean
  /** OpenReplyFlag bits. */
  openFlags: number
}

export interface CreateReply {
  readonly kind: 'create'
  readonly attr: Attr
  entryValidMs: number
  attrValidMs: number
  readonly handle: HandleId
  openFlags: number
}

/** Entries with attributes; none of them is given to the kernel until the policy does. */
export interface ListingReply {
  readonly kind: 'listing'
  readonly listing: Listing
}

export type Reply =
  | { readonly kind: 'error'; readonly errno: number }
  /** Success without a body. */
  | { readonly kind: 'ok' }
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'written'; readonly sizeBytes: number }
  | { readonly kind: 'xattrSize'; readonly sizeBytes: number }
  | { readonly kind: 'position'; readonly offset: number }
  | { readonly kind: 'statfs'; readonly statfs: StatFs }
  /** `undefined`: the lock could be had. */
  | { readonly kind: 'lock'; readonly conflict: LockInTheWay | undefined }
  | InitReply
  | EntryReply
  | AbsentReply
  | AttrReply
  | StatxReply
  | OpenReply
  | CreateReply
  | ListingReply

export const okReply: Reply = { kind: 'ok' }

export function errorReply(errno: number): Reply {
  return { kind: 'error', errno }
}
