/** fuse-native 2.2.6, as far as the driver of that name uses it. */
declare module 'fuse-native' {
  /** 0 or a positive result (bytes, a handle comes as second argument); negative errno. */
  export type Answer = (result: number) => void

  /** Times are milliseconds since the epoch. Numbers beyond 32 bits: only size, blocks, times. */
  export interface NativeStat {
    readonly mode: number
    readonly uid: number
    readonly gid: number
    readonly size: number
    readonly nlink: number
    readonly rdev: number
    readonly blksize: number
    readonly blocks: number
    readonly atime: number
    readonly mtime: number
    readonly ctime: number
  }

  export interface NativeStatfs {
    readonly bsize: number
    readonly frsize: number
    readonly blocks: number
    readonly bfree: number
    readonly bavail: number
    readonly files: number
    readonly ffree: number
    readonly favail: number
    readonly namemax: number
  }

  /** What is missing here libfuse answers with ENOSYS. None may throw. */
  export interface Operations {
    getattr(path: string, answer: (errno: number, stat?: NativeStat) => void): void
    /** Declares that `_op_fgetattr` is there; never called itself. */
    fgetattr(path: string, fd: number, answer: Answer): void
    readlink(path: string, answer: (errno: number, target?: string) => void): void
    readdir(
      path: string,
      answer: (errno: number, names?: string[], stats?: { readonly mode: number }[]) => void
    ): void
    mknod(path: string, mode: number, device: number, answer: Answer): void
    mkdir(path: string, mode: number, answer: Answer): void
    symlink(target: string, path: string, answer: Answer): void
    link(path: string, newPath: string, answer: Answer): void
    unlink(path: string, answer: Answer): void
    rmdir(path: string, answer: Answer): void
    rename(path: string, newPath: string, answer: Answer): void
    chmod(path: string, mode: number, answer: Answer): void
    /** 2^32-1: leave as it is. */
    chown(path: string, uid: number, gid: number, answer: Answer): void
    truncate(path: string, size: number, answer: Answer): void
    ftruncate(path: string, fd: number, size: number, answer: Answer): void
    utimens(path: string, atimeMs: number, mtimeMs: number, answer: Answer): void
    open(path: string, flags: number, answer: (errno: number, fd?: number) => void): void
    /** `buffer` is libfuse's and may be used until the answer. */
    read(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      answer: Answer
    ): void
    write(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      answer: Answer
    ): void
    flush(path: string, fd: number, answer: Answer): void
    fsync(path: string, dataOnly: number, fd: number, answer: Answer): void
    release(path: string, fd: number, answer: Answer): void
    fsyncdir(path: string, dataOnly: number, fd: number, answer: Answer): void
    statfs(path: string, answer: (errno: number, statfs?: NativeStatfs) => void): void
    setxattr(
      path: string,
      name: string,
      value: Buffer,
      position: number,
      flags: number,
      answer: Answer
    ): void
    /** As fgetattr. */
    getxattr(path: string, name: string, position: number, answer: Answer): void
    /** As fgetattr. */
    listxattr(path: string, answer: Answer): void
    removexattr(path: string, name: string, answer: Answer): void
  }

  export interface Options {
    readonly fsname: string
    /** false: none. */
    readonly timeout: false
  }

  /** Arguments after the number of the operation are those of its `_op_` method. */
  export type NativeHandler = (
    /** Memory of the calling thread's fuse_thread_locals_t. */
    thread: Buffer,
    operation: number,
    ...args: unknown[]
  ) => void

  export type StatSignal = (errno: number, stat: Uint32Array) => void
  /** Bytes or a negative errno, and the memory of the buffer that was given, to be detached. */
  export type ValueSignal = (result: number, memory: ArrayBufferLike) => void

  export default class Fuse {
    constructor(mountPoint: string, operations: Operations, options: Options)
    /** Calls back once the kernel's INIT was answered, or with the error. */
    mount(callback: (error: Error | null) => void): void

    /** By the number of the operation. */
    protected readonly _handlers: NativeHandler[]
    protected _op_fgetattr(signal: StatSignal, path: string, fd: number): void
    protected _op_getxattr(
      signal: ValueSignal,
      path: string,
      name: string,
      buffer: Buffer,
      position: number
    ): void
    protected _op_listxattr(signal: ValueSignal, path: string, buffer: Buffer): void
  }
}

declare module 'fuse-shared-library' {
  /** Path of libfuse.so. */
  export const lib: string
}
