/** Which files of a directory are probably changed next, after one of them was. */
import { isDirectory } from '../attr.ts'
import type { Ino } from '../primitives.ts'
import type { Dentry } from '../state/dentry-table.ts'
import type { Core } from './core.ts'

const LISTED = 32
/** Numbers as near as that were given out by one member, one after another. */
const NEAR = 256

/**
 * Files that follow `dentry` in its directory and were made by the same member at about the same
 * time: who goes through files that it made comes to them next.
 */
export function siblingsBehind(core: Core, parent: Ino, dentry: Dentry): readonly Ino[] {
  return core.state
    .list(parent, dentry.cookie, LISTED)
    .filter(({ ino, type }) => !isDirectory(type) && Math.abs(ino - dentry.ino) < NEAR)
    .map(({ ino }) => ino)
}
