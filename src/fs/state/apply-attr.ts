import { assert } from '../assert.ts'
import { fileType } from '../attr.ts'
import type { RemoveXattrOp, SetAttrOp, SetXattrOp } from '../op.ts'
import type { Inode } from './inode-table.ts'
import { withChanges } from './inode-table.ts'
import type { Tables } from './tables.ts'

const PERMISSIONS = 0o7777

/** The inode with new permission bits, its type kept. */
export function withPermissions(inode: Inode, permissions: number | undefined): Inode {
  if (permissions === undefined) return inode
  assert(permissions >= 0 && permissions <= PERMISSIONS, 'permission bits out of range')
  return withChanges(inode, { mode: fileType(inode.mode) | permissions })
}

export function applySetAttr(tables: Tables, op: SetAttrOp): void {
  const inode = withPermissions(tables.inodes.need(op.ino), op.mode)
  const { uid, gid, atime, mtime, ctime } = op
  tables.inodes.update(withChanges(inode, { uid, gid, atime, mtime, ctime }))
}

export function applySetXattr(tables: Tables, op: SetXattrOp): void {
  const inode = tables.inodes.need(op.ino)
  tables.xattrs.put(op.ino, op.name, op.value)
  tables.inodes.update(withChanges(inode, { ctime: op.time }))
}

export function applyRemoveXattr(tables: Tables, op: RemoveXattrOp): void {
  const inode = tables.inodes.need(op.ino)
  assert(tables.xattrs.delete(op.ino, op.name), 'removal of an attribute that does not exist')
  tables.inodes.update(withChanges(inode, { ctime: op.time }))
}
