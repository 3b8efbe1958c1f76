/** Requests no sane kernel sends, to the real filesystem: each gets an errno, and nothing breaks. */
import type { Test } from 'brittle'
import test from 'brittle'
import { checkState } from '../../../src/fs/check.ts'
import { Errno } from '../../../src/fs/errno.ts'
import { FILE_SIZE_MAX } from '../../../src/fs/op.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { type Fixture, openFixture } from '../../fs/fixture.ts'
import { SeededRandom } from '../../helpers/random.ts'
import { isSoak, seed, size } from '../../helpers/sizes.ts'
import {
  bodyOf,
  FakeChannel,
  initMessage,
  ManualClock,
  MemoryLogger,
  message,
  type ParsedReply,
  readBody,
  strings,
  u32,
  u64,
  writeBody
} from './kernel-side.ts'

const ROUNDS = size(6000, 400_000)
const LONG = { timeout: size(1, 60) * 60_000 }
const O_RDWR = 2
const LAST = 2n ** 63n - 1n
const NEGATIVE = -1n

interface World {
  readonly fixture: Fixture
  readonly channel: FakeChannel
  readonly internal: unknown[]
  ask(opcode: number, nodeid: bigint, body: Uint8Array): Promise<ParsedReply>
}

async function world(t: Test): Promise<World> {
  const fixture = openFixture(await t.tmp())
  const channel = new FakeChannel()
  const internal: unknown[] = []
  const dispatcher = new FuseDispatcher(
    {
      channel,
      fs: fixture.fs,
      policy: uncachedPolicy,
      gate: openGate,
      clock: new ManualClock(),
      logger: new MemoryLogger(),
      killPending: () => false
    },
    { onInternalError: (error) => internal.push(error) }
  )
  dispatcher.start()
  await channel.ask(initMessage())
  t.teardown(() => fixture.state.close())
  let unique = 100n
  const ask = (opcode: number, nodeid: bigint, body: Uint8Array) => {
    unique += 2n
    return channel.ask(message(opcode, body, { unique, nodeid, uid: 0, gid: 0 }))
  }
  return { fixture, channel, internal, ask }
}

async function openFile({ ask }: World, name: string): Promise<{ ino: bigint; handle: bigint }> {
  const body = bodyOf(u32(0o102, 0o644, 0, 0), strings(name))
  const reply = await ask(Opcode.CREATE, 1n, body)
  return { ino: reply.body.readBigUInt64LE(0), handle: reply.body.readBigUInt64LE(128) }
}

function sizeBody(sizeBytes: bigint | number): Buffer {
  return bodyOf(u32(8, 0), u64(0, sizeBytes, 0, 0, 0, 0), Buffer.alloc(32))
}

test('hostile requests - each its errno', async (t) => {
  const made = await world(t)
  const { ask } = made
  const { ino, handle } = await openFile(made, 'f')
  const errnoOf = async (...args: Parameters<World['ask']>) => (await ask(...args)).errno
  const data = Buffer.from('x')
  const write = (at: bigint | number, to = handle) =>
    errnoOf(Opcode.WRITE, ino, writeBody({ handle: Number(to), offset: at, data }))
  t.is(await write(NEGATIVE), Errno.EFBIG)
  t.is(await write(LAST), Errno.EFBIG)
  t.is(await write(FILE_SIZE_MAX), Errno.EFBIG)
  t.is(await write(0, 999n), Errno.EBADF)
  t.is(await errnoOf(Opcode.WRITE, 1n, writeBody({ handle: 1, offset: 0, data })), Errno.EISDIR)
  t.is(await errnoOf(Opcode.READ, ino, readBody(Number(handle), NEGATIVE, 10)), 0, 'end of file')
  t.is(await errnoOf(Opcode.READ, ino, readBody(Number(handle), 0, 2 ** 31)), Errno.EINVAL)
  t.is(await errnoOf(Opcode.SETATTR, ino, sizeBody(NEGATIVE)), Errno.EFBIG)
  t.is(await errnoOf(Opcode.SETATTR, ino, sizeBody(LAST)), Errno.EFBIG)
  t.is(await errnoOf(Opcode.SETATTR, 1n, sizeBody(1)), Errno.EISDIR)
  const fallocate = (offset: bigint, length: bigint, mode = 0) =>
    errnoOf(Opcode.FALLOCATE, ino, bodyOf(u64(handle, offset, length), u32(mode, 0)))
  t.is(await fallocate(NEGATIVE, 1n), Errno.EFBIG)
  t.is(await fallocate(0n, NEGATIVE), Errno.EFBIG)
  t.is(await fallocate(0n, 0n), Errno.EINVAL)
  t.is(await fallocate(0n, 1n, 0xffff), Errno.EOPNOTSUPP)
  const copy = (from: bigint, node: bigint, to: bigint, at: bigint) =>
    errnoOf(Opcode.COPY_FILE_RANGE, ino, u64(handle, from, node, to, at, 10, 0))
  t.is(await copy(NEGATIVE, ino, handle, 0n), Errno.EINVAL)
  t.is(await copy(0n, ino, handle, NEGATIVE), Errno.EFBIG)
  t.is(await copy(0n, 2n ** 60n, handle, 0n), Errno.ESTALE)
  t.is(await copy(0n, ino, handle, 3n), Errno.EINVAL)
  for (const nodeid of [0n, 2n ** 40n, 2n ** 53n, 2n ** 64n - 1n]) {
    t.is(await errnoOf(Opcode.GETATTR, nodeid, Buffer.alloc(16)), Errno.ESTALE, `node ${nodeid}`)
    t.is(await errnoOf(Opcode.LOOKUP, nodeid, strings('a')), Errno.ESTALE, `lookup in ${nodeid}`)
    const link = bodyOf(u64(nodeid), strings('l'))
    t.is(await errnoOf(Opcode.LINK, 1n, link), Errno.ESTALE, `link of ${nodeid}`)
  }
  const mkdir = (name: Uint8Array) => errnoOf(Opcode.MKDIR, 1n, bodyOf(u32(0o755, 0), name))
  t.is(await mkdir(strings('a/b')), Errno.EINVAL)
  t.is(await mkdir(Buffer.from('a\0b\0')), Errno.EINVAL)
  t.is(await mkdir(Buffer.from('no end')), Errno.EINVAL)
  t.is(await mkdir(strings('n'.repeat(256))), Errno.ENAMETOOLONG)
  t.is(await mkdir(strings('..')), Errno.EINVAL)
  t.is(await errnoOf(Opcode.MKDIR, ino, bodyOf(u32(0o755, 0), strings('d'))), Errno.ENOTDIR)
  const mknod = (mode: number) =>
    errnoOf(Opcode.MKNOD, 1n, bodyOf(u32(mode, 0, 0, 0), strings('node')))
  t.is(await mknod(0o170000), Errno.EINVAL)
  t.is(await mknod(0o040755), Errno.EINVAL, 'a directory')
  t.alike(made.internal, [])
})

/** Values at and behind every limit. */
const offsets = [0n, 1n, 4096n, 2n ** 40n, BigInt(FILE_SIZE_MAX), 2n ** 53n, LAST, NEGATIVE]
const lengths = [
  0n,
  1n,
  5n,
  4096n,
  2n ** 31n,
  2n ** 32n - 1n,
  BigInt(FILE_SIZE_MAX),
  LAST,
  NEGATIVE
]
const names = ['a', 'b', 'c', '', '.', '..', 'a/b', 'n'.repeat(255), 'n'.repeat(256), '\xff\xfe']
const attributes = [
  'user.a',
  'user.',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'x',
  ''
]
const modes = [0, 0o644, 0o7777, 0o100644, 0o040755, 0o120777, 0o170000, 0xffffffff]
const list = '0200000001000600ffffffff04000400ffffffff20000400ffffffff'

class HostileKernel {
  readonly #random: SeededRandom
  readonly #nodes: bigint[] = [1n, 1n, 0n, 2n ** 40n, 2n ** 53n, 2n ** 64n - 1n]
  readonly #handles: bigint[] = [0n, 1n, 2n ** 53n, 2n ** 64n - 1n]

  constructor(random: SeededRandom) {
    this.#random = random
  }

  learn(opcode: number, { errno, body }: ParsedReply): void {
    if (errno !== 0) return
    const { CREATE, TMPFILE, MKDIR, MKNOD, OPEN, OPENDIR } = Opcode
    const isNode = ([CREATE, TMPFILE, MKDIR, MKNOD] as number[]).includes(opcode)
    if (isNode && this.#nodes.length < 40) this.#nodes.push(body.readBigUInt64LE(0))
    const at = opcode === CREATE || opcode === TMPFILE ? 128 : 0
    const isHandle = at > 0 || opcode === OPEN || opcode === OPENDIR
    if (isHandle && this.#handles.length < 40) this.#handles.push(body.readBigUInt64LE(at))
  }

  get node(): bigint {
    return this.#random.pick(this.#nodes)
  }

  get #handle(): bigint {
    return this.#random.pick(this.#handles)
  }

  get #offset(): bigint {
    return this.#random.pick(offsets)
  }

  get #length(): bigint {
    return this.#random.pick(lengths)
  }

  get #name(): Buffer {
    const name = strings(this.#random.pick(names))
    return this.#random.chance(0.05) ? name.subarray(0, name.length - 1) : name
  }

  get #mode(): number {
    return this.#random.pick(modes)
  }

  /** The body of a request with plausible fields, each drawn from good and bad values. */
  body(opcode: number): Buffer {
    const random = this.#random
    const number = (): number => Number(BigInt.asUintN(32, this.#length))
    switch (opcode) {
      case Opcode.SETATTR:
        return bodyOf(
          u32(random.below(0x1000), 0),
          u64(this.#handle, this.#length, 0, this.#offset, this.#offset, this.#offset),
          u32(number(), 5, 6, this.#mode, 0, number(), number(), 0)
        )
      case Opcode.SYMLINK:
        return bodyOf(this.#name, this.#name)
      case Opcode.MKNOD:
      case Opcode.CREATE:
      case Opcode.TMPFILE:
        return bodyOf(u32(this.#mode, this.#mode, number(), 0), this.#name)
      case Opcode.MKDIR:
        return bodyOf(u32(this.#mode, number()), this.#name)
      case Opcode.RENAME2:
        return bodyOf(u64(this.node), u32(random.below(10), 0), this.#name, this.#name)
      case Opcode.RENAME:
      case Opcode.LINK:
        return bodyOf(u64(this.node), this.#name, opcode === Opcode.LINK ? u32() : this.#name)
      case Opcode.OPEN:
      case Opcode.OPENDIR:
        return u32(random.pick([0, O_RDWR, 0o1002, 0xffffffff]), 0)
      case Opcode.READ:
      case Opcode.READDIR:
        return bodyOf(u64(this.#handle, this.#offset), u32(number(), 0), u64(0), u32(0, 0))
      case Opcode.WRITE: {
        const data = Buffer.alloc(random.below(100))
        const length = random.chance(0.9) ? data.length : number()
        const head = bodyOf(u64(this.#handle, this.#offset), u32(length, random.below(8)))
        return bodyOf(head, u64(0), u32(random.pick([1, 0o2001]), 0), data)
      }
      case Opcode.FALLOCATE:
        return bodyOf(u64(this.#handle, this.#offset, this.#length), u32(random.below(70), 0))
      case Opcode.LSEEK:
        return bodyOf(u64(this.#handle, this.#offset), u32(random.below(6), 0))
      case Opcode.COPY_FILE_RANGE:
      case Opcode.COPY_FILE_RANGE_64:
        return u64(
          ...[this.#handle, this.#offset, this.node, this.#handle, this.#offset, this.#length],
          random.chance(0.9) ? 0 : 1
        )
      case Opcode.SETXATTR: {
        const value = random.chance(0.5) ? Buffer.from(list, 'hex') : Buffer.alloc(random.below(99))
        const length = random.chance(0.9) ? value.length : number()
        const name = strings(random.pick(attributes))
        return bodyOf(u32(length, random.below(4), random.below(2), 0), name, value)
      }
      case Opcode.GETXATTR:
        return bodyOf(u32(number(), 0), strings(random.pick(attributes)))
      case Opcode.REMOVEXATTR:
        return strings(random.pick(attributes))
      case Opcode.LISTXATTR:
        return u32(number(), 0)
      case Opcode.LOOKUP:
      case Opcode.UNLINK:
      case Opcode.RMDIR:
        return this.#name
      case Opcode.RELEASE:
      case Opcode.FLUSH:
        return bodyOf(u64(this.#handle), u32(0, 0), u64(0))
      default:
        return Buffer.alloc(random.pick([0, 16, 24, 48]))
    }
  }
}

test('hostile requests - drawn from good and bad values, nothing breaks', LONG, async (t) => {
  const run = isSoak ? seed : 20261122
  t.comment(`TANDEMFS_TEST_SEED=${run}`)
  const random = new SeededRandom(run)
  const { fixture, channel, internal, ask } = await world(t)
  const kernel = new HostileKernel(random)
  const silent: number[] = [
    Opcode.FORGET,
    Opcode.BATCH_FORGET,
    Opcode.NOTIFY_REPLY,
    Opcode.INIT,
    Opcode.DESTROY,
    Opcode.INTERRUPT,
    // A wait for a lock that nobody gives back has no end.
    Opcode.SETLKW
  ]
  const opcodes = Object.values(Opcode).filter((opcode) => !silent.includes(opcode))
  const known = new Set<number>(Object.values(Errno))
  const seen = new Map<number, number>()
  let wrong = 0
  for (let round = 0; round < ROUNDS; round++) {
    const opcode = random.pick(opcodes)
    const reply = await ask(opcode, kernel.node, kernel.body(opcode))
    kernel.learn(opcode, reply)
    if (reply.errno === 0) seen.set(opcode, (seen.get(opcode) ?? 0) + 1)
    else if (!known.has(reply.errno)) wrong++
  }
  t.is(wrong, 0)
  t.alike(internal, [])
  t.alike(checkState(fixture.state), [])
  t.is(fixture.tokens.held, 0)
  t.is(channel.buffersHeld, 0)
  t.ok(seen.size >= 20, `${seen.size} kinds of requests were served as well`)
})
