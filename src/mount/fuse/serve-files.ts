/** Serves requests on open files and directories. */
import { assert } from '../../fs/assert.ts'
import { type Attr, isRegular } from '../../fs/attr.ts'
import { type Awaitable, whenDone } from '../../fs/awaitable.ts'
import { Errno } from '../../fs/errno.ts'
import type { AcceptEntry, HandleId } from '../../fs/filesystem-api.ts'
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
    return whenDone(policy.beforeAnswer(nodeid), () => reply)
  }
  return whenDone(fs.open(request, nodeid, body.flags), answer)
}

export function serveCreate(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'create'>
): Awaitable<CreateReply> {
  const mode = body.mode & 0o7777
  return whenDone(fs.create(request, request.nodeid, body.name, mode, body.flags), createReply)
}

export function serveTmpfile(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'tmpfile'>
): Awaitable<CreateReply> {
  const mode = body.mode & 0o7777
  return whenDone(fs.tmpfile(request, request.nodeid, mode, body.flags), createReply)
}

function createReply({ attr, handle }: { attr: Attr; handle: HandleId }): CreateReply {
  assert(isRegular(attr.mode), 'create gave something that is no regular file')
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
  return whenDone(fs.read(request, request.nodeid, body.handle, body.offset, body.size), reply)
}

/**
 * Page-cache writeback (mmap) comes with a guessed handle and never appends. The kernel leaves
 * O_SYNC and O_DSYNC of direct writes to us.
 */
export function serveWrite(
  { fs, policy }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'write'>
): Awaitable<Reply> {
  const ino = request.nodeid
  const { handle, offset, data, flags, writeFlags } = body
  const fromCache = (writeFlags & WriteFlag.CACHE) !== 0
  const synced = (): Awaitable<void> => {
    if ((flags & OpenFlag.DSYNC) === 0) return
    return fs.fsync(request, ino, handle, (flags & OpenFlag.SYNC) === 0)
  }
  const written = (sizeBytes: number): Awaitable<Reply> => {
    assert(sizeBytes === data.length, 'write took less than all')
    const dropped = fromCache ? undefined : policy.written(ino)
    return whenDone(whenDone(dropped, synced), () => ({ kind: 'written', sizeBytes }))
  }
  const options = {
    append: !fromCache && (flags & OpenFlag.APPEND) !== 0,
    killSuidGid: (writeFlags & WriteFlag.KILL_SUIDGID) !== 0
  }
  return whenDone(fs.write(request, ino, handle, offset, data, options), written)
}

export function serveOpendir(
  { fs, policy }: ServeComponents,
  request: ServedRequest
): Awaitable<OpenReply> {
  const { nodeid } = request
  const answer = (handle: HandleId): Awaitable<OpenReply> => {
    const reply: OpenReply = { kind: 'open', handle, regular: false, openFlags: 0 }
    return whenDone(policy.beforeAnswer(nodeid), () => reply)
  }
  return whenDone(fs.opendir(request, nodeid), answer)
}

export function serveReaddir(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'readdir'>
): Awaitable<Reply> {
  const { handle, cookie, size } = body
  const list = (accept: AcceptEntry, answer: () => Reply): Awaitable<Reply> => {
    return whenDone(fs.readdir(request, request.nodeid, handle, cookie, accept), answer)
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
