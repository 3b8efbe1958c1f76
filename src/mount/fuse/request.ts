/** Requests of the kernel in typed form: what decode.ts makes of the bytes. */
import type { HandleId, SetAttrRequest } from '../../fs/filesystem-api.ts'
import type { LockRequest } from '../../fs/ports/lock-service.ts'
import type { Ino } from '../../fs/primitives.ts'

/** The 64-bit `unique` of a request, in two halves so that it comes back bit for bit. */
export interface RequestHeader {
  readonly opcode: number
  readonly uniqueLow: number
  readonly uniqueHigh: number
  readonly nodeid: Ino
  readonly uid: number
  readonly gid: number
  /** Thread id of the process in our pid namespace; 0 when it has none there. */
  readonly pid: number
}

export interface InitBody {
  readonly op: 'init'
  readonly major: number
  readonly minor: number
  readonly maxReadahead: number
  readonly flags: number
  readonly flags2: number
}

export interface WriteBody {
  readonly op: 'write'
  readonly handle: HandleId
  readonly offset: number
  /** A view into the request's buffer: valid until that is released. */
  readonly data: Buffer
  readonly writeFlags: number
  /** open(2) flags of the file at the time of the write; 0 for page-cache writeback. */
  readonly flags: number
  /** As in `flush`; undefined where the kernel does not say who writes. */
  readonly lockOwner: bigint | undefined
}

export interface LockBody {
  readonly handle: HandleId
  /** Its pid is that of the process, 0 in GETLK. */
  readonly request: LockRequest
}

/** The kernel lets go of so many of the times an answer gave it this inode. */
export interface Forgotten {
  readonly ino: Ino
  readonly lookups: number
}

/** Names and other byte strings are copies; only `write` refers to the request's buffer. */
export type RequestBody =
  | InitBody
  | WriteBody
  | { readonly op: 'destroy' }
  | { readonly op: 'interrupt'; readonly uniqueLow: number; readonly uniqueHigh: number }
  /** Of the inode in the header. */
  | { readonly op: 'forget'; readonly lookups: number }
  | { readonly op: 'batchForget'; readonly forgotten: readonly Forgotten[] }
  | { readonly op: 'lookup'; readonly name: Buffer }
  | { readonly op: 'getattr' }
  | { readonly op: 'statx' }
  | { readonly op: 'setattr'; readonly changes: SetAttrRequest }
  | { readonly op: 'readlink' }
  | { readonly op: 'symlink'; readonly name: Buffer; readonly target: Buffer }
  | {
      readonly op: 'mknod'
      readonly name: Buffer
      readonly mode: number
      readonly rdev: number
      readonly umask: number
    }
  | { readonly op: 'mkdir'; readonly name: Buffer; readonly mode: number; readonly umask: number }
  | { readonly op: 'unlink'; readonly name: Buffer }
  | { readonly op: 'rmdir'; readonly name: Buffer }
  | {
      readonly op: 'rename'
      readonly name: Buffer
      readonly newParent: Ino
      readonly newName: Buffer
      readonly flags: number
    }
  | { readonly op: 'link'; readonly target: Ino; readonly name: Buffer }
  | { readonly op: 'open'; readonly flags: number }
  | {
      readonly op: 'create'
      readonly name: Buffer
      readonly mode: number
      readonly flags: number
      readonly umask: number
    }
  | {
      readonly op: 'tmpfile'
      readonly mode: number
      readonly flags: number
      readonly umask: number
    }
  | {
      readonly op: 'read'
      readonly handle: HandleId
      readonly offset: number
      readonly size: number
      /** ReadFlag bits: LOCKOWNER in direct reads only. */
      readonly readFlags: number
      readonly flags: number
      readonly lockOwner: bigint | undefined
    }
  | { readonly op: 'flush'; readonly handle: HandleId; readonly lockOwner: bigint }
  | { readonly op: 'fsync'; readonly handle: HandleId; readonly dataOnly: boolean }
  | {
      readonly op: 'release'
      readonly handle: HandleId
      readonly flags: number
      readonly releaseFlags: number
    }
  | { readonly op: 'opendir'; readonly flags: number }
  | {
      readonly op: 'readdir'
      readonly handle: HandleId
      readonly cookie: number
      readonly size: number
      /** With attributes: READDIRPLUS. */
      readonly plus: boolean
    }
  | { readonly op: 'fsyncdir'; readonly handle: HandleId; readonly dataOnly: boolean }
  | { readonly op: 'releasedir'; readonly handle: HandleId; readonly flags: number }
  | { readonly op: 'statfs' }
  | {
      readonly op: 'setxattr'
      readonly name: Buffer
      readonly value: Buffer
      readonly flags: number
      /** An access control list that is set clears set-gid. */
      readonly killSetGid: boolean
    }
  | { readonly op: 'getxattr'; readonly name: Buffer; readonly size: number }
  | { readonly op: 'listxattr'; readonly size: number }
  | { readonly op: 'removexattr'; readonly name: Buffer }
  | {
      readonly op: 'fallocate'
      readonly handle: HandleId
      readonly offset: number
      readonly length: number
      readonly mode: number
    }
  | {
      readonly op: 'copy'
      readonly sourceHandle: HandleId
      readonly sourceOffset: number
      readonly target: Ino
      readonly handle: HandleId
      readonly offset: number
      readonly length: number
    }
  | {
      readonly op: 'lseek'
      readonly handle: HandleId
      readonly offset: number
      readonly whence: number
    }
  | ({ readonly op: 'getlk' } & LockBody)
  | ({ readonly op: 'setlk'; readonly wait: boolean } & LockBody)
  /** An opcode that is not served; its body is not looked at. */
  | { readonly op: 'unsupported' }

export type BodyOf<Op extends RequestBody['op']> = Extract<RequestBody, { readonly op: Op }>

export interface FuseRequest {
  readonly ok: true
  readonly header: RequestHeader
  readonly body: RequestBody
}

/** Bytes that are no valid request. Without a header there is nobody to answer. */
export interface MalformedRequest {
  readonly ok: false
  readonly header: RequestHeader | undefined
  /** For the process; positive. */
  readonly errno: number
  readonly reason: string
}
