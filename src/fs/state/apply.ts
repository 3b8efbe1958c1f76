/**
 * Applies one op to the tables. Deterministic: the result depends on the op and on the replicated
 * tables only. Everything an op presumes is asserted before the first row changes, so a broken
 * presumption (divergence) is seen and leaves the state as it was.
 */
import { assert, unreachable } from '../assert.ts'
import type { Op } from '../op.ts'
import { applyRemoveXattr, applySetAttr, applySetXattr } from './apply-attr.ts'
import { applyClone, applyPunch, applyReap, applyTruncate, applyWrite } from './apply-data.ts'
import { applyCreate, applyLink, applyRmdir, applyTmpfile, applyUnlink } from './apply-namespace.ts'
import { applyRename } from './apply-rename.ts'
import type { Tables } from './tables.ts'

export function applyOp(tables: Tables, op: Op): void {
  switch (op.type) {
    case 'create':
      applyCreate(tables, op)
      break
    case 'tmpfile':
      applyTmpfile(tables, op)
      break
    case 'link':
      applyLink(tables, op)
      break
    case 'unlink':
      applyUnlink(tables, op)
      break
    case 'rmdir':
      applyRmdir(tables, op)
      break
    case 'rename':
      applyRename(tables, op)
      break
    case 'setattr':
      applySetAttr(tables, op)
      break
    case 'truncate':
      applyTruncate(tables, op)
      break
    case 'write':
      applyWrite(tables, op)
      break
    case 'punch':
      applyPunch(tables, op)
      break
    case 'clone':
      applyClone(tables, op)
      break
    case 'setxattr':
      applySetXattr(tables, op)
      break
    case 'removexattr':
      applyRemoveXattr(tables, op)
      break
    case 'reap':
      applyReap(tables, op)
      break
    default:
      unreachable(op)
  }
  assert(tables.totals.inodes > 0 && tables.totals.dataBytes >= 0, 'totals below zero')
}
