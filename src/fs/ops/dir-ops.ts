import type { Attr } from '../attr.ts'
import { S_IFDIR } from '../attr.ts'
import type { AcceptEntry, Awaitable, HandleId, RequestContext } from '../filesystem-api.ts'
import type { Ino } from '../primitives.ts'
import type { Dentry } from '../state/dentry-table.ts'
import type { Inode } from '../state/inode-table.ts'
import { toAttr } from '../state/inode-table.ts'
import { FIRST_COOKIE } from '../state/schema.ts'
import type { Core } from './core.ts'
import { needDirectory, shared, underShared } from './core.ts'

const BATCH_ENTRIES = 256
const DOT_COOKIE = 1
const DOT_DOT_COOKIE = 2
const DOT = Buffer.from('.')
const DOT_DOT = Buffer.from('..')

export interface ReaddirRequest {
  readonly cookie: number
  readonly accept: AcceptEntry
}

export function readdir(
  core: Core,
  ctx: RequestContext,
  ino: Ino,
  handle: HandleId,
  request: ReaddirRequest
): Awaitable<void> {
  return underShared(core, ctx, ino, () => {
    core.openFiles.get(ino, handle)
    list(core, needDirectory(core, ino), request)
  })
}

function list(core: Core, directory: Inode, request: ReaddirRequest): void {
  let ahead: readonly Dentry[] = []
  const attributes = (ino: Ino): Attr | undefined => {
    if (ahead.length > 0) core.state.readInodesAhead(ahead.map((dentry) => dentry.ino))
    ahead = []
    return attributesAtOnce(core, ino)
  }
  if (directory.nlink === 0 || !listDots(directory, request, attributes)) return
  let cookie = Math.max(request.cookie, FIRST_COOKIE - 1)
  for (;;) {
    const batch = core.state.list(directory.ino, cookie, BATCH_ENTRIES)
    ahead = batch
    for (const dentry of batch) {
      if (!request.accept(dentry, attributes)) return
      cookie = dentry.cookie
    }
    if (batch.length === 0) return
  }
}

/** One file that is in use elsewhere does not hold up the listing of all others. */
function attributesAtOnce(core: Core, ino: Ino): Attr | undefined {
  const guard = core.tokens.tryAcquire([shared(ino)])
  if (guard === undefined) return undefined
  try {
    const inode = core.state.inode(ino)
    return inode === undefined ? undefined : toAttr(inode)
  } finally {
    guard.release()
  }
}

/** "." and ".." come first; false when the reader wants no more. */
function listDots(
  directory: Inode,
  { cookie, accept }: ReaddirRequest,
  attributes: (ino: Ino) => Attr | undefined
): boolean {
  const { ino, parent } = directory
  const type = S_IFDIR
  const self = { ino, name: DOT, type, cookie: DOT_COOKIE }
  if (cookie < DOT_COOKIE && !accept(self, attributes)) return false
  if (cookie >= DOT_DOT_COOKIE) return true
  const up = { ino: parent === 0 ? ino : parent, name: DOT_DOT, type, cookie: DOT_DOT_COOKIE }
  return accept(up, attributes)
}
