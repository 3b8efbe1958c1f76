/** Serves the two-step reads of extended attributes: size 0 asks how large the answer is. */

import { type Awaitable, whenDone } from '../../fs/awaitable.ts'
import { Errno } from '../../fs/errno.ts'
import { errorReply, type Reply } from './reply.ts'
import type { BodyOf } from './request.ts'
import type { ServeComponents } from './serve-components.ts'
import type { ServedRequest } from './served-request.ts'

/** XATTR_LIST_MAX of the kernel. */
const LIST_MAX_BYTES = 65536

export function serveGetxattr(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'getxattr'>
): Awaitable<Reply> {
  const value = fs.getxattr(request, request.nodeid, body.name)
  return whenDone(value, (found) => valueReply(found, body.size))
}

function valueReply(value: Uint8Array | undefined, askedBytes: number): Reply {
  return value === undefined ? errorReply(Errno.ENODATA) : sized(value, askedBytes)
}

/** Names one after another, each ended by NUL. */
export async function serveListxattr(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: BodyOf<'listxattr'>
): Promise<Reply> {
  const names = await fs.listxattr(request, request.nodeid)
  let sizeBytes = 0
  for (const name of names) sizeBytes += name.length + 1
  if (sizeBytes > LIST_MAX_BYTES) return errorReply(Errno.E2BIG)
  const list = Buffer.alloc(sizeBytes)
  let at = 0
  for (const name of names) {
    list.set(name, at)
    at += name.length + 1
  }
  return sized(list, body.size)
}

function sized(data: Uint8Array, askedBytes: number): Reply {
  if (askedBytes === 0) return { kind: 'xattrSize', sizeBytes: data.length }
  if (data.length > askedBytes) return errorReply(Errno.ERANGE)
  return { kind: 'data', data }
}
