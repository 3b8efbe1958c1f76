/** Serves requests that answer with an entry, and those that move or remove one. */
import { assert } from '../../fs/assert.ts'
import type { Attr } from '../../fs/attr.ts'
import { type Awaitable, whenDone } from '../../fs/awaitable.ts'
import { RenameFlag } from './abi.ts'
import { type AbsentReply, type EntryReply, okReply, type Reply } from './reply.ts'
import type { BodyOf } from './request.ts'
import type { ServeComponents } from './serve-components.ts'
import type { ServedRequest } from './served-request.ts'

type EntryBody = BodyOf<'lookup' | 'symlink' | 'mknod' | 'mkdir' | 'link'>

export function serveEntry(
  components: ServeComponents,
  request: ServedRequest,
  body: EntryBody
): Awaitable<EntryReply | AbsentReply> {
  const attr = makeOrFind(components, request, body)
  return whenDone(attr, (made) => entryOf(components, made))
}

function entryOf(
  { policy }: ServeComponents,
  attr: Attr | undefined
): Awaitable<EntryReply | AbsentReply> {
  if (attr === undefined) return { kind: 'absent', entryValidMs: 0 }
  const reply: EntryReply = { kind: 'entry', attr, entryValidMs: 0, attrValidMs: 0 }
  return whenDone(policy.beforeAnswer(attr.ino), () => reply)
}

function makeOrFind(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: EntryBody
): Awaitable<Attr | undefined> {
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

export function serveRename(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'rename'>
): Awaitable<Reply> {
  const flags = {
    noReplace: (body.flags & RenameFlag.NOREPLACE) !== 0,
    exchange: (body.flags & RenameFlag.EXCHANGE) !== 0,
    whiteout: (body.flags & RenameFlag.WHITEOUT) !== 0
  }
  assert(!(flags.noReplace && flags.exchange), 'the decoder refuses both flags together')
  const { nodeid } = request
  const done = fs.rename(request, nodeid, body.name, body.newParent, body.newName, flags)
  return whenDone(done, () => okReply)
}
