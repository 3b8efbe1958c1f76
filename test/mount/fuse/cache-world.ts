/** A kernel made of tables, and the cache policy in front of a naive filesystem. */
import { BareInodes } from '../../../src/mount/channel/bare-inodes.ts'
import type { ReadyAttributes } from '../../../src/mount/channel/ready-attributes.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { KernelCache } from '../../../src/mount/fuse/kernel-cache.ts'
import {
  FakeChannel,
  initBody,
  ManualClock,
  MemoryLogger,
  message,
  type ParsedReply,
  readBody,
  u64
} from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

export const context = { uid: 0, gid: 0, pid: 1 }

/** A channel whose kernel can be told not to know inodes. */
export class CachingChannel extends FakeChannel {
  readonly bareInodes = new BareInodes()
  readyAttributes?: ReadyAttributes
  unknown = 0

  override notifyNow(notification: Uint8Array): boolean {
    super.notifyNow(notification)
    if (this.unknown === 0) return true
    this.unknown--
    return false
  }
}

interface World {
  readonly channel: CachingChannel
  readonly fs: NaiveFilesystem
  readonly clock: ManualClock
  readonly cache: KernelCache
  readonly ask: (opcode: number, body: Uint8Array, nodeid?: bigint) => Promise<ParsedReply>
  /** What is mounted below. */
  readonly submounts: string[]
  /** Codes and nodeids of the notifications since the last call. */
  readonly told: () => string[]
}

let lastUnique = 1000n

/** The kernel counts up by two. */
export function nextUnique(): bigint {
  lastUnique += 2n
  return lastUnique
}

export const LIST_HANDLE = 9
export const listFrom = (cookie: number): Buffer => readBody(LIST_HANDLE, cookie, 4096)

export async function world(
  options: { minor?: number; leaseLeftMs?: number; ready?: ReadyAttributes } = {}
): Promise<World> {
  const { minor = 45, leaseLeftMs = 3050, ready } = options
  const channel = new CachingChannel()
  if (ready !== undefined) channel.readyAttributes = ready
  const fs = new NaiveFilesystem()
  const clock = new ManualClock()
  const logger = new MemoryLogger()
  const submounts: string[] = []
  const cache = new KernelCache({
    clock,
    logger,
    leaseLeftMs: () => leaseLeftMs,
    hasSubmounts: () => submounts.length > 0,
    inodeOf: (ino) => fs.describe(ino),
    attrOf: (ino) => fs.attr(ino),
    isBare: (ino) => fs.isBare(ino)
  })
  const dispatcher = new FuseDispatcher({
    channel,
    fs,
    policy: cache,
    gate: openGate,
    clock,
    logger,
    killPending: () => false
  })
  dispatcher.start()
  const ask: World['ask'] = (opcode, body, nodeid = 1n) => {
    return channel.ask(message(opcode, body, { unique: nextUnique(), nodeid }))
  }
  await ask(Opcode.INIT, initBody(7, minor), 0n)
  const told = (): string[] =>
    channel.notifications.splice(0).map((bytes) => {
      const code = bytes.readInt32LE(4)
      return code === 8 ? 'epoch' : `${code} of ${bytes.readBigUInt64LE(16)}`
    })
  return { channel, fs, clock, cache, ask, submounts, told }
}

/** Milliseconds of validity in the answer to a LOOKUP: of the name, of the attributes. */
export function validities({ body }: ParsedReply): number[] {
  const ms = (sec: number, nsec: number): number =>
    Number(body.readBigUInt64LE(sec)) * 1000 + body.readUInt32LE(nsec) / 1e6
  return [ms(16, 32), ms(24, 36)]
}

export const getattr = u64(0, 0)
export const attrMs = ({ body }: ParsedReply): number =>
  Number(body.readBigUInt64LE(0)) * 1000 + body.readUInt32LE(8) / 1e6
