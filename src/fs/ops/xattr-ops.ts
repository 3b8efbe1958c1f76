import { isAclName } from '../acl.ts'
import { FsError } from '../errno.ts'
import type { Awaitable, RequestContext } from '../filesystem-api.ts'
import { XATTR_NAME_MAX_BYTES, XATTR_VALUE_MAX_BYTES } from '../op.ts'
import type { Ino } from '../primitives.ts'
import { setAclOps } from './acl-ops.ts'
import type { Core } from './core.ts'
import { METADATA_OP_BYTES, now, underExclusive, underShared } from './core.ts'

const XATTR_CREATE = 1
const XATTR_REPLACE = 2
/** listxattr(2) can return no more: names with their closing NULs. */
const LIST_MAX_BYTES = 65536
const NAMESPACES = ['user.', 'trusted.', 'security.']
/** As on every FUSE filesystem, SELinux labels files by their mount alone. */
const NOT_KEPT = 'security.selinux'

/**
 * EOPNOTSUPP for what is not kept; of system.* there are the access control lists only. Who may
 * touch which namespace is checked by the kernel. ls and cp ask each file for its SELinux label,
 * but no file of a filesystem any more that has answered EOPNOTSUPP.
 */
function assertXattrName(name: Uint8Array): void {
  if (name.length > XATTR_NAME_MAX_BYTES) throw new FsError('ERANGE', 'attribute name too long')
  if (isAclName(name)) return
  const text = Buffer.from(name).toString('latin1')
  const namespace = NAMESPACES.find((prefix) => text.startsWith(prefix))
  if (namespace === undefined || text === NOT_KEPT)
    throw new FsError('EOPNOTSUPP', 'attribute namespace')
  if (text.length === namespace.length || text.includes('\0')) {
    throw new FsError('EINVAL', 'attribute name')
  }
}

export interface SetXattrRequest {
  readonly name: Uint8Array
  readonly value: Uint8Array
  readonly flags: number
  /** For access control lists. */
  readonly killSetGid: boolean
}

export async function setxattr(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  request: SetXattrRequest
): Promise<void> {
  const { name, value, flags } = request
  assertXattrName(name)
  if (value.length > XATTR_VALUE_MAX_BYTES) throw new FsError('E2BIG')
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw new FsError('EINVAL', 'flags')
  if (isAclName(name)) return setAcl(core, ctx, ino, request)
  return underExclusive(core, ctx, ino, () => {
    const exists = core.state.xattr(ino, name) !== undefined
    if (exists && (flags & XATTR_CREATE) !== 0) throw new FsError('EEXIST')
    if (!exists && (flags & XATTR_REPLACE) !== 0) throw new FsError('ENODATA')
    if (!exists) assertListRoom(core, ino, name)
    core.opLog.assertSpace(METADATA_OP_BYTES + value.length)
    return core.opLog.submit({ type: 'setxattr', ino, name, value, time: now(core) })
  })
}

/** As on other filesystems the flags do not matter here. */
function setAcl(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  request: SetXattrRequest
): Awaitable<void> {
  return underExclusive(core, ctx, ino, async (inode) => {
    const ops = setAclOps(core, inode, request, now(core))
    if (ops.length === 0) return
    if (core.state.xattr(ino, request.name) === undefined) assertListRoom(core, ino, request.name)
    core.opLog.assertSpace(METADATA_OP_BYTES + request.value.length)
    await core.opLog.submitTogether(ops)
  })
}

function assertListRoom(core: Core, ino: Ino, name: Uint8Array): void {
  let bytes = name.length + 1
  for (const other of core.state.xattrNames(ino)) bytes += other.length + 1
  if (bytes > LIST_MAX_BYTES) throw new FsError('ENOSPC', 'too many attributes')
}

export function getxattr(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  name: Uint8Array
): Awaitable<Uint8Array | undefined> {
  assertXattrName(name)
  return underShared(core, ctx, ino, () => core.state.xattr(ino, name))
}

/** trusted.* is shown to root only, as listxattr(2) has it. */
export function listxattr(
  core: Core,
  ctx: RequestContext,
  ino: Ino
): Awaitable<readonly Uint8Array[]> {
  return underShared(core, ctx, ino, () => {
    const names = core.state.xattrNames(ino)
    if (ctx.uid === 0) return names
    return names.filter((name) => !Buffer.from(name).toString('latin1').startsWith('trusted.'))
  })
}

export async function removexattr(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  name: Uint8Array
): Promise<void> {
  assertXattrName(name)
  return underExclusive(core, ctx, ino, () => {
    if (core.state.xattr(ino, name) === undefined) {
      if (isAclName(name)) return
      throw new FsError('ENODATA')
    }
    return core.opLog.submit({ type: 'removexattr', ino, name, time: now(core) })
  })
}
