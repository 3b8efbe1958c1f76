import { S_IFDIR } from '../attr.ts'
import type { Awaitable, DirEntry, HandleId, RequestContext } from '../filesystem-api.ts'
import type { Ino } from '../primitives.ts'
import type { Inode } from '../state/inode-table.ts'
import { FIRST_COOKIE } from '../state/schema.ts'
import type { Core } from './core.ts'
import { needDirectory, underShared } from './core.ts'

const BATCH_ENTRIES = 256
const DOT_COOKIE = 1
const DOT_DOT_COOKIE = 2
const DOT = Buffer.from('.')
const DOT_DOT = Buffer.from('..')

export interface ReaddirRequest {
  readonly cookie: number
  readonly accept: (entry: DirEntry) => boolean
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
  if (directory.nlink === 0 || !listDots(directory, request)) return
  let cookie = Math.max(request.cookie, FIRST_COOKIE - 1)
  for (;;) {
    const batch = core.state.list(directory.ino, cookie, BATCH_ENTRIES)
    for (const dentry of batch) {
      if (!request.accept(dentry)) return
      cookie = dentry.cookie
    }
    if (batch.length === 0) return
  }
}

/** "." and ".." come first; false when the reader wants no more. */
function listDots(directory: Inode, { cookie, accept }: ReaddirRequest): boolean {
  const { ino, parent } = directory
  const type = S_IFDIR
  if (cookie < DOT_COOKIE && !accept({ ino, name: DOT, type, cookie: DOT_COOKIE })) return false
  if (cookie >= DOT_DOT_COOKIE) return true
  const up = parent === 0 ? ino : parent
  return accept({ ino: up, name: DOT_DOT, type, cookie: DOT_DOT_COOKIE })
}
