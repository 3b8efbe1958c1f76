/** Ops of lost entries in words. */
import { fileType, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../../../fs/attr.ts'
import type { Op, WriteOp } from '../../../fs/op.ts'
import type { Ino } from '../../../fs/primitives.ts'
import { opDataBytes } from '../../../replication/entry.ts'
import { oneLine } from '../../daemon/user-error.ts'
import { formatBytes } from '../table.ts'
import type { Names } from './names.ts'

const KINDS: ReadonlyMap<number, string> = new Map([
  [S_IFDIR, 'directory'],
  [S_IFREG, 'file'],
  [S_IFLNK, 'symbolic link'],
  [S_IFIFO, 'FIFO'],
  [S_IFSOCK, 'socket']
])

function text(path: Uint8Array | undefined, ino: Ino): string {
  return path === undefined ? `(inode ${ino})` : oneLine(`/${Buffer.from(path).toString('utf8')}`)
}

/** Writes that follow each other in one file, seen as one. */
interface Run {
  readonly first: WriteOp
  bytes: number
}

/** One line for each op, or for a run of writes; `names` knows the names of all of them already. */
export function* describeOps(ops: Iterable<Op>, names: Names): Generator<string> {
  let run: Run | undefined
  for (const op of ops) {
    if (op.type === 'write') {
      if (run && run.first.ino === op.ino && run.first.offset + run.bytes === op.offset) {
        run.bytes += opDataBytes(op)
        continue
      }
      if (run) yield describeRun(run, names)
      run = { first: op, bytes: opDataBytes(op) }
      continue
    }
    if (run) yield describeRun(run, names)
    run = undefined
    yield describeOp(op, names)
  }
  if (run) yield describeRun(run, names)
}

function describeRun({ first, bytes }: Run, names: Names): string {
  const subject = text(names.pathOf(first.ino), first.ino)
  return `write ${formatBytes(bytes)} at ${first.offset} to ${subject}`
}

function describeOp(op: Exclude<Op, WriteOp>, names: Names): string {
  const subject = text(names.pathOf(op.ino), op.ino)
  switch (op.type) {
    case 'create':
      return `create ${KINDS.get(fileType(op.mode)) ?? 'device'} ${text(names.pathIn(op.parent, op.name), op.ino)}`
    case 'tmpfile':
      return `create a file without a name (inode ${op.ino})`
    case 'link':
      return `link ${text(names.pathIn(op.parent, op.name), op.ino)}`
    case 'unlink':
      return `remove ${text(names.pathIn(op.parent, op.name), op.ino)}`
    case 'rmdir':
      return `remove directory ${text(names.pathIn(op.parent, op.name), op.ino)}`
    case 'rename': {
      const from = text(names.pathIn(op.parent, op.name), op.ino)
      const to = text(names.pathIn(op.newParent, op.newName), op.ino)
      return op.exchange ? `exchange ${from} and ${to}` : `rename ${from} to ${to}`
    }
    case 'setattr':
      return `change attributes of ${subject}`
    case 'truncate':
      return `truncate ${subject} to ${op.size} bytes`
    case 'punch':
      return `clear ${formatBytes(op.length)} at ${op.offset} of ${subject}`
    case 'clone':
      return `copy ${formatBytes(op.length)} to ${op.offset} of ${subject}`
    case 'setxattr':
      return `set attribute ${oneLine(Buffer.from(op.name).toString())} of ${subject}`
    case 'removexattr':
      return `remove attribute ${oneLine(Buffer.from(op.name).toString())} of ${subject}`
    case 'reap':
      return `forget inode ${op.ino}, which had no name any more`
  }
}
