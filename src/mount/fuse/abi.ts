/**
 * The Linux FUSE ABI as data: opcodes, flag bits and struct sizes of include/uapi/linux/fuse.h
 * (protocol 7.45). Little-endian hosts only; see native-notes/fuse-protocol.md.
 */

import { PAYLOAD_MAX_BYTES } from '../channel/channel-limits.ts'

export const PROTOCOL_MAJOR = 7
/** Newest minor this code knows; the smaller of it and the kernel's is spoken. */
export const PROTOCOL_MINOR = 45
/** Linux 5.4. */
export const PROTOCOL_MINOR_MIN = 31
/** First minor with NOTIFY_INC_EPOCH (Linux 6.16). */
export const PROTOCOL_MINOR_INC_EPOCH = 44

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53
} as const

/** Opcodes are below this: the size of tables indexed by opcode. */
export const OPCODE_LIMIT = 64

const opcodeNames: readonly (string | undefined)[] = namesByValue(Opcode)

function namesByValue(table: Readonly<Record<string, number>>): (string | undefined)[] {
  const names: (string | undefined)[] = []
  for (const [name, value] of Object.entries(table)) names[value] = name
  return names
}

/** `LOOKUP`, or `OPCODE_99` for one this code does not know. */
export function opcodeName(opcode: number): string {
  return opcodeNames[opcode] ?? `OPCODE_${opcode}`
}

/** INIT flags, bits 0..31 (`flags`). */
export const InitFlag = {
  ASYNC_READ: 0x1,
  POSIX_LOCKS: 0x2,
  FILE_OPS: 0x4,
  ATOMIC_O_TRUNC: 0x8,
  EXPORT_SUPPORT: 0x10,
  BIG_WRITES: 0x20,
  DONT_MASK: 0x40,
  SPLICE_WRITE: 0x80,
  SPLICE_MOVE: 0x100,
  SPLICE_READ: 0x200,
  FLOCK_LOCKS: 0x400,
  HAS_IOCTL_DIR: 0x800,
  AUTO_INVAL_DATA: 0x1000,
  DO_READDIRPLUS: 0x2000,
  READDIRPLUS_AUTO: 0x4000,
  ASYNC_DIO: 0x8000,
  WRITEBACK_CACHE: 0x10000,
  NO_OPEN_SUPPORT: 0x20000,
  PARALLEL_DIROPS: 0x40000,
  HANDLE_KILLPRIV: 0x80000,
  POSIX_ACL: 0x100000,
  ABORT_ERROR: 0x200000,
  MAX_PAGES: 0x400000,
  CACHE_SYMLINKS: 0x800000,
  NO_OPENDIR_SUPPORT: 0x1000000,
  EXPLICIT_INVAL_DATA: 0x2000000,
  MAP_ALIGNMENT: 0x4000000,
  SUBMOUNTS: 0x8000000,
  HANDLE_KILLPRIV_V2: 0x10000000,
  SETXATTR_EXT: 0x20000000,
  INIT_EXT: 0x40000000
} as const

/** INIT flags, bits 32..63 shifted down (`flags2`). */
export const InitFlag2 = {
  SECURITY_CTX: 0x1,
  HAS_INODE_DAX: 0x2,
  CREATE_SUPP_GROUP: 0x4,
  HAS_EXPIRE_ONLY: 0x8,
  DIRECT_IO_ALLOW_MMAP: 0x10,
  PASSTHROUGH: 0x20,
  NO_EXPORT_SUPPORT: 0x40,
  HAS_RESEND: 0x80,
  ALLOW_IDMAP: 0x100,
  OVER_IO_URING: 0x200,
  REQUEST_TIMEOUT: 0x400
} as const

export const SetAttrValid = {
  MODE: 0x1,
  UID: 0x2,
  GID: 0x4,
  SIZE: 0x8,
  ATIME: 0x10,
  MTIME: 0x20,
  FH: 0x40,
  ATIME_NOW: 0x80,
  MTIME_NOW: 0x100,
  LOCKOWNER: 0x200,
  CTIME: 0x400,
  KILL_SUIDGID: 0x800
} as const

export const OpenReplyFlag = {
  DIRECT_IO: 0x1,
  KEEP_CACHE: 0x2,
  NONSEEKABLE: 0x4,
  CACHE_DIR: 0x8,
  STREAM: 0x10,
  NOFLUSH: 0x20,
  PARALLEL_DIRECT_WRITES: 0x40
} as const

/** fuse_setxattr_in.setxattr_flags. */
export const SetXattrFlag = { ACL_KILL_SGID: 0x1 } as const
export const ReadFlag = { LOCKOWNER: 0x2 } as const
export const WriteFlag = { CACHE: 0x1, LOCKOWNER: 0x2, KILL_SUIDGID: 0x4 } as const
export const ReleaseFlag = { FLUSH: 0x1, FLOCK_UNLOCK: 0x2 } as const
export const GetAttrFlag = { FH: 0x1 } as const
export const LockFlag = { FLOCK: 0x1 } as const
export const FsyncFlag = { DATA_ONLY: 0x1 } as const
export const RenameFlag = { NOREPLACE: 0x1, EXCHANGE: 0x2, WHITEOUT: 0x4 } as const
export const InvalEntryFlag = { EXPIRE_ONLY: 0x1 } as const

/** open(2) flags (asm-generic) as they stand in requests. */
export const OpenFlag = {
  WRONLY: 0o1,
  RDWR: 0o2,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  DIRECT: 0o40000,
  LARGEFILE: 0o100000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  SYNC: 0o4000000
} as const

/** STATX_BASIC_STATS and STATX_BTIME of statx(2): what an answer to STATX tells. */
export const STATX_MASK = 0xfff

/** Codes of unsolicited messages, in the error field of the header with unique 0. */
export const NotifyCode = { INVAL_INODE: 2, INVAL_ENTRY: 3, DELETE: 6, INC_EPOCH: 8 } as const

/** Set in `unique` of an INTERRUPT request; the rest is the interrupted request's. */
export const INTERRUPT_UNIQUE_BIT = 1

/** F_RDLCK, F_WRLCK, F_UNLCK of fcntl(2) as they stand in struct fuse_file_lock. */
export const LockTypeCode = { READ: 0, WRITE: 1, UNLOCK: 2 } as const

/** Sizes in bytes of the fixed part of requests and replies. */
export const Size = {
  IN_HEADER: 40,
  OUT_HEADER: 16,
  ATTR: 88,
  ENTRY_OUT: 128,
  ATTR_OUT: 104,
  OPEN_OUT: 16,
  WRITE_OUT: 8,
  STATFS_OUT: 80,
  GETXATTR_OUT: 8,
  LSEEK_OUT: 8,
  LK_OUT: 24,
  STATX_OUT: 288,
  INIT_OUT: 64,
  INIT_IN_MIN: 16,
  INIT_IN_EXT: 20,
  DIRENT: 24,
  /** struct fuse_direntplus without the name. */
  DIRENT_PLUS: 152,
  FORGET_ONE: 16,
  WRITE_IN: 40
} as const

/** Largest payload of one READ or WRITE: 256 pages of 4 KiB. */
export const MAX_IO_BYTES = PAYLOAD_MAX_BYTES
/** fuse_init_out.max_pages that goes with MAX_IO_BYTES. */
export const MAX_IO_PAGES = 256
/** Largest request: header, fuse_write_in and the payload. */
export const MAX_REQUEST_BYTES = Size.IN_HEADER + Size.WRITE_IN + MAX_IO_BYTES
