/**
 * Inodes that have no extended attributes, for the addon's reader: it answers the kernel's questions for
 * access control lists and lists of attributes of these itself.
 *
 * Invariant: an inode stands here only while the kernel may hold as well that it has no list, so
 * whoever takes attributes back from the kernel takes the inode out of here, in the same
 * synchronous piece.
 */
import type { Ino } from '../../fs/primitives.ts'
import { TimedSet } from './timed-set.ts'

/** Those of one writer lie behind each other: as many files of a directory are remembered. */
const SLOTS = 32_768

export class BareInodes extends TimedSet<Ino> {
  constructor() {
    super(SLOTS)
  }
}
