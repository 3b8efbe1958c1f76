/** Operations on names: directories, links, and what is made and removed. */
import type { Operations } from 'fuse-native'
import { isRegular } from '../../../fs/attr.ts'
import { FsError } from '../../../fs/errno.ts'
import type { Awaitable, DirEntry, HandleId, RequestContext } from '../../../fs/filesystem-api.ts'
import type { Ino } from '../../../fs/primitives.ts'
import { Opcode } from '../../fuse/abi.ts'
import { type AdapterParts, serveDone, serveValue } from './adapter-parts.ts'
import { bytesOf, exactTextOf, textOf } from './path-names.ts'

/**
 * `create` is missing on purpose: it would not be told the flags, so nothing written through that
 * handle could be known to be appended. The kernel then makes the file and opens it, in two calls.
 */
type EntryOperations = Pick<
  Operations,
  | 'readlink'
  | 'readdir'
  | 'fsyncdir'
  | 'mknod'
  | 'mkdir'
  | 'symlink'
  | 'link'
  | 'unlink'
  | 'rmdir'
  | 'rename'
>

export function entryOperations(parts: AdapterParts): EntryOperations {
  const { fs, lookup } = parts
  return {
    readlink: (path, answer) =>
      serveValue(parts, Opcode.READLINK, answer, async (ctx) => {
        return exactTextOf(await fs.readlink(ctx, await lookup.inoOf(ctx, path)))
      }),
    readdir: (path, answer) => readdir(parts, path, answer),
    fsyncdir: (path, _dataOnly, _fd, answer) =>
      serveDone(parts, Opcode.FSYNCDIR, answer, (ctx) =>
        withDirectory(parts, ctx, path, (ino, handle) => fs.fsyncdir(ctx, ino, handle))
      ),
    mknod: (path, mode, device, answer) =>
      serveDone(parts, Opcode.MKNOD, answer, (ctx) => mknod(parts, ctx, path, mode, device)),
    mkdir: (path, mode, answer) =>
      serveDone(parts, Opcode.MKDIR, answer, async (ctx) => {
        const { parent, name } = await lookup.placeOf(ctx, path)
        await fs.mkdir(ctx, parent, name, mode & 0o7777)
      }),
    symlink: (target, path, answer) =>
      serveDone(parts, Opcode.SYMLINK, answer, async (ctx) => {
        const { parent, name } = await lookup.placeOf(ctx, path)
        await fs.symlink(ctx, parent, name, bytesOf(target))
      }),
    link: (path, newPath, answer) =>
      serveDone(parts, Opcode.LINK, answer, async (ctx) => {
        const ino = await lookup.inoOf(ctx, path)
        const { parent, name } = await lookup.placeOf(ctx, newPath)
        await fs.link(ctx, ino, parent, name)
      }),
    ...removingOperations(parts)
  }
}

function removingOperations(parts: AdapterParts): Pick<Operations, 'unlink' | 'rmdir' | 'rename'> {
  const { fs, lookup } = parts
  return {
    unlink: (path, answer) =>
      serveDone(parts, Opcode.UNLINK, answer, async (ctx) => {
        const { parent, name } = await lookup.placeOf(ctx, path)
        await fs.unlink(ctx, parent, name)
      }),
    rmdir: (path, answer) =>
      serveDone(parts, Opcode.RMDIR, answer, async (ctx) => {
        const { parent, name } = await lookup.placeOf(ctx, path)
        await fs.rmdir(ctx, parent, name)
      }),
    rename: (path, newPath, answer) =>
      serveDone(parts, Opcode.RENAME, answer, async (ctx) => {
        const from = await lookup.placeOf(ctx, path)
        const to = await lookup.placeOf(ctx, newPath)
        const flags = { noReplace: false, exchange: false }
        await fs.rename(ctx, from.parent, from.name, to.parent, to.name, flags)
      })
  }
}

/**
 * A file that another member made meanwhile: ESTALE makes the kernel look again, and then do what
 * the process asked for, be it to open that file or to fail with EEXIST.
 */
async function mknod(
  { fs, lookup }: AdapterParts,
  ctx: RequestContext,
  path: string,
  mode: number,
  device: number
): Promise<void> {
  const { parent, name } = await lookup.placeOf(ctx, path)
  try {
    await fs.mknod(ctx, parent, name, mode, device)
  } catch (error) {
    const exists = error instanceof FsError && error.code === 'EEXIST'
    throw exists && isRegular(mode) ? new FsError('ESTALE') : error
  }
}

function readdir(parts: AdapterParts, path: string, answer: Parameters<Operations['readdir']>[1]) {
  const entries: DirEntry[] = []
  const listed = parts.calls.run(Opcode.READDIR, (ctx) =>
    withDirectory(parts, ctx, path, (ino, handle) =>
      parts.fs.readdir(ctx, ino, handle, 0, (entry) => entries.push(entry) > 0)
    )
  )
  void listed.then(({ errno }) => {
    if (errno !== 0) answer(errno)
    else {
      const stats = entries.map(({ type }) => ({ mode: type }))
      answer(
        0,
        entries.map(({ name }) => textOf(name)),
        stats
      )
    }
  })
}

async function withDirectory(
  { fs, lookup }: AdapterParts,
  ctx: RequestContext,
  path: string,
  operation: (ino: Ino, handle: HandleId) => Awaitable<void>
): Promise<void> {
  const ino = await lookup.inoOf(ctx, path)
  const handle = await fs.opendir(ctx, ino)
  try {
    await operation(ino, handle)
  } finally {
    await fs.releasedir(ino, handle)
  }
}
