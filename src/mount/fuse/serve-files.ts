/** Serves requests on open files and directories. */
import { assert } from '../../fs/assert.ts'
import { isRegular } from '../../fs/attr.ts'
import { Errno } from '../../fs/errno.ts'
import type { AcceptEntry, Awaitable, HandleId } from '../../fs/filesystem-api.ts'
import { OpenFlag, WriteFlag } from './abi.ts'
import { DirentPacker } from './dirent-packer.ts'
import { Listing } from './listing.ts'
import { type CreateReply, errorReply, type OpenReply, type Reply } from './reply.ts'
import type { BodyOf } from './request.ts'
import type { ServeComponents } from './serve-components.ts'
import type { ServedRequest } from './served-request.ts'

/** The kernel sends OPEN for regular files only; FIFOs, devices and sockets it opens itself. */
export function serveOpen(
  { fs, policy }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'open'>
): Awaitable<OpenReply> {
  const { nodeid } = request
  const answer = (handle: HandleId): Awaitable<OpenReply> => {
    const reply: OpenReply = { kind: 'open', handle, regular: true, openFlags: 0 }
    const dropping = policy.beforeAnswer(nodeid)
    return dropping === undefined ? reply : dropping.then(() => reply)
  }
  const handle = fs.open(request, nodeid, body.flags)
  return handle instanceof Promise ? handle.then(answer) : answer(handle)
}

export async function serveCreate(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'create'>
): Promise<CreateReply> {
  const mode = body.mode & 0o7777
  const { attr, handle } = await fs.create(request, request.nodeid, body.name, mode, body.flags)
  assert(isRegular(attr.mode), 'create gave something that is no regular file')
  return { kind: 'create', attr, entryValidMs: 0, attrValidMs: 0, handle, openFlags: 0 }
}

export async function serveTmpfile(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'tmpfile'>
): Promise<CreateReply> {
  const mode = body.mode & 0o7777
  const { attr, handle } = await fs.tmpfile(request, request.nodeid, mode, body.flags)
  return { kind: 'create', attr, entryValidMs: 0, attrValidMs: 0, handle, openFlags: 0 }
}

export async function serveCopy(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'copy'>
): Promise<Reply> {
  const { target: ino, handle, offset, sourceHandle, sourceOffset, length } = body
  const source = request.nodeid
  const range = { source, sourceHandle, sourceOffset, ino, handle, offset, length }
  const sizeBytes = await fs.copyRange(request, range)
  assert(sizeBytes <= length, 'copied more than was asked for')
  return { kind: 'written', sizeBytes }
}

export function serveRead(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'read'>
): Awaitable<Reply> {
  const reply = (data: Uint8Array): Reply => {
    assert(data.length <= body.size, 'read gave more than was asked for')
    return { kind: 'data', data }
  }
  const data = fs.read(request, request.nodeid, body.handle, body.offset, body.size)
  return data instanceof Promise ? data.then(reply) : reply(data)
}

/**
 * Page-cache writeback (mmap) comes with a guessed handle and never appends. The kernel leaves
 * O_SYNC and O_DSYNC of direct writes to us.
 */
export async function serveWrite(
  { fs, policy }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'write'>
): Promise<Reply> {
  const ino = request.nodeid
  const fromCache = (body.writeFlags & WriteFlag.CACHE) !== 0
  const sizeBytes = await fs.write(request, ino, body.handle, body.offset, body.data, {
    append: !fromCache && (body.flags & OpenFlag.APPEND) !== 0,
    killSuidGid: (body.writeFlags & WriteFlag.KILL_SUIDGID) !== 0
  })
  assert(sizeBytes === body.data.length, 'write took less than all')
  const dropping = fromCache ? undefined : policy.written(ino)
  if (dropping !== undefined) await dropping
  if ((body.flags & OpenFlag.DSYNC) !== 0) {
    await fs.fsync(request, ino, body.handle, (body.flags & OpenFlag.SYNC) === 0)
  }
  return { kind: 'written', sizeBytes }
}

export async function serveOpendir(
  { fs, policy }: ServeComponents,
  request: ServedRequest
): Promise<OpenReply> {
  const handle = await fs.opendir(request, request.nodeid)
  const dropping = policy.beforeAnswer(request.nodeid)
  if (dropping !== undefined) await dropping
  return { kind: 'open', handle, regular: false, openFlags: 0 }
}

export function serveReaddir(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'readdir'>
): Awaitable<Reply> {
  const { handle, cookie, size } = body
  const list = (accept: AcceptEntry, answer: () => Reply): Awaitable<Reply> => {
    const listed = fs.readdir(request, request.nodeid, handle, cookie, accept)
    return listed instanceof Promise ? listed.then(answer) : answer()
  }
  if (body.plus) {
    const listing = new Listing({ sizeBytes: size })
    return list(
      (entry, attributes) => listing.add(entry, attributes),
      () => (listing.tooSmall ? errorReply(Errno.EINVAL) : { kind: 'listing', listing })
    )
  }
  const packer = new DirentPacker({ sizeBytes: size })
  return list(
    (entry) => packer.add(entry),
    () => (packer.tooSmall ? errorReply(Errno.EINVAL) : { kind: 'data', data: packer.bytes() })
  )
}
