import test from 'brittle'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import {
  attrMs,
  context,
  getattr,
  LIST_HANDLE,
  listFrom,
  nextUnique,
  validities,
  world
} from './cache-world.ts'
import { bodyOf, message, type ParsedReply, strings, u32, u64 } from './kernel-side.ts'

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
const closed = bodyOf(u64(LIST_HANDLE), u32(0, 0), u64(0))

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
    const options = { unique: nextUnique(), nodeid: 1n, pid: 5 }
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
