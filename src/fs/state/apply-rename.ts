import { assert } from '../assert.ts'
import type { TimeSpec } from '../attr.ts'
import { fileType, isDirectory } from '../attr.ts'
import { isDentryName } from '../names.ts'
import type { RenameOp } from '../op.ts'
import type { Ino } from '../primitives.ts'
import { ROOT_INO } from '../primitives.ts'
import { assertEmpty, needDentry, needLiveDirectory, touchedDirectory } from './apply-namespace.ts'
import type { Inode } from './inode-table.ts'
import { withChanges } from './inode-table.ts'
import type { Tables } from './tables.ts'

/** True when `ino` is `ancestor` or lies below it. */
export function isBelow(tables: Tables, ino: Ino, ancestor: Ino): boolean {
  let at = ino
  for (;;) {
    if (at === ancestor) return true
    if (at === ROOT_INO) return false
    const { parent } = tables.inodes.need(at)
    assert(parent !== 0, () => `inode ${at} on the way to the root is not a directory`)
    at = parent
  }
}

export function applyRename(tables: Tables, op: RenameOp): void {
  const moved = tables.inodes.need(op.ino)
  const replaced = op.replaced === 0 ? undefined : tables.inodes.need(op.replaced)
  assertRename(tables, op, moved, replaced)
  tables.dentries.delete(op.parent, op.name)
  if (replaced !== undefined) tables.dentries.delete(op.newParent, op.newName)
  place(tables, op.newParent, op.newName, moved, op.cookie)
  const across = op.parent !== op.newParent
  const movedDirectory = isDirectory(moved.mode)
  const replacedDirectory = replaced !== undefined && isDirectory(replaced.mode)
  const leaves = movedDirectory ? 1 : 0
  const comes = replacedDirectory ? 1 : 0
  if (op.exchange && replaced !== undefined) {
    place(tables, op.parent, op.name, replaced, op.exchangeCookie)
    relocate(tables, replaced.ino, replacedDirectory ? op.parent : 0, op.time)
  } else if (replaced !== undefined) {
    const nlink = replacedDirectory ? 0 : replaced.nlink - 1
    tables.inodes.update(withChanges(replaced, { nlink, ctime: op.time }))
  }
  relocate(tables, moved.ino, movedDirectory ? op.newParent : 0, op.time)
  const back = op.exchange ? comes : 0
  if (across) {
    touch(tables, op.parent, op.time, back - leaves, op.exchange ? op.exchangeCookie : 0)
    touch(tables, op.newParent, op.time, leaves - comes, op.cookie)
  } else {
    const cookie = op.exchange ? Math.max(op.cookie, op.exchangeCookie) : op.cookie
    touch(tables, op.parent, op.time, back - comes, cookie)
  }
}

function assertRename(
  tables: Tables,
  op: RenameOp,
  moved: Inode,
  replaced: Inode | undefined
): void {
  const from = needLiveDirectory(tables, op.parent)
  const to = needLiveDirectory(tables, op.newParent)
  needDentry(tables, op.parent, op.name, op.ino)
  assert(isDentryName(op.newName), 'rename to a bad name')
  assert(op.cookie > to.lastCookie, 'cookie used twice')
  if (isDirectory(moved.mode)) assert(!isBelow(tables, op.newParent, op.ino), 'directory cycle')
  if (replaced === undefined) {
    assert(!op.exchange, 'exchange with nothing')
    assert(tables.dentries.get(op.newParent, op.newName) === undefined, 'rename over a dentry')
    return
  }
  assert(replaced.ino !== moved.ino, 'rename over a link of the same inode')
  needDentry(tables, op.newParent, op.newName, replaced.ino)
  if (op.exchange) {
    assert(op.exchangeCookie > from.lastCookie, 'cookie used twice')
    assert(op.parent !== op.newParent || op.exchangeCookie !== op.cookie, 'cookie used twice')
    if (isDirectory(replaced.mode)) {
      assert(!isBelow(tables, op.parent, replaced.ino), 'directory cycle')
    }
    return
  }
  assert(isDirectory(replaced.mode) === isDirectory(moved.mode), 'rename over another type')
  if (isDirectory(replaced.mode)) assertEmpty(tables, replaced)
  else assert(replaced.nlink > 0, 'rename over an orphan')
}

function place(tables: Tables, parent: Ino, name: Uint8Array, inode: Inode, cookie: number): void {
  tables.dentries.insert({ parent, name, ino: inode.ino, type: fileType(inode.mode), cookie })
}

function relocate(tables: Tables, ino: Ino, parent: Ino | 0, time: TimeSpec): void {
  tables.inodes.update(withChanges(tables.inodes.need(ino), { parent, ctime: time }))
}

function touch(
  tables: Tables,
  ino: Ino,
  time: TimeSpec,
  subdirectories: number,
  cookie: number
): void {
  const directory = tables.inodes.need(ino)
  tables.inodes.update(touchedDirectory(directory, time, { subdirectories, cookie }))
}
