/** Lock requests: bytes, admission, interrupts, closes that are not served. */
import test from 'brittle'
import { Errno, FsError } from '../../../src/fs/errno.ts'
import type { RequestContext } from '../../../src/fs/filesystem-api.ts'
import { LOCK_END } from '../../../src/fs/ports/lock-service.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { type DispatcherOptions, FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { ReplyEncoder } from '../../../src/mount/fuse/encode.ts'
import { openGate, type RequestGate } from '../../../src/mount/fuse/gate.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { printReply, printRequest } from '../../../src/mount/fuse/print.ts'
import type { FuseRequest } from '../../../src/mount/fuse/request.ts'
import {
  bodyOf,
  FakeChannel,
  initMessage,
  ManualClock,
  MemoryLogger,
  message,
  u32,
  u64
} from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

const READ = 0
const WRITE = 1
const UNLOCK = 2

interface LockFields {
  readonly handle?: bigint | number
  readonly owner?: bigint
  readonly start?: bigint
  readonly end?: bigint
  readonly type?: number
  readonly pid?: number
  readonly flags?: number
}

/** struct fuse_lk_in. */
function lockBody(fields: LockFields = {}): Buffer {
  const { handle = 3, owner = 0xfeed_0000_0000_0001n, start = 0n, end = LOCK_END } = fields
  const { type = WRITE, pid = 77, flags = 0 } = fields
  return bodyOf(u64(handle, owner, start, end), u32(type, pid, flags, 0))
}

function decode(bytes: Buffer): FuseRequest | number {
  const result = new RequestDecoder().decode(bytes)
  return result.ok ? result : result.errno
}

test('locks decode - the golden bytes of SETLKW', (t) => {
  const bytes = Buffer.from(
    '580000002100000004000000000000000500000000000000e8030000640000004d00000000000000' +
      '0300000000000000' + // handle
      '0100000000edfe00' + // owner
      '0a00000000000000' + // start
      'ffffffffffffff7f' + // end
      '01000000' + // F_WRLCK
      '4d000000' + // pid
      '0000000000000000', // flags
    'hex'
  )
  const request = decode(bytes)
  if (typeof request === 'number') return t.fail(`errno ${request}`)
  t.alike(request.body, {
    op: 'setlk',
    handle: 3,
    request: {
      kind: 'record',
      type: 'write',
      start: 10n,
      end: LOCK_END,
      owner: 0xfe_ed00_0000_0001n,
      pid: 77
    },
    wait: true
  } as never)
  t.is(
    printRequest(request),
    '> 4 SETLKW ino=5 uid=1000 gid=100 pid=77 fh=3 lock=write range=10-EOF kind=record' +
      ' owner=0xfeed0000000001 lockPid=77'
  )
})

test('locks decode - kinds, types and whether they wait', (t) => {
  const short = (opcode: number, fields: LockFields): unknown => {
    const request = decode(message(opcode, lockBody(fields)))
    if (typeof request === 'number') return request
    const { body } = request
    if (body.op === 'getlk') return [body.op, body.request.kind, body.request.type]
    if (body.op === 'setlk') return [body.op, body.request.kind, body.request.type, body.wait]
    return body.op
  }
  t.alike(short(Opcode.GETLK, { type: READ }), ['getlk', 'record', 'read'])
  t.alike(short(Opcode.SETLK, { type: UNLOCK }), ['setlk', 'record', 'unlock', false])
  t.alike(short(Opcode.SETLK, {}), ['setlk', 'record', 'write', false])
  t.alike(short(Opcode.SETLKW, { flags: 1 }), ['setlk', 'flock', 'write', true])
  t.alike(short(Opcode.SETLKW, { flags: 1, type: UNLOCK }), ['setlk', 'flock', 'unlock', false])
  t.alike(short(Opcode.SETLK, { start: LOCK_END }), ['setlk', 'record', 'write', false])
})

test('locks decode - what no kernel may ask for gets EINVAL', (t) => {
  const refused: LockFields[] = [
    { start: 5n, end: 4n },
    { end: LOCK_END + 1n },
    { start: 2n ** 63n, end: 2n ** 64n - 1n },
    { start: 2n ** 64n - 1n, end: 0n },
    { type: 3 },
    { type: 0xffffffff },
    { flags: 2 },
    { flags: 0x80000001 },
    { flags: 1, start: 1n },
    { flags: 1, end: 10n }
  ]
  for (const opcode of [Opcode.GETLK, Opcode.SETLK, Opcode.SETLKW]) {
    for (const fields of refused) {
      t.is(decode(message(opcode, lockBody(fields))), Errno.EINVAL)
    }
    t.is(decode(message(opcode, lockBody({ handle: 2n ** 60n }))), Errno.EBADF)
    t.is(decode(message(opcode, lockBody().subarray(0, 47))), Errno.EINVAL)
    t.is(decode(message(opcode, bodyOf(lockBody(), u32(0)))), Errno.EINVAL)
  }
  t.is(decode(message(Opcode.GETLK, lockBody({ type: UNLOCK }))), Errno.EINVAL)
})

test('locks encode - the answer of GETLK', (t) => {
  const encoder = new ReplyEncoder()
  const conflict = { type: 'write', start: 2n ** 40n, end: LOCK_END, pid: 4242 } as const
  const bytes = Buffer.concat(encoder.encode(8, 0, { kind: 'lock', conflict }))
  t.is(
    bytes.toString('hex'),
    '28000000000000000800000000000000' +
      '0000000000010000' +
      'ffffffffffffff7f' +
      '0100000092100000'
  )
  const free = Buffer.concat(encoder.encode(8, 0, { kind: 'lock', conflict: undefined }))
  t.is(free.subarray(16).toString('hex'), `${'00'.repeat(16)}0200000000000000`)
  const header = { opcode: Opcode.GETLK, uniqueLow: 8, uniqueHigh: 0 }
  t.is(
    printReply(header, { kind: 'lock', conflict }),
    '< 8 GETLK lock=write range=1099511627776-EOF lockPid=4242'
  )
})

/** A filesystem whose locks are granted when the test says so. */
class WaitingLocks extends NaiveFilesystem {
  readonly waits: { readonly go: () => void; readonly ctx: RequestContext }[] = []

  override setlk(ctx: RequestContext): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = ctx
      if (signal === undefined) throw new Error('no signal')
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.waits.push({ ctx, go: resolve })
    })
  }
}

async function world(options: DispatcherOptions & { readonly gate?: RequestGate } = {}) {
  const fs = new WaitingLocks()
  const channel = new FakeChannel()
  const clock = new ManualClock()
  const logger = new MemoryLogger()
  const gate = options.gate ?? openGate
  const dispatcher = new FuseDispatcher(
    { channel, fs, policy: uncachedPolicy, gate, clock, logger, killPending: () => false },
    options
  )
  dispatcher.start()
  await channel.ask(initMessage())
  return { fs, channel, clock, dispatcher, logger }
}

let lastUnique = 100n

function request(opcode: number, body: Uint8Array): Buffer {
  lastUnique += 2n
  return message(opcode, body, { unique: lastUnique })
}

function interruptOf(bytes: Buffer): Buffer {
  const unique = bytes.readBigUInt64LE(8)
  return message(Opcode.INTERRUPT, u64(unique), { unique: unique | 1n, nodeid: 0n })
}

test('locks dispatch - any signal ends a wait for a lock, once', async (t) => {
  const { channel, fs, clock } = await world()
  const wait = request(Opcode.SETLKW, lockBody())
  const answer = channel.ask(wait)
  t.is(fs.waits.length, 1)
  channel.send(interruptOf(wait))
  channel.send(interruptOf(wait))
  t.is((await answer).errno, Errno.EINTR)
  t.is(channel.repliesTo(wait.readBigUInt64LE(8)).length, 1)
  t.is(clock.timers, 0)

  const plain = request(Opcode.SETLK, lockBody())
  const unlock = request(Opcode.SETLKW, lockBody({ type: UNLOCK, flags: 1 }))
  const answers = [channel.ask(plain), channel.ask(unlock)]
  channel.send(interruptOf(plain))
  channel.send(interruptOf(unlock))
  fs.waits[1]?.go()
  fs.waits[2]?.go()
  for (const reply of await Promise.all(answers)) {
    t.is(reply.errno, 0, 'what does not wait for others is not ended')
  }
})

test('locks dispatch - a lock granted before the signal stays granted', async (t) => {
  const { channel, fs } = await world()
  const wait = request(Opcode.SETLKW, lockBody())
  const answer = channel.ask(wait)
  fs.waits[0]?.go()
  channel.send(interruptOf(wait))
  t.is((await answer).errno, 0)
  t.is(channel.repliesTo(wait.readBigUInt64LE(8)).length, 1)
})

test('locks dispatch - waits take no place of other requests and are bounded', async (t) => {
  const admission = { servingMax: 1, servingMaxBytes: 1000, waitingMax: 1 }
  const { channel, fs, dispatcher, logger } = await world({ admission, lockWaitsMax: 3 })
  const waits = [1, 2, 3, 4].map(() => channel.ask(request(Opcode.SETLKW, lockBody())))
  t.is((await waits[3])?.errno, Errno.ENOLCK)
  t.ok(logger.lines.some((line) => line.message === 'too many waits for locks'))
  t.is((await channel.ask(request(Opcode.STATFS, Buffer.alloc(0)))).errno, 0)
  fs.waits[0]?.go()
  t.is((await waits[0])?.errno, 0)
  await new Promise((resolve) => setImmediate(resolve))
  const again = channel.ask(request(Opcode.SETLKW, lockBody()))
  t.is(fs.waits.length, 4)
  for (const wait of fs.waits) wait.go()
  t.is((await again).errno, 0)
  await dispatcher.idle()
  t.is(dispatcher.inFlight, 0)
})

test('locks dispatch - a close that is not served ends the locks of its owner', async (t) => {
  const gate: RequestGate = {
    beforeServe: () => {
      throw new FsError('EIO', 'isolated')
    },
    untilReply: () => Promise.resolve(),
    beforeReply: () => 0
  }
  const { channel, fs } = await world({ gate })
  const flush = request(Opcode.FLUSH, bodyOf(u64(3), u32(0, 0), u64(0xabcn)))
  t.is((await channel.ask(flush)).errno, Errno.EIO)
  t.alike(fs.droppedOwners, [0xabcn])
})

test('locks dispatch - the end of the mount ends the waits', async (t) => {
  const { channel, dispatcher } = await world()
  channel.send(request(Opcode.SETLKW, lockBody()))
  t.is(dispatcher.inFlight, 1)
  await channel.close()
  await dispatcher.idle()
  t.is(dispatcher.inFlight, 0)
})
