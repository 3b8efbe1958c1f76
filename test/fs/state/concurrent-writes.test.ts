import { join } from 'node:path'
import test from 'brittle'
import type { TimeSpec } from '../../../src/fs/attr.ts'
import { checkState } from '../../../src/fs/check.ts'
import type { Op } from '../../../src/fs/op.ts'
import { type Ino, ROOT_INO, type SegmentId } from '../../../src/fs/primitives.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { name } from '../fixture.ts'

const FILE = (2 ** 45) as Ino
const PAGE_BYTES = 4096
const AHEAD = 1_000_000

function at(sec: number): TimeSpec {
  return { sec, nsec: 0 }
}

const CREATE: Op = {
  type: 'create',
  parent: ROOT_INO,
  name: name('f'),
  ino: FILE,
  mode: 0o100644,
  uid: 0,
  gid: 0,
  rdev: 0,
  target: new Uint8Array(0),
  cookie: 4,
  time: at(10)
}
const TRUNCATE: Op = { type: 'truncate', ino: FILE, size: 3 * PAGE_BYTES, time: at(11) }

/** A write of one page by that member at that time. */
function writeOp(member: number, page: number, sec: number): Op {
  const segment = (member * 2 ** 44) as SegmentId
  const sha256 = Buffer.alloc(32, member)
  const slice = { segment, offset: page * PAGE_BYTES, length: PAGE_BYTES, crc32: page, sha256 }
  return { type: 'write', ino: FILE, offset: page * PAGE_BYTES, slices: [slice], time: at(sec) }
}

function orders<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]]
  return items.flatMap((item, i) =>
    orders([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest])
  )
}

/** Four members write at once: two pages inside, one over an older write, one behind the end. */
const WRITES = [writeOp(1, 0, 20), writeOp(2, 1, 22), writeOp(3, 2, 21), writeOp(4, 5, 19)]
const BEFORE = [writeOp(5, 0, 12), writeOp(5, 1, 12)]

for (const [situation, mtime, expected] of [
  ['after other writes', undefined, 22],
  ['after a utimens into the past', at(3), 22],
  ['after a utimens into the future', at(AHEAD), 22],
  ['after a utimens to just before one of them', at(21), 22]
] as const) {
  test(`state - concurrent writes to one file in any order, ${situation}`, async (t) => {
    const digests = new Set<string>()
    const times = new Set<number | undefined>()
    for (const order of orders(WRITES)) {
      const state = openState(join(await t.tmp(), 'state.db'))
      const ops: Op[] = [CREATE, TRUNCATE, ...BEFORE]
      if (mtime !== undefined) ops.push({ type: 'setattr', ino: FILE, mtime, ctime: at(15) })
      for (const op of [...ops, ...order]) state.apply(op)
      t.alike(checkState(state), [])
      digests.add(state.digest())
      times.add(state.inode(FILE)?.mtime.sec)
      t.is(state.inode(FILE)?.size, 6 * PAGE_BYTES)
      state.close()
    }
    t.is(digests.size, 1)
    t.alike([...times], [expected], 'the latest of the writes')
  })
}
