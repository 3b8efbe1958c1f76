/** Serves requests that answer with an entry, and those that move or remove one. */
import { assert } from '../../fs/assert.ts'
import type { Attr } from '../../fs/attr.ts'
import { RenameFlag } from './abi.ts'
import type { AnswerKind } from './policy.ts'
import { type EntryReply, okReply, type Reply } from './reply.ts'
import type { BodyOf } from './request.ts'
import type { ServeComponents } from './serve-components.ts'
import type { ServedRequest } from './served-request.ts'

type EntryBody = BodyOf<'lookup' | 'symlink' | 'mknod' | 'mkdir' | 'link'>

export async function serveEntry(
  components: ServeComponents,
  request: ServedRequest,
  body: EntryBody
): Promise<EntryReply> {
  const attr = await makeOrFind(components, request, body)
  return entryReply(components, request, attr, body.op === 'lookup' ? 'lookup' : 'create')
}

function entryReply(
  { policy }: ServeComponents,
  request: ServedRequest,
  attr: Attr,
  kind: AnswerKind
): EntryReply {
  return {
    kind: 'entry',
    attr,
    entryValidMs: policy.entryValidMs(request.nodeid, kind),
    attrValidMs: policy.attrValidMs(attr.ino, kind)
  }
}

function makeOrFind(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: EntryBody
): Promise<Attr> {
  const parent = request.nodeid
  switch (body.op) {
    case 'lookup':
      return fs.lookup(request, parent, body.name)
    case 'symlink':
      return fs.symlink(request, parent, body.name, body.target)
    case 'mknod':
      return fs.mknod(request, parent, body.name, body.mode, body.rdev)
    case 'mkdir':
      return fs.mkdir(request, parent, body.name, body.mode & 0o7777)
    case 'link':
      return fs.link(request, body.target, parent, body.name)
  }
}

export async function serveRename(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'rename'>
): Promise<Reply> {
  const flags = {
    noReplace: (body.flags & RenameFlag.NOREPLACE) !== 0,
    exchange: (body.flags & RenameFlag.EXCHANGE) !== 0,
    whiteout: (body.flags & RenameFlag.WHITEOUT) !== 0
  }
  assert(!(flags.noReplace && flags.exchange), 'the decoder refuses both flags together')
  await fs.rename(request, request.nodeid, body.name, body.newParent, body.newName, flags)
  return okReply
}
