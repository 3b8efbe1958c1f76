import { assert } from '../assert.ts'
import type { TimeSpec } from '../attr.ts'
import { fileType, isDirectory, isSymlink, S_IFREG } from '../attr.ts'
import { isDentryName } from '../names.ts'
import type { CreateOp, LinkOp, RmdirOp, TmpfileOp, UnlinkOp } from '../op.ts'
import type { Ino } from '../primitives.ts'
import { ROOT_INO } from '../primitives.ts'
import type { Dentry } from './dentry-table.ts'
import type { Inode } from './inode-table.ts'
import { DIRECTORY_SIZE_BYTES, withChanges } from './inode-table.ts'
import { FIRST_COOKIE } from './schema.ts'
import type { Tables } from './tables.ts'

/** A directory that still has its place in the tree: entries may be made in it. */
export function needLiveDirectory(tables: Tables, ino: Ino): Inode {
  const directory = tables.inodes.need(ino)
  assert(isDirectory(directory.mode), () => `op names ${ino} as a directory, which it is not`)
  assert(directory.nlink >= 2, () => `op changes removed directory ${ino}`)
  return directory
}

export function needDentry(tables: Tables, parent: Ino, name: Uint8Array, ino: Ino): Dentry {
  const dentry = tables.dentries.get(parent, name)
  assert(dentry !== undefined, () => `op names a dentry of ${parent} that does not exist`)
  assert(dentry.ino === ino, () => `dentry of ${parent} is ${dentry.ino}, the op says ${ino}`)
  return dentry
}

/** The directory after an entry came or went. */
export function touchedDirectory(
  directory: Inode,
  time: TimeSpec,
  change: { readonly subdirectories?: number; readonly cookie?: number } = {}
): Inode {
  const { subdirectories = 0, cookie = 0 } = change
  return withChanges(directory, {
    nlink: directory.nlink + subdirectories,
    mtime: time,
    ctime: time,
    lastCookie: Math.max(directory.lastCookie, cookie)
  })
}

export function applyCreate(tables: Tables, op: CreateOp): void {
  const parent = needLiveDirectory(tables, op.parent)
  assert(isDentryName(op.name), 'create with a bad name')
  assert(tables.dentries.get(op.parent, op.name) === undefined, 'create over a dentry')
  assert(op.cookie >= FIRST_COOKIE && op.cookie > parent.lastCookie, 'cookie used twice')
  const directory = isDirectory(op.mode)
  const symlink = isSymlink(op.mode)
  assert(symlink === op.target.length > 0, 'symlink without target, or target without symlink')
  const inode: Inode = {
    ino: op.ino,
    mode: op.mode,
    nlink: directory ? 2 : 1,
    uid: op.uid,
    gid: op.gid,
    rdev: op.rdev,
    size: directory ? DIRECTORY_SIZE_BYTES : op.target.length,
    bytes: 0,
    atime: op.time,
    mtime: op.time,
    ctime: op.time,
    btime: op.time,
    parent: directory ? op.parent : 0,
    lastCookie: directory ? FIRST_COOKIE - 1 : 0
  }
  // The first row written: a number used before fails on the primary key, with nothing changed.
  tables.inodes.insert(inode, symlink ? op.target : null)
  tables.dentries.insert({
    parent: op.parent,
    name: op.name,
    ino: op.ino,
    type: fileType(op.mode),
    cookie: op.cookie
  })
  const subdirectories = directory ? 1 : 0
  tables.inodes.update(touchedDirectory(parent, op.time, { subdirectories, cookie: op.cookie }))
  tables.totals.inodes++
}

export function applyTmpfile(tables: Tables, op: TmpfileOp): void {
  const { ino, uid, gid, time } = op
  const inode: Inode = {
    ino,
    mode: S_IFREG | op.mode,
    nlink: 0,
    uid,
    gid,
    rdev: 0,
    size: 0,
    bytes: 0,
    atime: time,
    mtime: time,
    ctime: time,
    btime: time,
    parent: 0,
    lastCookie: 0
  }
  tables.inodes.insert(inode, null)
  tables.totals.inodes++
}

/** The inode may be an orphan: a file made without a name gets its first one. */
export function applyLink(tables: Tables, op: LinkOp): void {
  const parent = needLiveDirectory(tables, op.parent)
  const inode = tables.inodes.need(op.ino)
  assert(!isDirectory(inode.mode), 'hard link to a directory')
  assert(isDentryName(op.name), 'link with a bad name')
  assert(tables.dentries.get(op.parent, op.name) === undefined, 'link over a dentry')
  assert(op.cookie >= FIRST_COOKIE && op.cookie > parent.lastCookie, 'cookie used twice')
  tables.dentries.insert({
    parent: op.parent,
    name: op.name,
    ino: op.ino,
    type: fileType(inode.mode),
    cookie: op.cookie
  })
  tables.inodes.update(withChanges(inode, { nlink: inode.nlink + 1, ctime: op.time }))
  tables.inodes.update(touchedDirectory(parent, op.time, { cookie: op.cookie }))
}

export function applyUnlink(tables: Tables, op: UnlinkOp): void {
  const parent = needLiveDirectory(tables, op.parent)
  needDentry(tables, op.parent, op.name, op.ino)
  const inode = tables.inodes.need(op.ino)
  assert(!isDirectory(inode.mode), 'unlink of a directory')
  assert(inode.nlink > 0, 'unlink of an orphan')
  tables.dentries.delete(op.parent, op.name)
  tables.inodes.update(withChanges(inode, { nlink: inode.nlink - 1, ctime: op.time }))
  tables.inodes.update(touchedDirectory(parent, op.time))
}

export function applyRmdir(tables: Tables, op: RmdirOp): void {
  const parent = needLiveDirectory(tables, op.parent)
  needDentry(tables, op.parent, op.name, op.ino)
  const directory = needLiveDirectory(tables, op.ino)
  assert(op.ino !== ROOT_INO, 'rmdir of the root')
  assertEmpty(tables, directory)
  tables.dentries.delete(op.parent, op.name)
  tables.inodes.update(withChanges(directory, { nlink: 0, ctime: op.time }))
  tables.inodes.update(touchedDirectory(parent, op.time, { subdirectories: -1 }))
}

export function assertEmpty(tables: Tables, directory: Inode): void {
  assert(tables.dentries.isEmpty(directory.ino), () => `directory ${directory.ino} is not empty`)
  assert(
    directory.nlink === 2,
    () => `empty directory ${directory.ino} has ${directory.nlink} links`
  )
}
