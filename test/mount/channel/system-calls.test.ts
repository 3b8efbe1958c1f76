import { hash, randomBytes } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import test from 'brittle'
import { codeOf } from '../../../src/mount/channel/channel-error.ts'
import { loadAddon, type NativeAddon } from '../../../src/mount/channel/load-addon.ts'
import {
  nativeSystemCalls,
  programSystemCalls,
  type SystemCalls
} from '../../../src/mount/channel/system-calls.ts'
import type { FileRangeCalls } from '../../../src/replication/storage/disk-io.ts'

function addonOrFail(): NativeAddon {
  const { addon, reason } = loadAddon()
  if (addon === undefined) throw new Error(`the native addon is needed here: ${reason}`)
  return addon
}

const IMPLEMENTATIONS: readonly (readonly [string, () => SystemCalls])[] = [
  ['native', () => nativeSystemCalls(addonOrFail())],
  ['by programs', () => programSystemCalls()]
]

function rangesOrFail(): FileRangeCalls {
  const { ranges } = nativeSystemCalls(addonOrFail())
  if (ranges === undefined) throw new Error('the addon has calls on ranges')
  return ranges
}

test('range calls - a punched range reads as zeros and the size stays', async (t) => {
  const fd = openSync(join(await t.tmp(), 'segment'), 'w+')
  t.teardown(() => closeSync(fd))
  writeSync(fd, Buffer.alloc(3 * 65536, 1))
  const before = fstatSync(fd)
  await rangesOrFail().punchHole(fd, 65536, 65536)
  const after = fstatSync(fd)
  t.is(after.size, before.size)
  t.ok(after.blocks < before.blocks, 'blocks were freed')
  const content = Buffer.alloc(3 * 65536)
  readSync(fd, content, 0, content.length, 0)
  t.is(content[65535], 1)
  t.ok(content.subarray(65536, 131072).every((byte) => byte === 0))
  t.is(content[131072], 1)
})

test('range calls - writing to the disk begins, pages are let go of, and the bytes stay what they are', async (t) => {
  const fd = openSync(join(await t.tmp(), 'segment'), 'w+')
  t.teardown(() => closeSync(fd))
  const data = Buffer.alloc(4 * 65536, 1)
  writeSync(fd, data)
  await rangesOrFail().startWriteBack(fd, 0, data.length)
  await rangesOrFail().forgetPages(fd, 0, data.length)
  writeSync(fd, data, 0, 10, data.length)
  const content = Buffer.alloc(data.length + 20)
  t.is(readSync(fd, content, 0, content.length, 0), data.length + 10)
  t.ok(content.subarray(0, data.length + 10).every((byte) => byte === 1))
})

test('range calls - bytes are read with the sums of their parts checked, as zlib makes them', async (t) => {
  const fd = openSync(join(await t.tmp(), 'segment'), 'w+')
  t.teardown(() => closeSync(fd))
  const data = randomBytes(100_000)
  writeSync(fd, data)
  const { readChecked, crc32: sumOf } = rangesOrFail()
  for (const size of [0, 1, 63, 100, 255, 256, 257, 511, 512, 591, 2304, 65_537, 99_990]) {
    const part = data.subarray(5, 5 + size)
    t.is(sumOf(part), crc32(part))
    for (const start of [1, 0x80000000, 0xffffffff]) t.is(sumOf(part, start), crc32(part, start))
  }
  const target = Buffer.alloc(data.length)
  const sizes = [1, 7, 8, 15, 16, 63, 64, 65, 79, 80, 127, 128, 129, 1000, 4096, 65_536]
  const parts: number[] = []
  let end = 3
  for (const size of sizes) {
    parts.push(size, crc32(data.subarray(end, end + size)))
    end += size
  }
  const how = (once: boolean) => ({ parts: Uint32Array.from(parts), once })
  for (const once of [false, true]) {
    const room = target.subarray(1, 1 + end - 3)
    room.fill(0)
    t.is(readChecked(fd, room, 3, how(once)), 0)
    t.ok(room.equals(data.subarray(3, end)))
  }
  const room = target.subarray(0, end - 3)
  t.is(readChecked(fd, room, 4, how(false)), 74, 'EBADMSG')
  t.is(readChecked(fd, room, data.length - 10, how(true)), 61, 'ENODATA')
  t.is(readChecked(fd, target.subarray(3), 3, how(false)), 22, 'EINVAL: more room than parts')
  t.is(readChecked(fd, room.subarray(1), 3, how(false)), 22, 'EINVAL: less room than parts')
  t.is(readChecked(-1, room, 3, how(true)), 9, 'EBADF')
})

function sumsOf(bytes: Buffer, part: number): Buffer {
  const sums: Buffer[] = []
  for (let at = 0; at < bytes.length; at += part)
    sums.push(hash('sha256', bytes.subarray(at, at + part), 'buffer'))
  return Buffer.concat(sums)
}

for (const lanesMax of [1, 2, 8]) {
  test(`range calls - the sha256 of each part of a buffer, ${lanesMax} at once`, async (t) => {
    const { sha256Each } = addonOrFail()
    const data = randomBytes(9 * 131_072 + 100)
    const wrong: string[] = []
    const check = async (from: number, size: number, part: number): Promise<void> => {
      const bytes = data.subarray(from, from + size)
      const sums = await sha256Each(bytes, part, lanesMax)
      if (!sums.equals(sumsOf(bytes, part))) wrong.push(`${size} by ${part} at ${from}`)
    }
    for (let part = 1; part <= 300; part++) {
      const count = 1 + (part % 10)
      const last = 1 + ((part * 7) % part)
      await check(part % 67, part * count, part)
      await check(part % 67, part * (count - 1) + last, part)
    }
    for (let last = 1; last <= 130; last++) await check(1, 7 * 130 + last, 130)
    for (const size of [1, 131_071, 131_072, 131_073, 5 * 131_072, 6 * 131_072 - 1]) {
      await check(0, size, 131_072)
    }
    for (const short of [0, 1, 16, 55, 56, 57, 63, 64, 65, 4096, 131_071]) {
      await check(16, 8 * 131_072 - short, 131_072)
      await check(3, 9 * 131_072 - short, 131_072)
    }
    t.alike(wrong, [])
    const nothing = await failure(() => sha256Each(data.subarray(0, 0), 10, lanesMax))
    t.is(codeOf(nothing), 'ERR_OUT_OF_RANGE')
  })
}

test('range calls - the sha256 of each slice', async (t) => {
  const data = randomBytes(300_000)
  t.ok((await rangesOrFail().sha256Each(data, 131_072)).equals(sumsOf(data, 131_072)))
})

test('range calls - a bad descriptor is reported', async (t) => {
  const fd = openSync('/dev/null', 'r')
  t.teardown(() => closeSync(fd))
  await t.exception(rangesOrFail().punchHole(fd, 0, 4096), /EBADF/)
  await t.exception(rangesOrFail().startWriteBack(-1, 0, 4096), /EBADF/)
  await t.exception(rangesOrFail().forgetPages(-1, 0, 4096), /EBADF/)
})

for (const [name, make] of IMPLEMENTATIONS) {
  test(`system calls ${name} - a locked file is not locked again`, async (t) => {
    const path = join(await t.tmp(), 'lock')
    const calls = make()
    const first = openSync(path, 'w')
    const second = openSync(path, 'w')
    t.teardown(() => closeSync(second))
    t.is(calls.tryLockFile(first), true)
    t.is(calls.tryLockFile(first), true, 'the owner may ask again')
    t.is(calls.tryLockFile(second), false)
    closeSync(first)
    t.is(calls.tryLockFile(second), true, 'the lock ended with its descriptor')
  })

  test(`system calls ${name} - boot time agrees with the kernel's uptime`, (t) => {
    const calls = make()
    const lower = uptimeMs() - 20
    const now = calls.boottimeMs()
    t.ok(now >= lower && now <= uptimeMs() + 20, `${now}`)
  })
}

function uptimeMs(): number {
  return Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1000
}

test('addon - errors carry the errno and what was attempted', async (t) => {
  const addon = addonOrFail()
  const cases: readonly (readonly [string, string, RegExp, () => unknown])[] = [
    ['fallocate', 'EBADF', /^fallocate: EBADF/, () => addon.fallocate(-1, 0, 0, 1)],
    ['range', 'EBADF', /^sync_file_range: EBADF/, () => addon.syncFileRange(-1, 2, 0, 1)],
    ['flock', 'EBADF', /^flock: EBADF/, () => addon.tryLockFile(-1)],
    ['umount', 'EINVAL', /^umount2 \/tmp: EINVAL/, () => addon.unmountPath('/tmp', 1 << 30)],
    [
      'mount',
      'ENOENT',
      /^mount \/nowhere: ENOENT/,
      () => addon.mountDevice('s', '/nowhere', 'fuse.tandemfs', 0, 'fd=0')
    ],
    ['notify', 'EBADF', /^notify: EBADF/, () => addon.writeNotification(-1, new Uint8Array(16))],
    ['receive', 'EBADF', /^receive \/dev\/fuse: EBADF/, () => addon.receiveDevice(-1)],
    ['bytes', 'ERR_OUT_OF_RANGE', /message/, () => addon.writeNotification(1, new Uint8Array(0))],
    ['parts', 'ERR_OUT_OF_RANGE', /parts/, () => addon.writeReply(1, [])],
    ['number', 'ERR_INVALID_ARG_TYPE', /offset/, () => addon.fallocate(1, 0, 0.5, 1)],
    ['integer', 'ERR_INVALID_ARG_TYPE', /fd/, () => addon.tryLockFile(2 ** 40)],
    ['string', 'ERR_INVALID_ARG_TYPE', /target/, () => addon.unmountPath('a\0b', 0)],
    ['long', 'ERR_INVALID_ARG_TYPE', /target/, () => addon.unmountPath('a'.repeat(5000), 0)]
  ]
  for (const [name, code, message, attempt] of cases) {
    const error = await failure(attempt)
    t.is(codeOf(error), code, name)
    t.ok(error instanceof Error && message.test(error.message), `${name}: ${error}`)
  }
})

async function failure(attempt: () => unknown): Promise<unknown> {
  try {
    await attempt()
  } catch (error) {
    return error
  }
  return undefined
}
