/** What the dispatcher and the cache policy have to know of requests of different kinds. */
import type { Ino } from '../../fs/primitives.ts'
import { Opcode } from './abi.ts'
import type { FuseRequest } from './request.ts'
import type { ServedRequest } from './served-request.ts'

/** ENOSYS to these tells the kernel "always succeeds from now on": never on an error's behalf. */
export const silencedByEnosys: ReadonlySet<number> = new Set([
  Opcode.FSYNC,
  Opcode.FSYNCDIR,
  Opcode.FLUSH,
  Opcode.OPEN,
  Opcode.OPENDIR
])

/** Nobody waits for these: the gate and the admission let them pass. */
export function isUnwatched(opcode: number): boolean {
  return opcode === Opcode.RELEASE || opcode === Opcode.RELEASEDIR
}

export function isLockWait({ body }: ServedRequest): boolean {
  return body.op === 'setlk' && body.wait
}

const NONE: readonly Ino[] = []

/** Directories in which the request makes, renames or removes something. */
export function changedDirectories({ body, nodeid }: ServedRequest): readonly Ino[] {
  switch (body.op) {
    case 'rename':
      return [body.newParent, nodeid]
    case 'create':
    case 'mkdir':
    case 'mknod':
    case 'symlink':
    case 'link':
    case 'unlink':
    case 'rmdir':
      return [nodeid]
    default:
      return NONE
  }
}

/** Memory a request and its answer may pin. */
export function costOf({ body }: FuseRequest): number {
  if (body.op === 'write') return body.data.length
  return body.op === 'read' || body.op === 'readdir' ? body.size : 0
}

export function expectsReply(opcode: number): boolean {
  return (
    opcode !== Opcode.FORGET && opcode !== Opcode.BATCH_FORGET && opcode !== Opcode.NOTIFY_REPLY
  )
}
