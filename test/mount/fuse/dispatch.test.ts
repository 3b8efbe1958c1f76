import test from 'brittle'
import { Errno, FsError } from '../../../src/fs/errno.ts'
import type { RequestContext } from '../../../src/fs/filesystem-api.ts'
import type { ROOT_INO } from '../../../src/fs/primitives.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { type DispatcherOptions, FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate, type RequestGate } from '../../../src/mount/fuse/gate.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import {
  bodyOf,
  FakeChannel,
  initMessage,
  ManualClock,
  MemoryLogger,
  message,
  readBody,
  strings,
  u32,
  u64,
  writeBody
} from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

interface World {
  readonly fs: NaiveFilesystem
  readonly channel: FakeChannel
  readonly logger: MemoryLogger
  readonly clock: ManualClock
  readonly dying: Set<number>
  readonly dispatcher: FuseDispatcher
}

async function world(
  options: DispatcherOptions & { readonly gate?: RequestGate } = {},
  fs: NaiveFilesystem = new NaiveFilesystem()
): Promise<World> {
  const channel = new FakeChannel()
  const logger = new MemoryLogger()
  const clock = new ManualClock()
  const dying = new Set<number>()
  const gate = options.gate ?? openGate
  const killPending = (pid: number): boolean => dying.has(pid)
  const dispatcher = new FuseDispatcher(
    { channel, fs, policy: uncachedPolicy, gate, clock, logger, killPending },
    options
  )
  dispatcher.start()
  const init = await channel.ask(initMessage())
  if (init.errno !== 0) throw new Error('INIT failed')
  await dispatcher.ready
  return { fs, channel, logger, clock, dying, dispatcher }
}

let lastUnique = 100n

function request(opcode: number, body: Uint8Array = Buffer.alloc(0), nodeid = 1n): Buffer {
  lastUnique += 2n
  return message(opcode, body, { unique: lastUnique, nodeid })
}

function createBody(name: string): Buffer {
  return bodyOf(u32(0o302, 0o100644, 0, 0), strings(name))
}

async function createFile(
  channel: FakeChannel,
  name: string
): Promise<{ ino: bigint; handle: number }> {
  const reply = await channel.ask(request(Opcode.CREATE, createBody(name)))
  if (reply.errno !== 0) throw new Error(`create: ${reply.errno}`)
  return { ino: reply.body.readBigUInt64LE(0), handle: Number(reply.body.readBigUInt64LE(128)) }
}

/** A filesystem whose statfs waits until it is let go or interrupted. */
class WaitingFilesystem extends NaiveFilesystem {
  readonly waiting: { readonly go: () => void; readonly ctx: RequestContext }[] = []

  override statfs(ctx?: RequestContext): ReturnType<NaiveFilesystem['statfs']> {
    if (ctx === undefined) throw new Error('no context')
    return new Promise((resolve, reject) => {
      const { signal } = ctx
      if (signal === undefined) throw new Error('no signal')
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.waiting.push({ ctx, go: () => resolve(super.statfs()) })
    })
  }
}

/** Lets every promise that can settle do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

test('dispatch - a file from create to release', async (t) => {
  const { channel, fs, dispatcher } = await world()
  const { ino, handle } = await createFile(channel, 'f')
  t.is(fs.openHandles.size, 1)
  const data = Buffer.from('hello')
  const written = await channel.ask(
    request(Opcode.WRITE, writeBody({ handle, offset: 3, data }), ino)
  )
  t.is(written.body.readUInt32LE(0), 5)
  const read = await channel.ask(request(Opcode.READ, readBody(handle, 0, 100), ino))
  t.alike(read.body, Buffer.from('\0\0\0hello'))
  const appended = request(
    Opcode.WRITE,
    writeBody({ handle, offset: 0, data: Buffer.from('!'), flags: 0o2001 }),
    ino
  )
  t.is((await channel.ask(appended)).errno, 0)
  const attr = await channel.ask(request(Opcode.GETATTR, Buffer.alloc(16), ino))
  t.is(attr.body.readBigUInt64LE(0), 0n, 'no validity')
  t.is(attr.body.readBigUInt64LE(24), 9n, 'appended at the end')
  const release = await channel.ask(
    request(Opcode.RELEASE, bodyOf(u64(handle), u32(0, 0), u64(0)), ino)
  )
  t.is(release.errno, 0)
  t.is(fs.openHandles.size, 0)
  t.is(channel.buffersHeld, 0)
  t.is(dispatcher.inFlight, 0)
  t.alike(dispatcher.statistics.snapshot()['WRITE']?.count, 2)
})

test('dispatch - page-cache writeback never appends, O_DSYNC is made durable', async (t) => {
  const { channel, fs } = await world()
  const { ino, handle } = await createFile(channel, 'f')
  const write = (writeFlags: number, flags: number): Promise<{ readonly errno: number }> =>
    channel.ask(
      request(
        Opcode.WRITE,
        writeBody({ handle, offset: 0, data: Buffer.from('x'), writeFlags, flags }),
        ino
      )
    )
  await write(0, 1)
  await write(1, 0o2001)
  t.is(fs.nodes.get(Number(ino) as typeof ROOT_INO)?.data.length, 1)
  t.is(fs.fsyncs, 0)
  await write(0, 0o10001)
  t.is(fs.fsyncs, 1)
})

test('dispatch - readdir packs what fits and goes on at the cookie', async (t) => {
  const { channel } = await world()
  for (let i = 0; i < 50; i += 1)
    await channel.ask(request(Opcode.MKDIR, bodyOf(u32(0o755, 0), strings(`dir-${i}`))))
  const names: string[] = []
  let cookie = 0n
  for (;;) {
    const { errno, body } = await channel.ask(request(Opcode.READDIR, readBody(1, cookie, 256)))
    t.is(errno, 0)
    if (body.length === 0) break
    for (let at = 0; at < body.length; ) {
      const length = body.readUInt32LE(at + 16)
      cookie = body.readBigUInt64LE(at + 8)
      names.push(body.toString('latin1', at + 24, at + 24 + length))
      at += (24 + length + 7) & ~7
    }
  }
  t.is(names.length, 52)
  t.is(new Set(names).size, 52)
  t.is((await channel.ask(request(Opcode.READDIR, readBody(1, 0, 8)))).errno, Errno.EINVAL)
})

test('dispatch - extended attributes in two steps', async (t) => {
  const { channel } = await world()
  const value = Buffer.from('value')
  await channel.ask(request(Opcode.SETXATTR, bodyOf(u32(5, 0, 0, 0), strings('user.a'), value)))
  const get = (size: number): ReturnType<FakeChannel['ask']> =>
    channel.ask(request(Opcode.GETXATTR, bodyOf(u32(size, 0), strings('user.a'))))
  t.is((await get(0)).body.readUInt32LE(0), 5)
  t.alike((await get(5)).body, value)
  t.is((await get(4)).errno, Errno.ERANGE)
  const list = await channel.ask(request(Opcode.LISTXATTR, u32(100, 0)))
  t.alike(list.body, strings('user.a'))
})

test('dispatch - errors become errno in one place', async (t) => {
  const internal: unknown[] = []
  const { channel, fs, logger } = await world({ onInternalError: (error) => internal.push(error) })
  t.is((await channel.ask(request(Opcode.LOOKUP, strings('nobody')))).errno, Errno.ENOENT)
  t.is(internal.length, 0)
  fs.getattr = async () => {
    throw new TypeError('boom')
  }
  const broken = request(Opcode.GETATTR, Buffer.alloc(16))
  t.is((await channel.ask(broken)).errno, Errno.EIO)
  t.is(internal.length, 1)
  const line = logger.lines.find((entry) => entry.level === 'error')
  t.ok(String(line?.fields['error']).includes('TypeError: boom\n'), 'the stack is logged')
  fs.fsync = async () => {
    throw new FsError('ENOSYS')
  }
  const sync = request(Opcode.FSYNC, bodyOf(u64(1), u32(0, 0)))
  t.is((await channel.ask(sync)).errno, Errno.EIO, 'ENOSYS would mean: always synced')
})

test('dispatch - opcodes that are not served', async (t) => {
  const { channel } = await world()
  const answers: [number, number][] = [
    [Opcode.ACCESS, Errno.ENOSYS],
    [Opcode.POLL, Errno.ENOSYS],
    [Opcode.BMAP, Errno.ENOSYS],
    [Opcode.IOCTL, Errno.ENOTTY],
    [Opcode.SYNCFS, Errno.EOPNOTSUPP],
    [63, Errno.ENOSYS],
    [70000, Errno.ENOSYS]
  ]
  for (const [opcode, errno] of answers) {
    t.is((await channel.ask(request(opcode, Buffer.alloc(48)))).errno, errno, `opcode ${opcode}`)
  }
  t.is(channel.buffersHeld, 0)
})

test('dispatch - malformed requests are answered, forgets are not', async (t) => {
  const { channel, dispatcher } = await world()
  t.is((await channel.ask(request(Opcode.LOOKUP, strings('a/b')))).errno, Errno.EINVAL)
  const before = channel.replies.length
  channel.send(Buffer.alloc(20))
  channel.send(request(Opcode.FORGET, u64(1)))
  channel.send(request(Opcode.FORGET, u32(1)))
  channel.send(request(Opcode.BATCH_FORGET, bodyOf(u32(1, 0), u64(1, 1)), 0n))
  await settle()
  t.is(channel.replies.length, before)
  t.is(channel.buffersHeld, 0)
  t.is(dispatcher.inFlight, 0)
})

test('dispatch - nothing is served before INIT', async (t) => {
  const channel = new FakeChannel()
  const logger = new MemoryLogger()
  const dispatcher = new FuseDispatcher({
    channel,
    fs: new NaiveFilesystem(),
    policy: uncachedPolicy,
    gate: openGate,
    clock: new ManualClock(),
    logger,
    killPending: () => false
  })
  dispatcher.start()
  t.is((await channel.ask(request(Opcode.STATFS))).errno, Errno.EIO)
  const old = message(Opcode.INIT, u32(7, 12, 0, 0), { unique: 6n, nodeid: 0n })
  t.is((await channel.ask(old)).errno, Errno.EPROTO)
  await t.exception(dispatcher.ready)
})

test('dispatch - a killed process gets EINTR once', async (t) => {
  const fs = new WaitingFilesystem()
  const { channel, dying, clock } = await world({}, fs)
  const waiting = request(Opcode.STATFS)
  const unique = waiting.readBigUInt64LE(8)
  const answer = channel.ask(waiting)
  const interrupt = message(Opcode.INTERRUPT, u64(unique), { unique: unique | 1n, nodeid: 0n })
  channel.send(interrupt)
  await settle()
  t.is(channel.repliesTo(unique).length, 0, 'other signals do not end it')
  dying.add(77)
  clock.advance(100)
  t.is((await answer).errno, Errno.EINTR)
  channel.send(interrupt)
  await settle()
  t.is(channel.repliesTo(unique).length, 1)
  t.alike(
    channel.repliesTo(unique | 1n).map((reply) => reply.errno),
    [Errno.EAGAIN],
    'unknown by now'
  )
  t.is(clock.timers, 0)
})

test('dispatch - requests in flight are bounded', async (t) => {
  const fs = new WaitingFilesystem()
  const admission = { servingMax: 2, servingMaxBytes: 1000, waitingMax: 2 }
  const { channel, dispatcher, dying } = await world({ admission }, fs)
  const requests = [1, 2, 3, 4, 5].map(() => request(Opcode.STATFS))
  const answers = requests.map((bytes) => channel.ask(bytes))
  t.is((await answers[4])?.errno, Errno.ENOMEM)
  t.is(fs.waiting.length, 2)
  t.is(dispatcher.inFlight, 4)
  dying.add(77)
  const fourth = requests[3]?.readBigUInt64LE(8) ?? 0n
  channel.send(message(Opcode.INTERRUPT, u64(fourth), { unique: fourth | 1n, nodeid: 0n }))
  t.is((await answers[3])?.errno, Errno.EINTR, 'while it waits for its turn')
  fs.waiting[0]?.go()
  t.is((await answers[0])?.errno, 0)
  await settle()
  t.is(fs.waiting.length, 3)
  fs.waiting[1]?.go()
  fs.waiting[2]?.go()
  await dispatcher.idle()
  t.is(dispatcher.inFlight, 0)
})

test('dispatch - a WRITE keeps its buffer until it is settled, others do not', async (t) => {
  const fs = new NaiveFilesystem()
  let go: () => void = () => {}
  let seen = ''
  fs.write = async (_ctx, _ino, _handle, _offset, data) => {
    await new Promise<void>((resolve) => {
      go = resolve
    })
    seen = Buffer.from(data).toString()
    return data.length
  }
  const { channel } = await world({}, fs)
  const answer = channel.ask(
    request(Opcode.WRITE, writeBody({ handle: 1, offset: 0, data: Buffer.from('payload') }))
  )
  await settle()
  t.is(channel.buffersHeld, 1)
  go()
  t.is((await answer).errno, 0)
  t.is(seen, 'payload')
  t.is(channel.buffersHeld, 0)
})

test('gate - refuses before serving, and before answering', async (t) => {
  let before: FsError | undefined
  let after = 0
  const gate: RequestGate = {
    beforeServe: () => {
      if (before !== undefined) throw before
    },
    untilReply: () => Promise.resolve(),
    beforeReply: () => after
  }
  const { channel, fs } = await world({ gate })
  before = new FsError('EIO', 'isolated')
  t.is((await channel.ask(request(Opcode.CREATE, createBody('a')))).errno, Errno.EIO)
  t.is(fs.nodes.size, 1, 'nothing happened')
  before = undefined
  after = Errno.EIO
  t.is((await channel.ask(request(Opcode.CREATE, createBody('b')))).errno, Errno.EIO)
  await settle()
  t.is(fs.openHandles.size, 0, 'a handle nobody heard of is given back')
  t.is((await channel.ask(request(Opcode.OPENDIR, u32(0, 0)))).errno, Errno.EIO)
  await settle()
  t.is(fs.openHandles.size, 0)
  const release = request(Opcode.RELEASE, bodyOf(u64(9), u32(0, 0), u64(0)))
  t.is((await channel.ask(release)).errno, 0, 'releases pass')
})

test('gate - an answer that is ready waits until it may be given', async (t) => {
  let giveBack: () => void = () => {}
  let errno = Errno.EIO as number
  const back = new Promise<void>((resolve) => {
    giveBack = resolve
  })
  const gate: RequestGate = {
    ...openGate,
    untilReply: () => back,
    beforeReply: () => errno
  }
  const { channel, fs } = await world({ gate })
  const answer = channel.ask(request(Opcode.CREATE, createBody('a')))
  await settle()
  t.is(fs.nodes.size, 2, 'it is served')
  errno = 0
  giveBack()
  t.is((await answer).errno, 0)
  t.is(fs.openHandles.size, 1)
})

test('gate - blocks until the right is back', async (t) => {
  let open: () => void = () => {}
  const closed = new Promise<void>((resolve) => {
    open = resolve
  })
  const gate: RequestGate = { ...openGate, beforeServe: () => closed }
  const { channel } = await world({ gate })
  const waiting = request(Opcode.STATFS)
  const answer = channel.ask(waiting)
  await settle()
  t.is(channel.repliesTo(waiting.readBigUInt64LE(8)).length, 0)
  open()
  t.is((await answer).errno, 0)
})

test('dispatch - a reply the channel refuses', async (t) => {
  const { channel, fs, logger } = await world()
  const create = request(Opcode.CREATE, createBody('f'))
  channel.failNext = new Error('EINVAL')
  t.is((await channel.ask(create)).errno, Errno.EIO)
  await settle()
  t.is(fs.openHandles.size, 0)
  t.ok(logger.lines.some((line) => line.message === 'reply not written'))
})

test('dispatch - the end of the mount ends all waits', async (t) => {
  const fs = new WaitingFilesystem()
  const admission = { servingMax: 1, servingMaxBytes: 1000, waitingMax: 10 }
  const { channel, dispatcher } = await world({ admission }, fs)
  channel.send(request(Opcode.STATFS))
  channel.send(request(Opcode.STATFS))
  await settle()
  t.is(dispatcher.inFlight, 2)
  await channel.close()
  await dispatcher.idle()
  t.is(await dispatcher.closed, undefined)
  t.is(fs.waiting.length, 1, 'what had not begun never does')
})

test('dispatch - debug lines', async (t) => {
  const lines: string[] = []
  const { channel } = await world({ debug: (line) => lines.push(line) })
  const lookup = message(Opcode.LOOKUP, strings('a\nb'), { unique: 8n })
  await channel.ask(lookup)
  t.alike(lines.slice(-2), [
    '> 8 LOOKUP ino=1 uid=1000 gid=100 pid=77 name="a\\nb"',
    '< 8 LOOKUP ENOENT entryMs=0'
  ])
  t.ok(lines[0]?.includes('flags=ASYNC_READ|POSIX_LOCKS'))
})

test('dispatch - all waits can be ended with one reason', async (t) => {
  const fs = new WaitingFilesystem()
  const admission = { servingMax: 1, servingMaxBytes: 1000, waitingMax: 10 }
  const { channel, dispatcher } = await world({ admission }, fs)
  const answers = [channel.ask(request(Opcode.STATFS)), channel.ask(request(Opcode.STATFS))]
  await settle()
  dispatcher.endWaits(new FsError('EIO', 'isolated for too long'))
  t.alike(
    (await Promise.all(answers)).map((reply) => reply.errno),
    [Errno.EIO, Errno.EIO]
  )
  t.is(fs.waiting.length, 1)
  t.is(dispatcher.inFlight, 0)
})
