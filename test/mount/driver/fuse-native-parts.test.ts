import test from 'brittle'
import type { Attr } from '../../../src/fs/attr.ts'
import { FsError } from '../../../src/fs/errno.ts'
import type { HandleId } from '../../../src/fs/filesystem-api.ts'
import { type Ino, ROOT_INO } from '../../../src/fs/primitives.ts'
import { mountList } from '../../../src/mount/driver/fuse-native/mount-list.ts'
import { timeOf, toStatArray, toStatfs } from '../../../src/mount/driver/fuse-native/native-stat.ts'
import { OpenNumbers } from '../../../src/mount/driver/fuse-native/open-numbers.ts'
import { listOf, withBothTimes } from '../../../src/mount/driver/fuse-native/package-faults.ts'
import { exactTextOf, namesOf, textOf } from '../../../src/mount/driver/fuse-native/path-names.ts'
import { ServedCalls } from '../../../src/mount/driver/fuse-native/served-calls.ts'
import type { RequestGate } from '../../../src/mount/fuse/gate.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { MemoryLogger } from '../fuse/kernel-side.ts'

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof FsError) return error.code
    throw error
  }
  return 'nothing'
}

test('path names - bytes of each name, and what is no name', (t) => {
  t.alike(namesOf('/'), [])
  t.alike(
    namesOf('/a/ä').map((name) => [...name]),
    [[0x61], [0xc3, 0xa4]]
  )
  t.is(
    codeOf(() => namesOf(`/${'x'.repeat(256)}`)),
    'ENAMETOOLONG'
  )
  t.is(
    codeOf(() => namesOf(`/${'ä'.repeat(128)}`)),
    'ENAMETOOLONG',
    'bytes count'
  )
  t.is(
    codeOf(() => namesOf('/a\ufffd')),
    'EILSEQ'
  )
  t.is(
    codeOf(() => exactTextOf(Uint8Array.of(0xff))),
    'EILSEQ'
  )
  t.is(textOf(Uint8Array.of(0x61, 0xff)), 'a\ufffd', 'shown in listings')
})

test('open numbers - in 31 bits, never 0, never one in use', (t) => {
  const numbers = new OpenNumbers()
  const file = { ino: 7 as Ino, handle: 9 as HandleId, flags: 2 }
  const first = numbers.add(file)
  t.is(first, 1)
  t.not(numbers.add(file), first)
  t.alike(numbers.take(first), file)
  t.is(
    codeOf(() => numbers.get(first)),
    'EBADF'
  )
  t.is(
    codeOf(() => numbers.take(first)),
    'EBADF'
  )
})

const attr: Attr = {
  ino: ROOT_INO,
  mode: 0o100644,
  nlink: 2,
  uid: 3,
  gid: 4,
  rdev: 5,
  size: 2 ** 40 + 6,
  blocks: 2 ** 33,
  atime: { sec: 1_700_000_000, nsec: 123_999_999 },
  mtime: { sec: -5, nsec: 0 },
  ctime: { sec: 0, nsec: 7_000_000 },
  btime: { sec: 0, nsec: 0 }
}

test('native stat - halves of the large numbers, milliseconds, no time before 1970', (t) => {
  const ms = 1_700_000_000_123
  t.alike(
    [...toStatArray(attr)],
    [
      0o100644,
      3,
      4,
      6,
      256,
      0,
      2,
      0,
      5,
      4096,
      0,
      2,
      ms % 2 ** 32,
      Math.floor(ms / 2 ** 32),
      0,
      0,
      7,
      0
    ]
  )
  t.alike(timeOf(-1), { sec: -1, nsec: 999_000_000 })
  t.alike(timeOf(1500), { sec: 1, nsec: 500_000_000 })
})

test('native stat - space in blocks that fit 32 bits', (t) => {
  const space = { blockSize: 4096, blocksFree: 2 ** 33, blocksAvailable: 2 ** 32, nameMax: 255 }
  const { bsize, blocks, bfree, bavail, files } = toStatfs({
    ...space,
    blocks: 2 ** 34,
    files: 2 ** 40,
    filesFree: 1
  })
  t.is(bsize * blocks, 4096 * 2 ** 34)
  t.is(bsize * bfree, 4096 * 2 ** 33)
  t.is(bsize * bavail, 4096 * 2 ** 32)
  t.ok(blocks < 2 ** 32)
  t.is(files, 2 ** 32 - 1)
})

test('package faults - both times come from the memory of the call, or none', (t) => {
  const thread = Buffer.alloc(160)
  thread.writeBigInt64LE(1_600_000_000_001n, 104)
  thread.writeBigInt64LE(-7n, 112)
  const [low, high] = [thread.readUInt32LE(104), thread.readUInt32LE(108)]
  const calls: unknown[][] = []
  const handler = withBothTimes((_thread, _operation, ...args) => calls.push(args))
  handler(thread, 12, '/f', low, high, low, high)
  handler(thread, 12, '/f', low + 1, high, low, high)
  handler(thread.subarray(0, 112), 12, '/f', low, high, low, high)
  t.alike(calls, [
    ['/f', 1_600_000_000_001, 0, -7, 0],
    ['/f', Number.NaN, 0, Number.NaN, 0],
    ['/f', Number.NaN, 0, Number.NaN, 0]
  ])
  t.is(Buffer.from(listOf([Buffer.from('a'), Buffer.from('bc')])).toString(), 'a\0bc\0')
})

test('mount list - escaped, complete, and not longer than the addon takes', (t) => {
  const list = mountList('/m', 'a,b\\', { readOnly: true, nosuid: true })
  t.ok(list.startsWith('a\\,b\\\\,subtype=tandemfs,'), list)
  const words = list.split(',')
  t.ok(words.includes('ro') && words.includes('nosuid') && words.includes('dev'))
  t.absent(words.includes('suid') || words.includes('nodev'))
  t.exception(() => mountList('/m', 'x'.repeat(1024), {}), /too long/)
})

test('served calls - the gate before and after, errors as errno, nothing thrown', async (t) => {
  const logger = new MemoryLogger()
  const calls = new ServedCalls({ gate: openGate, logger })
  t.alike(await calls.run(3, async () => 5), { errno: 0, value: 5 })
  t.alike(await calls.run(3, () => Promise.reject(new FsError('EISDIR'))), { errno: -21 })
  t.is(logger.lines.length, 0)
  t.alike(await calls.run(3, () => Promise.reject(new Error('bug'))), { errno: -5 })
  await calls.runUnwatched(18, () => Promise.reject(new Error('bug')))
  t.is(logger.lines.filter(({ level }) => level === 'error').length, 2)
  const closed = async (): Promise<void> => {
    throw new FsError('EIO')
  }
  const before: RequestGate = { ...openGate, beforeServe: closed }
  let ran = false
  const outcome = await new ServedCalls({ gate: before, logger }).run(3, async () => {
    ran = true
  })
  t.alike([outcome, ran], [{ errno: -5 }, false])
  const given: number[] = []
  const after = new ServedCalls({ gate: { ...openGate, beforeReply: () => 5 }, logger })
  t.alike(
    await after.run(
      14,
      async () => 8,
      async (value) => void given.push(value)
    ),
    { errno: -5 }
  )
  t.alike(given, [8], 'a handle nobody hears of is given back')
  await after.idle()
})
