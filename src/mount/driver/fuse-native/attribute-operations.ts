/** Operations on attributes and extended attributes. */
import type { Operations } from 'fuse-native'
import { FsError } from '../../../fs/errno.ts'
import type { SetAttrRequest } from '../../../fs/filesystem-api.ts'
import { FILE_SIZE_MAX } from '../../../fs/op.ts'
import { Opcode } from '../../fuse/abi.ts'
import { type AdapterParts, serveDone, serveValue } from './adapter-parts.ts'
import { timeOf, toStat, toStatfs } from './native-stat.ts'
import { bytesOf } from './path-names.ts'

/** uid_t and gid_t -1: leave as it is. */
const UNCHANGED = 2 ** 32 - 1

type AttributeOperations = Pick<
  Operations,
  | 'getattr'
  | 'chmod'
  | 'chown'
  | 'truncate'
  | 'ftruncate'
  | 'utimens'
  | 'statfs'
  | 'setxattr'
  | 'removexattr'
>

export function attributeOperations(parts: AdapterParts): AttributeOperations {
  const { fs, lookup, open } = parts
  const change = (path: string, changes: SetAttrRequest, answer: (errno: number) => void): void =>
    serveDone(parts, Opcode.SETATTR, answer, async (ctx) => {
      if ((changes.size ?? 0) > FILE_SIZE_MAX) throw new FsError('EFBIG')
      await fs.setattr(ctx, await lookup.inoOf(ctx, path), changes)
    })
  return {
    getattr: (path, answer) =>
      serveValue(parts, Opcode.GETATTR, answer, async (ctx) => {
        return toStat(await lookup.attrOf(ctx, path))
      }),
    chmod: (path, mode, answer) => change(path, { mode: mode & 0o7777 }, answer),
    chown: (path, uid, gid, answer) =>
      change(
        path,
        { ...(uid === UNCHANGED ? {} : { uid }), ...(gid === UNCHANGED ? {} : { gid }) },
        answer
      ),
    truncate: (path, size, answer) => change(path, { size }, answer),
    ftruncate: (_path, fd, size, answer) =>
      serveDone(parts, Opcode.SETATTR, answer, async (ctx) => {
        const { ino, handle } = open.get(fd)
        if (size > FILE_SIZE_MAX) throw new FsError('EFBIG')
        await fs.setattr(ctx, ino, { size, handle })
      }),
    utimens: (path, atimeMs, mtimeMs, answer) =>
      serveDone(parts, Opcode.SETATTR, answer, async (ctx) => {
        // The times could not be learnt, see package-faults.ts.
        if (Number.isNaN(atimeMs) || Number.isNaN(mtimeMs)) throw new FsError('EOPNOTSUPP')
        const times = { atime: timeOf(atimeMs), mtime: timeOf(mtimeMs) }
        await fs.setattr(ctx, await lookup.inoOf(ctx, path), times)
      }),
    statfs: (_path, answer) =>
      serveValue(parts, Opcode.STATFS, answer, async (ctx) => toStatfs(await fs.statfs(ctx))),
    setxattr: (path, name, value, _position, flags, answer) =>
      serveDone(parts, Opcode.SETXATTR, answer, async (ctx) => {
        // The library takes its memory back with the answer; the op lives until its entry is closed.
        const kept = Buffer.from(value)
        await fs.setxattr(ctx, await lookup.inoOf(ctx, path), bytesOf(name), kept, flags)
      }),
    removexattr: (path, name, answer) =>
      serveDone(parts, Opcode.REMOVEXATTR, answer, async (ctx) => {
        await fs.removexattr(ctx, await lookup.inoOf(ctx, path), bytesOf(name))
      })
  }
}
