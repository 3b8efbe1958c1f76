/** What commands ask for, and what either filesystem answers, in the words both are compared in. */
import type { Attr, TimeSpec } from '../../src/fs/attr.ts'
import type { RequestContext } from '../../src/fs/filesystem-api.ts'
import type { Command, RenameFlag } from './commands.ts'
import type { NaiveNode, NodeType } from './naive-filesystem.ts'

export const ACCESS_LIST = 'system.posix_acl_access'
export const DEFAULT_LIST = 'system.posix_acl_default'
export const TYPE_BITS: Record<NodeType, number> = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  chr: 0o020000
}

export type HandleCommand = Extract<
  Command,
  { kind: 'close' | 'write' | 'read' | 'fallocate' | 'lseek' | 'copy' }
>
export type SetAclCommand = Extract<Command, { kind: 'setacl' }>
export type NodeCommand =
  Extract<Command, { node: number }> extends infer C
    ? C extends { kind: 'link' }
      ? never
      : C
    : never

export function contextOf(command: Command): RequestContext {
  const uid = command.kind === 'create' || command.kind === 'mkdir' ? command.uid : 0
  const umask = 'umask' in command ? command.umask : 0
  return { uid, gid: uid, pid: 1, umask }
}

export function renameFlags(flag: RenameFlag): {
  noReplace: boolean
  exchange: boolean
  whiteout: boolean
} {
  return {
    noReplace: flag === 'noReplace' || flag === 'both',
    exchange: flag === 'exchange' || flag === 'both' || flag === 'swapWhiteout',
    whiteout: flag === 'whiteout' || flag === 'swapWhiteout'
  }
}

/** linux/posix_acl_xattr.h: version 2, then tag, permissions and id of each entry. */
export function listBytes(acl: readonly number[]): Buffer {
  const [owner = 0, group = 0, others = 0, mask = -1, named = -1] = acl
  const entries: number[][] = [[1, owner]]
  if (named >= 0) entries.push([2, named, 1000])
  entries.push([4, group])
  if (mask >= 0) entries.push([16, mask])
  entries.push([32, others])
  const list = Buffer.alloc(4 + 8 * entries.length)
  list.writeUInt32LE(2, 0)
  for (const [at, [tag = 0, perm = 0, id = 0xffffffff]] of entries.entries()) {
    list.writeUInt16LE(tag, 4 + at * 8)
    list.writeUInt16LE(perm, 6 + at * 8)
    list.writeUInt32LE(id, 8 + at * 8)
  }
  return list
}

export function content(command: { length: number; fill: number }): Uint8Array {
  return Buffer.alloc(command.length, command.fill)
}

export function bytes(value: string): Uint8Array {
  return Buffer.from(value, 'latin1')
}

export function text(value: Uint8Array): string {
  return Buffer.from(value).toString('latin1')
}

export function timeText(time: TimeSpec): string {
  return `${time.sec}.${time.nsec}`
}

export function attrText(attr: Attr): string {
  const { mode, nlink, uid, gid, rdev, size, blocks } = attr
  const times = [attr.atime, attr.mtime, attr.ctime].map(timeText)
  return [mode.toString(8), nlink, uid, gid, rdev, size, blocks, ...times].join(' ')
}

export function nodeText(node: NaiveNode): string {
  const sizes = { file: node.data.length, dir: 4096, symlink: node.target.length, fifo: 0, chr: 0 }
  const dataBytes = node.written.reduce((sum, one) => sum + one, 0)
  const blocks = node.type === 'dir' ? 8 : Math.ceil(dataBytes / 512)
  const mode = TYPE_BITS[node.type] | node.permissions
  const times = [node.atime, node.mtime, node.ctime]
  return [
    mode.toString(8),
    node.nlink,
    node.uid,
    node.gid,
    node.rdev,
    sizes[node.type],
    blocks,
    ...times
  ].join(' ')
}
