import test from 'brittle'
import type { Op } from '../../../src/fs/op.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { BareInodes } from '../../../src/mount/channel/bare-inodes.ts'
import { ReadyAttributes } from '../../../src/mount/channel/ready-attributes.ts'
import { Opcode, OpenReplyFlag } from '../../../src/mount/fuse/abi.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { DropLog } from '../../../src/mount/fuse/drop-log.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { KernelCache } from '../../../src/mount/fuse/kernel-cache.ts'
import { KnownInodes } from '../../../src/mount/fuse/known-inodes.ts'
import {
  bodyOf,
  FakeChannel,
  initBody,
  ManualClock,
  MemoryLogger,
  message,
  type ParsedReply,
  readBody,
  strings,
  u32,
  u64
} from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

const context = { uid: 0, gid: 0, pid: 1 }

test('drop log - what was dropped since a position', (t) => {
  const log = new DropLog()
  const before = log.position
  log.note(5 as Ino)
  const between = log.position
  log.note(6 as Ino)
  t.alike(
    [before, between, log.position].map((at) => log.droppedSince(5 as Ino, at)),
    [true, false, false]
  )
  t.ok(log.droppedSince(6 as Ino, between))
  t.absent(log.droppedSince(7 as Ino, before))
  log.noteAll()
  t.ok(log.droppedSince(7 as Ino, between), 'all')
  t.absent(log.droppedSince(5 as Ino, log.position))
})

test('drop log - bounded: what is long past counts as dropped', (t) => {
  const log = new DropLog()
  log.note(1 as Ino)
  const start = log.position
  for (let i = 0; i < 4096; i++) log.note((100 + i) as Ino)
  t.absent(log.droppedSince(1 as Ino, start), 'still exact')
  for (let i = 0; i < 8192; i++) log.note((10_000 + i) as Ino)
  t.ok(log.droppedSince(1 as Ino, start), 'not known any more')
  t.ok(log.droppedSince(18_191 as Ino, log.position - 1))
  t.absent(log.droppedSince(1 as Ino, log.position - 10))
})

test('known inodes - lookups are counted to the last', (t) => {
  const known = new KnownInodes()
  const ino = 9 as Ino
  t.absent(known.giveAttributes(ino), 'nothing is given of an inode the kernel does not know')
  known.lookedUp(ino)
  known.lookedUp(ino)
  t.ok(known.giveAttributes(ino))
  t.absent(known.forgotten(ino, 1))
  t.ok(known.takeAttributes(ino))
  t.absent(known.takeAttributes(ino), 'taken once')
  t.ok(known.knows(ino))
  t.ok(known.forgotten(ino, 1))
  t.absent(known.knows(ino))
  t.absent(known.forgotten(ROOT_INO, 1), 'the root is always known')
  t.ok(known.giveAttributes(ROOT_INO))
  t.alike(known.withAttributes(), [ROOT_INO])
})

/** A channel whose kernel can be told not to know inodes. */
class CachingChannel extends FakeChannel {
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

async function world(
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
    lastUnique += 2n
    return channel.ask(message(opcode, body, { unique: lastUnique, nodeid }))
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
function validities({ body }: ParsedReply): number[] {
  const ms = (sec: number, nsec: number): number =>
    Number(body.readBigUInt64LE(sec)) * 1000 + body.readUInt32LE(nsec) / 1e6
  return [ms(16, 32), ms(24, 36)]
}

const getattr = u64(0, 0)
const attrMs = ({ body }: ParsedReply): number =>
  Number(body.readBigUInt64LE(0)) * 1000 + body.readUInt32LE(8) / 1e6

test('kernel cache - names and attributes are valid for what is left of the lease', async (t) => {
  const { fs, ask, cache, told } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  t.alike(validities(await ask(Opcode.LOOKUP, strings('d'))), [3000, 3000])
  t.alike(validities(await ask(Opcode.LOOKUP, strings('none'))), [3000, 0])
  t.is(attrMs(await ask(Opcode.GETATTR, getattr)), 3000)
  t.is(cache.drop([7 as Ino]), undefined, 'nothing of it was given')
  t.alike(told(), [])
  await cache.drop([ino])
  t.alike(told(), [`2 of ${ino}`], 'attributes')
  await cache.drop([ROOT_INO])
  t.alike(told(), ['2 of 1', 'epoch'], 'attributes and names')
  t.is(cache.drop([ROOT_INO, ino]), undefined, 'once')
})

test('kernel cache - nothing without a lease, nothing for a kernel without epochs', async (t) => {
  for (const options of [{ leaseLeftMs: 120 }, { minor: 43 }]) {
    const { fs, ask, cache, told } = await world(options)
    await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
    t.alike(validities(await ask(Opcode.LOOKUP, strings('d'))), [0, 0])
    t.is((await ask(Opcode.LOOKUP, strings('none'))).errno, 2)
    t.is(attrMs(await ask(Opcode.GETATTR, getattr)), 0)
    t.is(cache.drop([ROOT_INO]), undefined)
    t.alike(told(), [])
  }
})

test('kernel cache - what was dropped while it was looked up is not cached', async (t) => {
  const { fs, ask, cache } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  const lookup = fs.lookup.bind(fs)
  const dropping = (inos: readonly Ino[]): void => {
    fs.lookup = async (...args) => {
      const attr = await lookup(...args)
      void cache.drop(inos)
      return attr
    }
  }
  dropping([ino])
  t.alike(validities(await ask(Opcode.LOOKUP, strings('d'))), [3000, 0], 'the child')
  dropping([ROOT_INO])
  t.alike(validities(await ask(Opcode.LOOKUP, strings('d'))), [0, 3000], 'the directory')
})

test('kernel cache - names of a contended directory are not cached until it is idle', async (t) => {
  const { fs, ask, cache, clock } = await world()
  await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  const nameMs = async () => validities(await ask(Opcode.LOOKUP, strings('d')))[0]
  await cache.drop([ROOT_INO])
  t.is(await nameMs(), 3000, 'one change by another member')
  clock.advance(1000)
  await cache.drop([ROOT_INO])
  t.is(await nameMs(), 3000, 'and one a second later')
  clock.advance(999)
  await cache.drop([ROOT_INO])
  t.is(await nameMs(), 0, 'two within a second')
  clock.advance(999)
  t.is(await nameMs(), 0)
  clock.advance(1)
  t.is(await nameMs(), 3000)
})

test('kernel cache - a file that was dropped lately is read past the page cache', async (t) => {
  const { fs, ask, cache, clock } = await world()
  const { attr } = await fs.create(context, ROOT_INO, Buffer.from('f'), 0o644, 0)
  const ino = BigInt(attr.ino)
  await ask(Opcode.LOOKUP, strings('f'))
  const openFlags = async () => (await ask(Opcode.OPEN, u32(0, 0), ino)).body.readUInt32LE(8)
  t.is(await openFlags(), OpenReplyFlag.KEEP_CACHE)
  await cache.drop([attr.ino])
  t.is(await openFlags(), OpenReplyFlag.DIRECT_IO)
  clock.advance(999)
  t.is(await openFlags(), OpenReplyFlag.DIRECT_IO)
  clock.advance(1)
  t.is(await openFlags(), OpenReplyFlag.KEEP_CACHE)
})

test('kernel cache - a few epochs in a row, then two a second', async (t) => {
  const { fs, ask, cache, clock, told } = await world()
  const inos: Ino[] = []
  for (let i = 0; i < 8; i++) {
    const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from(`d${i}`), 0o755)
    await fs.mkdir(context, ino, Buffer.from('e'), 0o755)
    inos.push(ino)
  }
  const nameMs = async (ino: Ino | undefined) => {
    return validities(await ask(Opcode.LOOKUP, strings('e'), BigInt(ino ?? 0)))[0]
  }
  for (const ino of inos.slice(0, 4)) {
    t.is(await nameMs(ino), 3000)
    await cache.drop([ino])
  }
  t.is(told().filter((what) => what === 'epoch').length, 4)
  for (const ino of inos.slice(4, 7)) {
    t.is(await nameMs(ino), 0, 'nothing to forget meanwhile')
    clock.advance(499)
    t.is(await nameMs(ino), 0)
    clock.advance(1)
    t.is(await nameMs(ino), 3000)
    await cache.drop([ino])
  }
  t.is(told().filter((what) => what === 'epoch').length, 3)
  clock.advance(2000)
  for (const ino of [inos[7], inos[0], inos[1], inos[2]]) {
    t.is(await nameMs(ino), 3000, 'after a rest as before')
    if (ino !== undefined) await cache.drop([ino])
  }
})

test('kernel cache - epochs told while renames take names along do not add up', async (t) => {
  const { fs, ask, cache, clock, told } = await world()
  const { ino: d } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  const { ino: other } = await fs.mkdir(context, ROOT_INO, Buffer.from('other'), 0o755)
  await fs.mkdir(context, other, Buffer.from('e'), 0o755)
  let name = 'a'
  await fs.mkdir(context, d, Buffer.from(name), 0o755)
  told()
  for (let i = 0; i < 50; i++) {
    const newName = `a${i}`
    await ask(Opcode.RENAME, bodyOf(u64(d), strings(name, newName)), BigInt(d))
    await cache.drop([d])
    name = newName
  }
  t.is(told().filter((what) => what === 'epoch').length, 50)
  const nameMs = async () => {
    return validities(await ask(Opcode.LOOKUP, strings('e'), BigInt(other)))[0]
  }
  clock.advance(499)
  t.is(await nameMs(), 0)
  clock.advance(1)
  t.is(await nameMs(), 3000, 'one pause after the last of them')
})

test('kernel cache - a drop waits for an answer on its way to the kernel', async (t) => {
  const { channel, fs, ask, cache, clock, told } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  await ask(Opcode.LOOKUP, strings('d'))
  channel.unknown = 3
  let done = false
  const drop = Promise.resolve(cache.drop([ino])).then(() => {
    done = true
  })
  const second = cache.drop([ino])
  t.ok(second instanceof Promise, 'a second drop waits for the first')
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    t.absent(done)
    clock.advance(60)
  }
  await drop
  await second
  t.is(told().length, 4)
  // Or until the kernel has let go of it.
  await ask(Opcode.GETATTR, getattr, BigInt(ino))
  channel.unknown = 1e6
  const last = cache.drop([ino])
  channel.send(message(Opcode.FORGET, u64(1), { unique: 7n, nodeid: BigInt(ino) }))
  clock.advance(60)
  await last
  t.pass()
})

test('kernel cache - own changes make older answers void', async (t) => {
  const { fs, ask, told } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  await ask(Opcode.LOOKUP, strings('d'))
  await ask(Opcode.GETATTR, getattr)
  await ask(Opcode.MKDIR, bodyOf(u32(0o755, 0), strings('e')), BigInt(ino))
  t.alike(told(), [`2 of ${ino}`])
  // A GETATTR that read the state before a change must not be cached after it.
  let answer: () => void = () => {}
  const waiting = new Promise<void>((resolve) => {
    answer = resolve
  })
  const get = fs.getattr.bind(fs)
  fs.getattr = async (...args) => {
    const attr = await get(...args)
    await waiting
    return attr
  }
  const reply = ask(Opcode.GETATTR, getattr, BigInt(ino))
  await ask(Opcode.RMDIR, strings('e'), BigInt(ino))
  answer()
  t.is(attrMs(await reply), 0)
})

test('kernel cache - a renamed name keeps its validity in its new directory', async (t) => {
  const { fs, ask, cache, told } = await world()
  await fs.mkdir(context, ROOT_INO, Buffer.from('a'), 0o755)
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('b'), 0o755)
  await ask(Opcode.LOOKUP, strings('a'))
  await ask(Opcode.RENAME, bodyOf(u64(ino), strings('a', 'c')))
  told()
  await cache.drop([ino])
  t.alike(told(), ['epoch'])
})

test('kernel cache - with a mount below, names run out and no epoch is told', async (t) => {
  const { fs, ask, cache, clock, submounts, told } = await world()
  await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  await ask(Opcode.LOOKUP, strings('d'))
  submounts.push('/d')
  let done = false
  const drop = Promise.resolve(cache.drop([ROOT_INO])).then(() => {
    done = true
  })
  clock.advance(3000)
  await new Promise((resolve) => setImmediate(resolve))
  t.absent(done, 'not while a name is valid')
  t.alike(validities(await ask(Opcode.LOOKUP, strings('d'))), [0, 3000], 'no more are given')
  clock.advance(50)
  await drop
  t.is(cache.drop([ROOT_INO]), undefined)
  t.alike(told(), [])
  submounts.pop()
  clock.advance(10_001)
  t.alike(validities(await ask(Opcode.LOOKUP, strings('d'))), [3000, 3000], 'until it is gone')
})

test('kernel cache - a new incarnation begins with nothing cached', async (t) => {
  const { fs, ask, cache, told } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  await ask(Opcode.LOOKUP, strings('d'))
  await ask(Opcode.GETATTR, getattr)
  await cache.dropAll()
  t.alike(told().sort(), ['2 of 1', `2 of ${ino}`, 'epoch'])
})

interface ListedEntry {
  readonly name: string
  /** 0: the kernel is given nothing of it. */
  readonly nodeid: number
  readonly validMs: readonly number[]
}

function listedIn({ body }: ParsedReply): ListedEntry[] {
  const entries: ListedEntry[] = []
  for (let at = 0; at < body.length; ) {
    const head = body.subarray(at)
    const length = head.readUInt32LE(144)
    const name = head.toString('latin1', 152, 152 + length)
    const validMs = validities({ unique: 0n, errno: 0, body: head })
    entries.push({ name, nodeid: Number(head.readBigUInt64LE(0)), validMs })
    at += (152 + length + 7) & ~7
  }
  return entries
}

const ACL = Buffer.from('system.posix_acl_access')
const HANDLE = 9
const listFrom = (cookie: number): Buffer => readBody(HANDLE, cookie, 4096)
const closed = bodyOf(u64(HANDLE), u32(0, 0), u64(0))

test('kernel cache - a listing gives names and attributes', async (t) => {
  const { fs, ask, cache, told } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  await fs.mkdir(context, ROOT_INO, Buffer.from('e'), 0o755)
  const [dot, up, d, e] = listedIn(await ask(Opcode.READDIRPLUS, listFrom(0)))
  t.alike([dot?.nodeid, up?.nodeid], [0, 0], 'nothing of the directory itself and its parent')
  t.alike(d, { name: 'd', nodeid: ino, validMs: [3000, 3000] })
  t.is(e?.name, 'e')
  await ask(Opcode.RELEASEDIR, closed)
  await cache.drop([ino])
  t.alike(told(), [`2 of ${ino}`])
  const again = listedIn(await ask(Opcode.READDIRPLUS, listFrom(0))).slice(2)
  t.alike(
    again.map(({ nodeid }) => nodeid),
    [ino, 0],
    'what the kernel still has is left as it is'
  )
  await ask(Opcode.RELEASEDIR, closed)
  // Three lookups were counted: after as many are forgotten there is nothing to drop.
  for (const lookups of [1, 1]) {
    await ask(Opcode.GETATTR, getattr, BigInt(ino))
    told()
    await cache.drop([ino])
    t.alike(told(), [`2 of ${ino}`])
    await ask(Opcode.GETATTR, getattr, BigInt(ino))
    void ask(Opcode.FORGET, u64(lookups), BigInt(ino))
  }
  told()
  t.is(cache.drop([ino]), undefined)
  t.alike(told(), [])
})

test('kernel cache - the reader is told of listed inodes without attributes, while that holds', async (t) => {
  const { channel, fs, ask, cache, clock } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  const { ino: rich } = await fs.mkdir(context, ROOT_INO, Buffer.from('e'), 0o755)
  await fs.setxattr(context, rich, Buffer.from('user.a'), Buffer.from('b'), 0)
  const table = new Float64Array(channel.bareInodes.bytes.buffer)
  const told = (): number[] => [...table.subarray(1)].filter((entry) => entry !== 0)
  const list = async (): Promise<void> => {
    await cache.drop([ino])
    await ask(Opcode.READDIRPLUS, listFrom(0))
    await ask(Opcode.RELEASEDIR, closed)
    clock.advance(1)
  }
  t.is(table[0], 0)
  await list()
  t.alike(told(), [ino], 'not one that has some')
  t.is(table[0], clock.monotonicMs() - 1 + 3000)
  await cache.drop([ino, rich])
  t.alike(told(), [], 'dropped')
  await list()
  void cache.submitted({ type: 'setxattr', ino, name: ACL, value: ACL, time: { sec: 0, nsec: 0 } })
  t.alike(told(), [], 'changed here')
  await list()
  await fs.setxattr(context, ino, ACL, ACL, 0)
  await ask(Opcode.REMOVEXATTR, strings('system.posix_acl_access'), BigInt(ino))
  t.alike(told(), [], 'and answered')
  await list()
  void ask(Opcode.FORGET, u64(100), BigInt(ino))
  t.alike(told(), [], 'forgotten')
  await list()
  t.alike(told(), [ino])
  await cache.dropAll()
  t.alike(
    [...table].filter((entry) => entry !== 0),
    [],
    'of another incarnation'
  )
})

/** What the channel would answer to GETATTR, if anything: the attributes as the kernel gets them. */
function readyOf(ready: ReadyAttributes, ino: Ino): Buffer | undefined {
  if (!ready.has(ino)) return undefined
  const copy = Buffer.from(ready.bytes)
  const at = ready.place(ino)
  return copy.subarray(at, at + 88)
}

const makeDirectory = bodyOf(u32(0o755, 0), strings('new'))

test('kernel cache - what the kernel asks for after a change stands ready', async (t) => {
  const ready = new ReadyAttributes()
  const { fs, ask, clock, told } = await world({ ready })
  const { ino: d } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  await ask(Opcode.LOOKUP, strings('d'))
  const isRight = async (ino: Ino, what: string): Promise<void> => {
    const there = readyOf(ready, ino)
    const { body } = await ask(Opcode.GETATTR, getattr, BigInt(ino))
    t.ok(there?.equals(body.subarray(16)), what)
  }
  t.absent(ready.has(d), 'not by a lookup')
  await ask(Opcode.MKDIR, makeDirectory, BigInt(d))
  told()
  await ask(Opcode.RMDIR, strings('new'), BigInt(d))
  t.alike(told(), [`2 of ${d}`], 'they count as given')
  await ask(Opcode.MKDIR, makeDirectory, BigInt(d))
  await isRight(d, 'where a directory was made')
  t.is(new Float64Array(ready.bytes.buffer)[0], clock.monotonicMs() + 3000)
  await ask(Opcode.RMDIR, strings('new'), BigInt(d))
  await isRight(d, 'where one was removed')
  const { body } = await ask(Opcode.CREATE, bodyOf(u32(0, 0o644, 0, 0), strings('f')), BigInt(d))
  const file = Number(body.readBigUInt64LE(0)) as Ino
  await isRight(d, 'where a file was made')
  await isRight(file, 'and the file')
  await ask(Opcode.RENAME, bodyOf(u64(1), strings('f', 'g')), BigInt(d))
  await isRight(d, 'where a name was')
  await isRight(ROOT_INO, 'and where it is now')
  await ask(Opcode.LINK, bodyOf(u64(file), strings('h')), BigInt(d))
  await isRight(d, 'where a link was made')
})

test('kernel cache - nothing stands ready that may not be given', async (t) => {
  const ready = new ReadyAttributes()
  const { channel, fs, ask, cache, clock } = await world({ ready })
  const make = async (): Promise<boolean> => {
    await ask(Opcode.MKDIR, makeDirectory)
    const is = ready.has(ROOT_INO)
    await ask(Opcode.RMDIR, strings('new'))
    ready.clear()
    return is
  }
  t.ok(await make())
  const mkdir = fs.mkdir.bind(fs)
  fs.mkdir = async (...args) => {
    const attr = await mkdir(...args)
    void cache.drop([ROOT_INO])
    return attr
  }
  t.absent(await make(), 'dropped meanwhile')
  fs.mkdir = mkdir
  t.ok(await make())
  const create = fs.create.bind(fs)
  fs.create = async (...args) => {
    const made = await create(...args)
    await fs.unlink(context, ROOT_INO, Buffer.from('f'))
    return made
  }
  const { body } = await ask(Opcode.CREATE, bodyOf(u32(0, 0o644, 0, 0), strings('f')))
  t.absent(ready.has(Number(body.readBigUInt64LE(0)) as Ino), 'its name is gone already')
  ready.clear()
  channel.notify = () => new Promise(() => {})
  await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  clock.advance(10_000)
  const pid = { unique: 8n, nodeid: 1n, pid: 5 }
  await channel.ask(message(Opcode.READDIRPLUS, listFrom(0), pid))
  void cache.drop([ROOT_INO])
  t.absent(await make(), 'a listing is settling')

  for (const options of [{ leaseLeftMs: 120 }, { minor: 43 }]) {
    const none = new ReadyAttributes()
    const other = await world({ ...options, ready: none })
    await other.ask(Opcode.MKDIR, makeDirectory)
    t.absent(none.has(ROOT_INO), 'no lease, or a kernel without epochs')
  }
})

test('kernel cache - what stands ready goes with every change, drop and FORGET', async (t) => {
  const ready = new ReadyAttributes()
  const { ask, cache } = await world({ ready })
  const time = { sec: 0, nsec: 0 }
  const name = Buffer.from('n')
  const make = async (): Promise<Ino> => {
    const { body } = await ask(Opcode.CREATE, bodyOf(u32(0, 0o644, 0, 0), strings('f')))
    const file = Number(body.readBigUInt64LE(0)) as Ino
    t.ok(ready.has(ROOT_INO) && ready.has(file))
    await ask(Opcode.UNLINK, strings('f'))
    return file
  }
  const goes = async (ops: (file: Ino) => readonly Op[], inos: (file: Ino) => readonly Ino[]) => {
    for (const at of ops(0 as Ino).keys()) {
      const file = await make()
      const op = ops(file)[at]
      if (op === undefined) throw new Error('as many ops each time')
      void cache.submitted(op)
      const left = inos(file).filter((ino) => ready.has(ino))
      t.alike(left, [], `${op.type}: ${inos(file).length}`)
    }
  }
  const parent = ROOT_INO
  const other = 1000 as Ino
  const slice = { segment: 1, offset: 0, length: 1, crc32: 0, sha256: name }
  await goes(
    (ino) => [
      { type: 'setattr', ino, ctime: time },
      { type: 'write', ino, offset: 0, slices: [slice as never], time },
      { type: 'truncate', ino, size: 0, time },
      { type: 'punch', ino, offset: 0, length: 1, extend: false, time },
      { type: 'clone', ino, offset: 0, source: other, sourceOffset: 0, length: 1, time },
      { type: 'setxattr', ino, name, value: name, time },
      { type: 'removexattr', ino, name, time },
      { type: 'reap', ino }
    ],
    (file) => [file]
  )
  const moved = { newName: name, exchange: false, cookie: 9, exchangeCookie: 0, time }
  await goes(
    (ino) => [
      { type: 'unlink', parent, name, ino, time },
      { type: 'rmdir', parent, name, ino, time },
      { type: 'link', parent, name, ino, cookie: 9, time },
      { type: 'rename', parent, name, newParent: other, ino, replaced: 0 as Ino, ...moved },
      { type: 'rename', parent: other, name, newParent: parent, ino, replaced: 0 as Ino, ...moved },
      { type: 'rename', parent, name, newParent: parent, ino: other, replaced: ino, ...moved }
    ],
    (file) => [ROOT_INO, file]
  )
  let file = await make()
  await cache.drop([file])
  t.alike([ready.has(file), ready.has(ROOT_INO)], [false, true], 'dropped')
  await cache.drop([ROOT_INO])
  t.absent(ready.has(ROOT_INO))
  file = await make()
  void ask(Opcode.FORGET, u64(1), BigInt(file))
  t.alike([ready.has(file), ready.has(ROOT_INO)], [false, true], 'forgotten')
  file = await make()
  const dropped = cache.dropAll()
  t.absent(ready.has(file) || ready.has(ROOT_INO), 'of another incarnation, at once')
  await dropped
})

test('kernel cache - names the kernel has let go of by itself are listed again', async (t) => {
  const { fs, ask } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  const given = async (cookie: number): Promise<number[]> => {
    return listedIn(await ask(Opcode.READDIRPLUS, listFrom(cookie))).map(({ nodeid }) => nodeid)
  }
  t.alike(await given(0), [0, 0, ino])
  await ask(Opcode.RELEASEDIR, closed)
  t.alike(await given(0), [0, 0, 0], 'the kernel still has it')
  await ask(Opcode.LOOKUP, strings('d'))
  t.alike(await given(2), [ino], 'the inode alone: its name was asked for')
  await ask(Opcode.RELEASEDIR, closed)
  t.alike(await given(0), [0, 0, ino], 'and what is begun next is not left as it is')
})

test('kernel cache - a listing gives all of an entry or nothing', async (t) => {
  const { fs, ask, cache, clock } = await world()
  const { ino } = await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  const given = async (): Promise<number[]> => {
    const entries = listedIn(await ask(Opcode.READDIRPLUS, listFrom(0)))
    await ask(Opcode.RELEASEDIR, closed)
    return entries.map(({ nodeid }) => nodeid)
  }
  await cache.drop([ROOT_INO])
  await cache.drop([ROOT_INO])
  t.alike(await given(), [0, 0, 0], 'names of a contended directory are not given')
  clock.advance(1001)
  const readdir = fs.readdir.bind(fs)
  fs.readdir = async (...args) => {
    await readdir(...args)
    void cache.drop([ino])
  }
  t.alike(await given(), [0, 0, 0], 'nor what was dropped meanwhile')
  fs.readdir = readdir
  t.alike(await given(), [0, 0, ino])
  fs.readdir = async (...args) => {
    await readdir(...args)
    void cache.drop([ROOT_INO])
  }
  clock.advance(3001)
  t.alike(await given(), [0, 0, 0], 'nor names of a directory that was')
})

test('kernel cache - names of a listing that may not be taken in yet are forgotten twice', async (t) => {
  const { channel, fs, ask, cache, clock, told } = await world()
  await fs.mkdir(context, ROOT_INO, Buffer.from('d'), 0o755)
  let pass: (knew: boolean) => void = () => {}
  channel.notify = (notification) => {
    channel.notifyNow(notification)
    return new Promise((resolve) => {
      pass = resolve
    })
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const list = () => {
    const options = { unique: ++lastUnique * 2n, nodeid: 1n, pid: 5 }
    return channel.ask(message(Opcode.READDIRPLUS, listFrom(0), options))
  }
  await list()
  t.is(cache.drop([ROOT_INO]), undefined, 'the drop does not wait')
  t.alike(told(), ['epoch', '3 of 1'], 'the lock of the directory is tried')
  let answered = false
  const held = ask(Opcode.GETATTR, getattr).then(() => {
    answered = true
  })
  t.is(validities(await ask(Opcode.LOOKUP, strings('d')))[0], 0)
  await turn()
  t.absent(answered, 'who walks through the directory waits')
  pass(false)
  await held
  t.alike(told(), ['epoch'])
  clock.advance(3000)
  await list()
  await cache.dropAll()
  told()
  const late = ask(Opcode.GETATTR, getattr)
  await turn()
  clock.advance(2000)
  t.is((await late).errno, 116, 'for a while at most')
  await cache.drop([ROOT_INO])
  t.alike(told(), ['epoch'], 'its names may have been taken in behind the epoch')
  pass(true)
  await turn()
  t.alike(told(), ['epoch', 'epoch'], 'once for each drop')
  t.is(attrMs(await ask(Opcode.GETATTR, getattr)), 3000)
})
