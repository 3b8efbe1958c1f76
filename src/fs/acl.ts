/**
 * POSIX access control lists in the form of their extended attributes (system.posix_acl_access and
 * system.posix_acl_default, include/uapi/linux/posix_acl_xattr.h), and how they and the permission
 * bits go together. The kernel checks access; what follows from a change of either is ours
 * (FUSE_POSIX_ACL): acl(5), posix_acl_create(), posix_acl_chmod(), posix_acl_update_mode().
 */

export const ACL_ACCESS = 'system.posix_acl_access'
export const ACL_DEFAULT = 'system.posix_acl_default'
/** The kernel reads a list into one page. */
export const ACL_MAX_BYTES = 4096

const VERSION = 2
const HEADER_BYTES = 4
const ENTRY_BYTES = 8
const NO_ID = 0xffffffff

export const AclTag = {
  USER_OBJ: 0x01,
  USER: 0x02,
  GROUP_OBJ: 0x04,
  GROUP: 0x08,
  MASK: 0x10,
  OTHER: 0x20
} as const

export interface AclEntry {
  readonly tag: number
  /** rwx bits. */
  readonly perm: number
  /** User or group of USER and GROUP; 2^32 - 1 otherwise. */
  readonly id: number
}

/** A valid list: user, named users, group, named groups, mask, other, in this order. */
export type Acl = readonly AclEntry[]

const ACCESS = Buffer.from(ACL_ACCESS)
const DEFAULT = Buffer.from(ACL_DEFAULT)

/** Whether an extended attribute of that name is an access control list. */
export function isAclName(name: Uint8Array): boolean {
  return ACCESS.equals(name) || DEFAULT.equals(name)
}

/** The list; empty when it says to have none, undefined when the bytes are no valid list. */
export function parseAcl(bytes: Uint8Array): Acl | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = buffer.length - HEADER_BYTES
  if (size < 0 || size % ENTRY_BYTES !== 0 || buffer.length > ACL_MAX_BYTES) return undefined
  if (buffer.readUInt32LE(0) !== VERSION) return undefined
  const acl: AclEntry[] = []
  for (let at = HEADER_BYTES; at < buffer.length; at += ENTRY_BYTES) {
    const tag = buffer.readUInt16LE(at)
    const named = tag === AclTag.USER || tag === AclTag.GROUP
    const id = named ? buffer.readUInt32LE(at + 4) : NO_ID
    acl.push({ tag, perm: buffer.readUInt16LE(at + 2), id })
  }
  return acl.length === 0 || isValid(acl) ? acl : undefined
}

export function encodeAcl(acl: Acl): Buffer {
  const buffer = Buffer.alloc(HEADER_BYTES + acl.length * ENTRY_BYTES)
  buffer.writeUInt32LE(VERSION, 0)
  for (const [index, { tag, perm, id }] of acl.entries()) {
    const at = HEADER_BYTES + index * ENTRY_BYTES
    buffer.writeUInt16LE(tag, at)
    buffer.writeUInt16LE(perm, at + 2)
    buffer.writeUInt32LE(id, at + 4)
  }
  return buffer
}

/** One entry of each unnamed kind, a mask if any is named, and in their order. */
function isValid(acl: Acl): boolean {
  const count = (tag: number): number => acl.filter((entry) => entry.tag === tag).length
  const { USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER } = AclTag
  if (count(USER_OBJ) !== 1 || count(GROUP_OBJ) !== 1 || count(OTHER) !== 1) return false
  if (count(MASK) > 1 || (count(MASK) === 0 && count(USER) + count(GROUP) > 0)) return false
  const known = [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER] as readonly number[]
  let before = 0
  for (const { tag, perm, id } of acl) {
    if (!known.includes(tag) || tag < before || perm > 7) return false
    if ((tag === USER || tag === GROUP) && id === NO_ID) return false
    before = tag
  }
  return true
}

/** The entry the group bits of the mode stand for. */
function groupClass(acl: Acl): number {
  return acl.some(({ tag }) => tag === AclTag.MASK) ? AclTag.MASK : AclTag.GROUP_OBJ
}

/** Where the rwx bits of an entry stand in a mode; undefined for those that stand nowhere. */
function shiftOf(acl: Acl, tag: number): number | undefined {
  if (tag === AclTag.USER_OBJ) return 6
  if (tag === AclTag.OTHER) return 0
  return tag === groupClass(acl) ? 3 : undefined
}

/** The rwx bits (0777) a file with this list has in its mode. */
export function modeOfAcl(acl: Acl): number {
  let mode = 0
  for (const { tag, perm } of acl) {
    const shift = shiftOf(acl, tag)
    if (shift !== undefined) mode |= perm << shift
  }
  return mode
}

/** True when the list says no more than the permission bits do. */
export function isMinimal(acl: Acl): boolean {
  return acl.length === 3
}

/** The list of a file whose permission bits were set to `mode`. */
export function withMode(acl: Acl, mode: number): Acl {
  return acl.map((entry) => {
    const shift = shiftOf(acl, entry.tag)
    return shift === undefined ? entry : { ...entry, perm: (mode >> shift) & 7 }
  })
}

/** The list a new file gets from its directory's default list when it is made with `mode`. */
export function inheritedAcl(acl: Acl, mode: number): Acl {
  return withMode(acl, mode & modeOfAcl(acl))
}
