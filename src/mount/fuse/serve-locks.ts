/** Serves file lock requests. */
import type { Awaitable } from '../../fs/filesystem-api.ts'
import { okReply, type Reply } from './reply.ts'
import type { BodyOf } from './request.ts'
import type { ServeComponents } from './serve-components.ts'
import type { ServedRequest } from './served-request.ts'

export async function serveGetlk(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'getlk'>
): Promise<Reply> {
  const conflict = await fs.getlk(request, request.nodeid, body.handle, body.request)
  return { kind: 'lock', conflict }
}

/**
 * A lock that is granted and whose answer the gate turns into EIO stays held until its file is
 * closed: giving it back could take away what the owner held there before.
 */
export function serveSetlk(
  { fs }: ServeComponents,
  request: ServedRequest,
  { handle, request: lock, wait }: BodyOf<'setlk'>
): Awaitable<Reply> {
  const done = fs.setlk(request, request.nodeid, handle, lock, { wait })
  return done === undefined ? okReply : done.then(() => okReply)
}
