/**
 * Handlers of the package that are replaced, because as they are (2.2.6, pinned) they would lose
 * data or read beyond memory:
 *
 * - `utimens` passes the access time twice. The time of change is read from where the addon keeps
 *   the arguments of the call; when what lies there is not that, the call is refused.
 * - `getxattr` and `listxattr` answer with more bytes than the buffer has when the value is longer.
 * - `fgetattr` asks for the path, though it has the handle: wrong once another member has moved it.
 */
import type Fuse from 'fuse-native'
import type { NativeHandler, Operations, StatSignal, ValueSignal } from 'fuse-native'
import { FsError } from '../../../fs/errno.ts'
import { Opcode } from '../../fuse/abi.ts'
import type { AdapterParts } from './adapter-parts.ts'
import { toStatArray } from './native-stat.ts'
import { bytesOf } from './path-names.ts'

/** Number of utimens in the package's table. */
const UTIMENS = 12
/** In fuse_thread_locals_t of a 64-bit system: milliseconds, as 64-bit numbers. */
const ATIME_AT = 104
const MTIME_AT = 112

const STAT_NUMBERS = 18

/** The handler called with the times that the process gave, NaN when they cannot be known. */
export function withBothTimes(original: NativeHandler): NativeHandler {
  return (thread, operation, path, atimeLow, atimeHigh) => {
    let times = [Number.NaN, Number.NaN]
    if (
      thread.length >= MTIME_AT + 8 &&
      thread.readUInt32LE(ATIME_AT) === atimeLow &&
      thread.readUInt32LE(ATIME_AT + 4) === atimeHigh
    ) {
      times = [ATIME_AT, MTIME_AT].map((at) => Number(thread.readBigInt64LE(at)))
    }
    // The package adds low + high * 2^32.
    original(thread, operation, path, times[0], 0, times[1], 0)
  }
}

/** Names one after another, each ended by NUL. */
export function listOf(names: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(names.flatMap((name) => [name, Buffer.alloc(1)]))
}

/** Fills `buffer`, of length 0 when only the length is asked for. Throws ERANGE. */
function fill(buffer: Buffer, value: Uint8Array): number {
  if (buffer.length > 0) {
    if (value.length > buffer.length) throw new FsError('ERANGE')
    buffer.set(value)
  }
  return value.length
}

/** Called only for what the methods below replace. */
function replaced(): never {
  throw new Error('the package called an operation that is replaced')
}

export const replacedOperations: Pick<Operations, 'fgetattr' | 'getxattr' | 'listxattr'> = {
  fgetattr: replaced,
  getxattr: replaced,
  listxattr: replaced
}

/** The package's class with the handlers above replaced. */
export function withoutFaults(Package: typeof Fuse, parts: AdapterParts): typeof Fuse {
  const { fs, calls, lookup, open } = parts
  return class extends Package {
    constructor(...args: ConstructorParameters<typeof Fuse>) {
      super(...args)
      const original = this._handlers[UTIMENS]
      if (original !== undefined) this._handlers[UTIMENS] = withBothTimes(original)
    }

    protected override _op_fgetattr(signal: StatSignal, _path: string, fd: number): void {
      const asked = calls.run(Opcode.GETATTR, (ctx) => fs.getattr(ctx, open.get(fd).ino))
      void asked.then(({ errno, value }) => {
        signal(errno, value === undefined ? new Uint32Array(STAT_NUMBERS) : toStatArray(value))
      })
    }

    protected override _op_getxattr(
      signal: ValueSignal,
      path: string,
      name: string,
      buffer: Buffer
    ): void {
      const read = calls.run(Opcode.GETXATTR, async (ctx) => {
        const ino = await lookup.inoOf(ctx, path)
        const value = await fs.getxattr(ctx, ino, bytesOf(name))
        if (value === undefined) throw new FsError('ENODATA')
        return fill(buffer, value)
      })
      void read.then(({ errno, value }) => signal(value ?? errno, buffer.buffer))
    }

    protected override _op_listxattr(signal: ValueSignal, path: string, buffer: Buffer): void {
      const listed = calls.run(Opcode.LISTXATTR, async (ctx) => {
        return fill(buffer, listOf(await fs.listxattr(ctx, await lookup.inoOf(ctx, path))))
      })
      void listed.then(({ errno, value }) => signal(value ?? errno, buffer.buffer))
    }
  }
}
