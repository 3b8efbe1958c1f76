/**
 * What a change of content or owner takes away: set-id bits and file capabilities. The kernel
 * leaves it to us (FUSE_HANDLE_KILLPRIV_V2): always at chown; at write and truncate the set-id bits
 * when it says so (the caller lacks CAP_FSETID), the capabilities always.
 */

import type { TimeSpec } from '../attr.ts'
import { isDirectory, S_ISGID, S_ISUID } from '../attr.ts'
import type { Op } from '../op.ts'
import type { Inode } from '../state/inode-table.ts'
import type { Core } from './core.ts'

const PERMISSIONS = 0o7777
const S_IXGRP = 0o010
const ANY_EXECUTE = 0o111
const CAPABILITY = Buffer.from('security.capability')

/**
 * Permission bits without the set-id bits, or undefined when there is nothing to clear. Set-gid
 * without group execute is not a privilege (it once meant mandatory locking) and stays.
 */
export function withoutSetId(mode: number): number | undefined {
  const group = (mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP) ? S_ISGID : 0
  const clear = (mode & S_ISUID) | group
  return clear === 0 ? undefined : mode & PERMISSIONS & ~clear
}

/** The op that removes the file's capabilities, if it has any. */
export function capabilityRemoval(core: Core, inode: Inode, time: TimeSpec): Op | undefined {
  if (!hasCapabilities(core, inode)) return undefined
  return { type: 'removexattr', ino: inode.ino, name: CAPABILITY, time }
}

function hasCapabilities(core: Core, inode: Inode): boolean {
  // Only a file that can be executed is given capabilities, so most writes look nothing up.
  if (isDirectory(inode.mode) || (inode.mode & ANY_EXECUTE) === 0) return false
  return core.state.xattr(inode.ino, CAPABILITY) !== undefined
}

/** True when a write takes something away: it then changes more than bytes. */
export function takesPrivileges(core: Core, inode: Inode, killSuidGid: boolean): boolean {
  return (killSuidGid && withoutSetId(inode.mode) !== undefined) || hasCapabilities(core, inode)
}
