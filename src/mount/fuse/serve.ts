/** Request to FilesystemApi to reply. Errors pass through to dispatch.ts, which makes them errno. */
import { AssertionError } from '../../fs/assert.ts'
import type { Attr } from '../../fs/attr.ts'
import { type Awaitable, whenDone } from '../../fs/awaitable.ts'
import { Errno } from '../../fs/errno.ts'
import { Opcode } from './abi.ts'
import { errorReply, okReply, type Reply } from './reply.ts'
import type { RequestBody } from './request.ts'
import type { ServeComponents } from './serve-components.ts'
import {
  serveCopy,
  serveCreate,
  serveOpen,
  serveOpendir,
  serveRead,
  serveReaddir,
  serveTmpfile,
  serveWrite
} from './serve-files.ts'
import { serveGetlk, serveSetlk } from './serve-locks.ts'
import { serveEntry, serveRename } from './serve-names.ts'
import { serveGetxattr, serveListxattr } from './serve-xattr.ts'
import type { ServedRequest } from './served-request.ts'

/**
 * What an opcode without a handler answers. ENOSYS makes the kernel fall back to its own way, for
 * good (poll, access). Two must not: ENOSYS to SYNCFS
 * reads as "synced", and ioctl(2) says ENOTTY for a command nobody knows.
 */
export function unsupportedErrno(opcode: number): number {
  if (opcode === Opcode.SYNCFS) return Errno.EOPNOTSUPP
  if (opcode === Opcode.IOCTL) return Errno.ENOTTY
  return Errno.ENOSYS
}

/** At once when nobody has to be asked or waited for; then it throws what else it rejects with. */
export function serve(components: ServeComponents, request: ServedRequest): Awaitable<Reply> {
  const body = request.body
  switch (body.op) {
    case 'lookup':
    case 'symlink':
    case 'mknod':
    case 'mkdir':
    case 'link':
      return serveEntry(components, request, body)
    case 'rename':
      return serveRename(components, request, body)
    case 'getattr':
    case 'setattr':
    case 'statx':
      return serveAttr(components, request, body)
    case 'open':
      return serveOpen(components, request, body)
    case 'create':
      return serveCreate(components, request, body)
    case 'tmpfile':
      return serveTmpfile(components, request, body)
    case 'copy':
      return serveCopy(components, request, body)
    case 'read':
      return serveRead(components, request, body)
    case 'write':
      return serveWrite(components, request, body)
    case 'opendir':
      return serveOpendir(components, request)
    case 'readdir':
      return serveReaddir(components, request, body)
    case 'getxattr':
      return serveGetxattr(components, request, body)
    case 'listxattr':
      return serveListxattr(components, request, body)
    case 'getlk':
      return serveGetlk(components, request, body)
    case 'setlk':
      return serveSetlk(components, request, body)
    case 'readlink':
    case 'statfs':
    case 'lseek':
      return serveQuery(components, request, body)
    default:
      return servePlain(components, request, body)
  }
}

function serveAttr(
  { fs, policy }: ServeComponents,
  request: ServedRequest,
  body: Extract<RequestBody, { readonly op: 'getattr' | 'setattr' | 'statx' }>
): Awaitable<Reply> {
  const ino = request.nodeid
  const answer = (attr: Attr): Awaitable<Reply> => {
    const reply: Reply = { kind: body.op === 'statx' ? 'statx' : 'attr', attr, attrValidMs: 0 }
    const isChange = body.op === 'setattr'
    const dropping = isChange ? policy.beforeAnswer(ino) : policy.beforeAttributes(ino)
    return whenDone(dropping, () => reply)
  }
  const attr =
    body.op === 'setattr' ? fs.setattr(request, ino, body.changes) : fs.getattr(request, ino)
  return whenDone(attr, answer)
}

async function serveQuery(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: Extract<RequestBody, { readonly op: 'readlink' | 'statfs' | 'lseek' }>
): Promise<Reply> {
  switch (body.op) {
    case 'readlink':
      return { kind: 'data', data: await fs.readlink(request, request.nodeid) }
    case 'statfs':
      return { kind: 'statfs', statfs: await fs.statfs(request) }
    case 'lseek': {
      const { handle, offset, whence } = body
      const found = await fs.lseek(request, request.nodeid, handle, offset, whence)
      return { kind: 'position', offset: found }
    }
  }
}

/** Requests that answer with nothing but success. */
function servePlain(
  components: ServeComponents,
  request: ServedRequest,
  body: RequestBody
): Awaitable<Reply> {
  if (body.op === 'unsupported') return errorReply(unsupportedErrno(request.opcode))
  return whenDone(doPlain(components, request, body), () => okReply)
}

function doPlain(
  { fs }: ServeComponents,
  request: ServedRequest,
  body: RequestBody
): Awaitable<void> {
  const ino = request.nodeid
  switch (body.op) {
    case 'unlink':
      return fs.unlink(request, ino, body.name)
    case 'rmdir':
      return fs.rmdir(request, ino, body.name)
    case 'flush':
      return fs.flush(request, ino, body.handle, body.lockOwner)
    case 'fsync':
      return fs.fsync(request, ino, body.handle, body.dataOnly)
    case 'fsyncdir':
      return fs.fsyncdir(request, ino, body.handle)
    case 'release':
      return fs.release(ino, body.handle)
    case 'releasedir':
      return fs.releasedir(ino, body.handle)
    case 'setxattr':
      return fs.setxattr(request, ino, body.name, body.value, body.flags, body.killSetGid)
    case 'removexattr':
      return fs.removexattr(request, ino, body.name)
    case 'fallocate':
      return fs.fallocate(request, ino, body.handle, body.mode, body.offset, body.length)
    default:
      throw new AssertionError(`no handler for ${body.op}`)
  }
}
