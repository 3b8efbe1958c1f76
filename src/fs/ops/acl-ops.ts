/**
 * What access control lists ask of other operations: a new inode inherits, a change of the mode
 * changes the list, a change of the list changes the mode. All of one change is submitted together.
 */
import type { Acl } from '../acl.ts'
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  encodeAcl,
  inheritedAcl,
  isMinimal,
  modeOfAcl,
  parseAcl,
  withMode
} from '../acl.ts'
import { assert } from '../assert.ts'
import type { TimeSpec } from '../attr.ts'
import { isDirectory, isSymlink, S_ISGID } from '../attr.ts'
import { FsError } from '../errno.ts'
import type { RequestContext } from '../filesystem-api.ts'
import type { Op } from '../op.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Core } from './core.ts'

const PERMISSIONS = 0o7777
const RWX = 0o777
const ACCESS = Buffer.from(ACL_ACCESS)
const DEFAULT = Buffer.from(ACL_DEFAULT)

function aclOf(core: Core, ino: Ino, name: Uint8Array): Acl | undefined {
  const value = core.state.xattr(ino, name)
  if (value === undefined) return undefined
  const acl = parseAcl(value)
  assert(acl !== undefined && acl.length > 0, () => `inode ${ino} has a list that is not valid`)
  return acl
}

export interface Inherited {
  /** Type and permission bits. */
  readonly mode: number
  /** Its lists: name and value. */
  readonly lists: readonly (readonly [Uint8Array, Uint8Array])[]
}

/** Mode and lists of a new inode: from the directory's default list, else by the caller's umask. */
export function inherit(
  core: Core,
  ctx: RequestContext,
  directory: Inode,
  mode: number
): Inherited {
  if (isSymlink(mode)) return { mode, lists: [] }
  const inherited = aclOf(core, directory.ino, DEFAULT)
  if (inherited === undefined) return { mode: mode & ~((ctx.umask ?? 0) & RWX), lists: [] }
  const acl = inheritedAcl(inherited, mode)
  const lists: (readonly [Uint8Array, Uint8Array])[] = []
  if (!isMinimal(acl)) lists.push([ACCESS, encodeAcl(acl)])
  if (isDirectory(mode)) lists.push([DEFAULT, encodeAcl(inherited)])
  return { mode: (mode & ~RWX) | modeOfAcl(acl), lists }
}

/** What becomes of the access list when the permission bits are set. */
export function aclAfterChmod(core: Core, inode: Inode, mode: number, time: TimeSpec): Op[] {
  if (isSymlink(inode.mode)) return []
  const acl = aclOf(core, inode.ino, ACCESS)
  if (acl === undefined) return []
  const value = encodeAcl(withMode(acl, mode))
  return [{ type: 'setxattr', ino: inode.ino, name: ACCESS, value, time }]
}

export interface SetAcl {
  readonly name: Uint8Array
  readonly value: Uint8Array
  /** The caller is not in the file's group and may not keep set-gid. */
  readonly killSetGid: boolean
}

/** The ops that give an inode a list; a list that says no more than the mode is not kept. */
export function setAclOps(core: Core, inode: Inode, request: SetAcl, time: TimeSpec): Op[] {
  const { name, value, killSetGid } = request
  const acl = parseAcl(value)
  if (acl === undefined) throw new FsError('EINVAL', 'not an access control list')
  if (acl.length === 0) return removeAclOps(core, inode, name, time)
  if (isSymlink(inode.mode)) throw new FsError('EOPNOTSUPP', 'list of a symbolic link')
  const { ino } = inode
  const set: Op = { type: 'setxattr', ino, name, value: encodeAcl(acl), time }
  if (DEFAULT.equals(name)) {
    if (!isDirectory(inode.mode)) throw new FsError('EACCES', 'default list of a file')
    return [set]
  }
  const kept = inode.mode & PERMISSIONS & ~RWX & ~(killSetGid ? S_ISGID : 0)
  const mode: Op = { type: 'setattr', ino, mode: kept | modeOfAcl(acl), ctime: time }
  return isMinimal(acl) ? [mode, ...removeAclOps(core, inode, name, time)] : [mode, set]
}

/** Taking away a list that is not there is no error, as on other filesystems. */
export function removeAclOps(core: Core, inode: Inode, name: Uint8Array, time: TimeSpec): Op[] {
  if (core.state.xattr(inode.ino, name) === undefined) return []
  return [{ type: 'removexattr', ino: inode.ino, name, time }]
}
