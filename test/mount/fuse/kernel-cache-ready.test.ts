import test from 'brittle'
import type { Op } from '../../../src/fs/op.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { ROOT_INO } from '../../../src/fs/primitives.ts'
import { ReadyAttributes } from '../../../src/mount/channel/ready-attributes.ts'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { context, getattr, listFrom, world } from './cache-world.ts'
import { bodyOf, message, strings, u32, u64 } from './kernel-side.ts'

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
