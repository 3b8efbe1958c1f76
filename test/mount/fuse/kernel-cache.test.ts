import test from 'brittle'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { Opcode, OpenReplyFlag } from '../../../src/mount/fuse/abi.ts'
import { attrMs, context, getattr, validities, world } from './cache-world.ts'
import { bodyOf, message, strings, u32, u64 } from './kernel-side.ts'

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
