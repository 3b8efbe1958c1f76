/**
 * The smallest thing a kernel can mount: an empty root with one regular file, enough to test a
 * channel without the protocol layer. Runs in the test process; only children touch the mount.
 */
import type { FuseChannel } from '../../../src/mount/channel/channel.ts'

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  MKDIR: 9,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  INTERRUPT: 36,
  BATCH_FORGET: 42
} as const

const ENOENT = 2
const ENOSYS = 38
const IN_HEADER_BYTES = 40
const OUT_HEADER_BYTES = 16
const FILE_NODE = 2n
const FOPEN_DIRECT_IO = 1
const FOPEN_PARALLEL_DIRECT_WRITES = 64
const OPEN_FLAGS = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES
const INIT_BIG_WRITES_MAX_PAGES = (1 << 5) | (1 << 22)

export interface TinyOptions {
  readonly attrValidSeconds?: number
  /** Called for each WRITE; the reply is sent when it resolves. */
  readonly onWrite?: (payload: Buffer) => Promise<void>
  /** Requests of these opcodes are read and never answered. */
  readonly unanswered?: readonly number[]
}

export interface TinyResponder {
  readonly opcodes: Map<number, number>
  readonly closed: Promise<Error | undefined>
  readonly initialised: Promise<void>
  fileSizeBytes: number
}

function attr(node: bigint, sizeBytes: number): Buffer {
  const out = Buffer.alloc(88)
  out.writeBigUInt64LE(node, 0)
  out.writeBigUInt64LE(BigInt(sizeBytes), 8)
  out.writeUInt32LE(node === 1n ? 0o040755 : 0o100666, 60)
  out.writeUInt32LE(node === 1n ? 2 : 1, 64)
  out.writeUInt32LE(4096, 80)
  return out
}

/** Starts `channel` and answers until it closes. */
export function serveTiny(channel: FuseChannel, options: TinyOptions = {}): TinyResponder {
  let onClosed: (error: Error | undefined) => void = () => {}
  let onInitialised: () => void = () => {}
  const responder: TinyResponder = {
    opcodes: new Map(),
    closed: new Promise((resolve) => {
      onClosed = resolve
    }),
    initialised: new Promise((resolve) => {
      onInitialised = resolve
    }),
    fileSizeBytes: 0
  }
  const answer = (unique: bigint, errno: number, body?: Buffer): void => {
    const header = Buffer.alloc(OUT_HEADER_BYTES)
    header.writeUInt32LE(OUT_HEADER_BYTES + (body?.length ?? 0), 0)
    header.writeInt32LE(-errno, 4)
    header.writeBigUInt64LE(unique, 8)
    channel.reply(body === undefined ? [header] : [header, body])
  }
  channel.start({
    onClose: onClosed,
    onRequest: (request, release) => {
      const opcode = request.readUInt32LE(4)
      const unique = request.readBigUInt64LE(8)
      const node = request.readBigUInt64LE(16)
      responder.opcodes.set(opcode, (responder.opcodes.get(opcode) ?? 0) + 1)
      if (opcode === Opcode.WRITE && options.onWrite !== undefined) {
        const payload = request.subarray(IN_HEADER_BYTES + 40)
        void options.onWrite(payload).then(() => {
          answer(unique, 0, written(responder, request))
          release()
        })
        return
      }
      if (options.unanswered?.includes(opcode) === true) {
        release()
        return
      }
      const { errno, body } = respond(responder, options, opcode, node, request)
      release()
      if (errno >= 0) answer(unique, errno, body)
      if (opcode === Opcode.INIT) onInitialised()
    }
  })
  return responder
}

function written(responder: TinyResponder, request: Buffer): Buffer {
  const offset = Number(request.readBigUInt64LE(IN_HEADER_BYTES + 8))
  const sizeBytes = request.readUInt32LE(IN_HEADER_BYTES + 16)
  responder.fileSizeBytes = Math.max(responder.fileSizeBytes, offset + sizeBytes)
  const out = Buffer.alloc(8)
  out.writeUInt32LE(sizeBytes, 0)
  return out
}

interface Answer {
  /** -1 = this request has no reply. */
  readonly errno: number
  readonly body?: Buffer
}

function respond(
  responder: TinyResponder,
  options: TinyOptions,
  opcode: number,
  node: bigint,
  request: Buffer
): Answer {
  const valid = BigInt(options.attrValidSeconds ?? 0)
  switch (opcode) {
    case Opcode.INIT:
      return { errno: 0, body: initReply() }
    case Opcode.GETATTR:
    case Opcode.SETATTR: {
      const head = Buffer.alloc(16)
      head.writeBigUInt64LE(valid, 0)
      const body = Buffer.concat([head, attr(node, node === 1n ? 0 : responder.fileSizeBytes)])
      return { errno: 0, body }
    }
    case Opcode.LOOKUP: {
      const name = request.toString('utf8', IN_HEADER_BYTES, request.length - 1)
      if (name !== 'f') return { errno: ENOENT }
      const head = Buffer.alloc(40)
      head.writeBigUInt64LE(FILE_NODE, 0)
      head.writeBigUInt64LE(valid, 16)
      head.writeBigUInt64LE(valid, 24)
      return { errno: 0, body: Buffer.concat([head, attr(FILE_NODE, responder.fileSizeBytes)]) }
    }
    case Opcode.OPEN:
    case Opcode.OPENDIR: {
      const body = Buffer.alloc(16)
      body.writeUInt32LE(opcode === Opcode.OPEN ? OPEN_FLAGS : 0, 8)
      return { errno: 0, body }
    }
    case Opcode.WRITE:
      return { errno: 0, body: written(responder, request) }
    case Opcode.READ:
    case Opcode.READDIR:
    case Opcode.RELEASE:
    case Opcode.RELEASEDIR:
    case Opcode.FLUSH:
    case Opcode.FSYNC:
      return { errno: 0 }
    case Opcode.STATFS:
      return { errno: 0, body: Buffer.alloc(80) }
    case Opcode.FORGET:
    case Opcode.BATCH_FORGET:
    case Opcode.INTERRUPT:
      return { errno: -1 }
    default:
      return { errno: ENOSYS }
  }
}

function initReply(): Buffer {
  const body = Buffer.alloc(64)
  body.writeUInt32LE(7, 0)
  body.writeUInt32LE(31, 4)
  body.writeUInt32LE(131072, 8)
  body.writeUInt32LE(INIT_BIG_WRITES_MAX_PAGES, 12)
  body.writeUInt16LE(16, 16)
  body.writeUInt16LE(12, 18)
  body.writeUInt32LE(1 << 20, 20)
  body.writeUInt32LE(1, 24)
  body.writeUInt16LE(256, 28)
  return body
}

/** NOTIFY_INVAL_INODE for attributes and the whole page cache of a node. */
export function invalInode(node: bigint): Buffer {
  const out = Buffer.alloc(40)
  out.writeUInt32LE(40, 0)
  out.writeInt32LE(2, 4)
  out.writeBigUInt64LE(0n, 8)
  out.writeBigUInt64LE(node, 16)
  return out
}

/** NOTIFY_INVAL_ENTRY: drops a name from the kernel's cache, under the lock of its directory. */
export function invalEntry(parent: bigint, name: string): Buffer {
  const bytes = Buffer.from(`${name}\0`)
  const out = Buffer.alloc(32 + bytes.length)
  out.writeUInt32LE(out.length, 0)
  out.writeInt32LE(3, 4)
  out.writeBigUInt64LE(parent, 16)
  out.writeUInt32LE(bytes.length - 1, 24)
  bytes.copy(out, 32)
  return out
}
