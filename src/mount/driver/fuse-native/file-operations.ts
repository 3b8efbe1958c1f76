/** Operations on open files. They know their inode, whatever has become of the name. */
import type { Operations } from 'fuse-native'
import { FsError } from '../../../fs/errno.ts'
import type { RequestContext } from '../../../fs/filesystem-api.ts'
import { FILE_SIZE_MAX } from '../../../fs/op.ts'
import { Opcode, OpenFlag } from '../../fuse/abi.ts'
import { type AdapterParts, serveCount, serveDone } from './adapter-parts.ts'

/** Locks do not reach this driver, so a close has none to release. */
const NO_LOCK_OWNER = 0n

type FileOperations = Pick<Operations, 'open' | 'read' | 'write' | 'flush' | 'fsync' | 'release'>

export function fileOperations(parts: AdapterParts): FileOperations {
  const { fs, calls, open } = parts
  return {
    open: (path, flags, answer) => openFile(parts, path, flags, answer),
    read: (_path, fd, buffer, length, offset, answer) =>
      serveCount(parts, Opcode.READ, answer, async (ctx) => {
        const { ino, handle } = open.get(fd)
        if (offset >= FILE_SIZE_MAX) return 0
        const data = await fs.read(ctx, ino, handle, offset, length)
        buffer.set(data)
        return data.length
      }),
    write: (_path, fd, buffer, length, offset, answer) =>
      serveCount(parts, Opcode.WRITE, answer, (ctx) =>
        write(parts, ctx, fd, offset, buffer.subarray(0, length))
      ),
    flush: (_path, fd, answer) =>
      serveDone(parts, Opcode.FLUSH, answer, async (ctx) => {
        const { ino, handle } = open.get(fd)
        await fs.flush(ctx, ino, handle, NO_LOCK_OWNER)
      }),
    fsync: (_path, dataOnly, fd, answer) =>
      serveDone(parts, Opcode.FSYNC, answer, async (ctx) => {
        const { ino, handle } = open.get(fd)
        await fs.fsync(ctx, ino, handle, dataOnly !== 0)
      }),
    release: (_path, fd, answer) => {
      const closing = calls.runUnwatched(Opcode.RELEASE, async () => {
        const { ino, handle } = open.take(fd)
        await fs.release(ino, handle)
      })
      void closing.then(() => answer(0))
    }
  }
}

function openFile(
  { fs, calls, lookup, open }: AdapterParts,
  path: string,
  flags: number,
  answer: Parameters<Operations['open']>[2]
): void {
  const opened = calls.run(
    Opcode.OPEN,
    async (ctx) => {
      const ino = await lookup.inoOf(ctx, path)
      return { ino, handle: await fs.open(ctx, ino, flags), flags }
    },
    ({ ino, handle }) => fs.release(ino, handle)
  )
  void opened.then(({ errno, value }) => {
    if (value === undefined) answer(errno)
    else answer(0, open.add(value))
  })
}

/** As for the default driver: O_SYNC and O_DSYNC of writes past the page cache are left to us. */
async function write(
  { fs, open }: AdapterParts,
  ctx: RequestContext,
  fd: number,
  offset: number,
  data: Uint8Array
): Promise<number> {
  const { ino, handle, flags } = open.get(fd)
  if (offset + data.length > FILE_SIZE_MAX) throw new FsError('EFBIG')
  const append = (flags & OpenFlag.APPEND) !== 0
  // Set-id bits are cleared by the kernel, by a chmod before it.
  const written = await fs.write(ctx, ino, handle, offset, data, { append, killSuidGid: false })
  if ((flags & OpenFlag.DSYNC) !== 0) {
    await fs.fsync(ctx, ino, handle, (flags & OpenFlag.SYNC) === 0)
  }
  return written
}
