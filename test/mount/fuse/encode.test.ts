import test from 'brittle'
import type { Attr } from '../../../src/fs/attr.ts'
import type { HandleId } from '../../../src/fs/filesystem-api.ts'
import type { Ino } from '../../../src/fs/primitives.ts'
import { DirentPacker } from '../../../src/mount/fuse/dirent-packer.ts'
import { ReplyEncoder } from '../../../src/mount/fuse/encode.ts'
import type { Reply } from '../../../src/mount/fuse/reply.ts'

const attr: Attr = {
  ino: (2 ** 45 + 9) as Ino,
  mode: 0o100644,
  nlink: 2,
  uid: 1000,
  gid: 100,
  rdev: 0,
  size: 2 ** 33 + 5,
  blocks: 8,
  atime: { sec: -2, nsec: 1 },
  mtime: { sec: 1_700_000_000, nsec: 999_999_999 },
  ctime: { sec: 2 ** 33, nsec: 0 },
  btime: { sec: 0, nsec: 0 }
}

const attrHex =
  '0900000000200000' + // ino
  '0500000002000000' + // size
  '0800000000000000' + // blocks
  'feffffffffffffff' + // atime -2
  '00f1536500000000' + // mtime
  '0000000002000000' + // ctime 2^33
  '01000000' +
  'ffc99a3b' +
  '00000000' +
  'a4810000' + // mode
  '02000000' +
  'e8030000' +
  '64000000' +
  '00000000' + // rdev
  '00100000' + // blksize
  '00000000'

function encoded(reply: Reply): string {
  return Buffer.concat(new ReplyEncoder().encode(6, 1, reply)).toString('hex')
}

const unique = '0600000001000000'

test('encode - errors and plain success', (t) => {
  t.is(encoded({ kind: 'error', errno: 2 }), `10000000feffffff${unique}`)
  t.is(encoded({ kind: 'ok' }), `1000000000000000${unique}`)
  t.exception(() => encoded({ kind: 'error', errno: 512 }))
  t.exception(() => encoded({ kind: 'error', errno: 0 }))
})

test('encode - golden bytes of attributes', (t) => {
  t.is(
    encoded({ kind: 'attr', attr, attrValidMs: 1500 }),
    `7800000000000000${unique}01000000000000000065cd1d00000000${attrHex}`
  )
})

test('encode - golden bytes of a statx', (t) => {
  const device = { ...attr, mode: 0o020600, rdev: 0x12345678, btime: { sec: 7, nsec: 8 } }
  const hex = encoded({ kind: 'statx', attr: device, attrValidMs: 1500 })
  const zeros = (bytes: number): string => '00'.repeat(bytes)
  t.is(
    hex,
    `3001000000000000${unique}01000000000000000065cd1d00000000${zeros(16)}` +
      'ff0f0000' + // mask
      '00100000' + // blksize
      zeros(8) +
      '02000000' +
      'e8030000' +
      '64000000' +
      '80210000' + // mode
      '0900000000200000' +
      '0500000002000000' +
      '0800000000000000' +
      zeros(8) +
      'feffffffffffffff0100000000000000' + // atime
      '07000000000000000800000000000000' + // btime
      '00000000020000000000000000000000' + // ctime
      '00f1536500000000ffc99a3b00000000' + // mtime
      '56040000' + // rdev major 0x456
      '78230100' + // rdev minor 0x12378
      zeros(8 + 112)
  )
})

test('encode - golden bytes of an entry and a create', (t) => {
  const entryHex =
    '0900000000200000' + // nodeid
    '0000000000000000' + // generation
    '0000000000000000' + // entry_valid
    '0200000000000000' + // attr_valid
    '80b2e60e' + // 250 ms
    '00000000' +
    attrHex
  t.is(
    encoded({ kind: 'entry', attr, entryValidMs: 250, attrValidMs: 2000 }),
    `9000000000000000${unique}${entryHex}`
  )
  t.is(
    encoded({
      kind: 'create',
      attr,
      entryValidMs: 250,
      attrValidMs: 2000,
      handle: 7 as HandleId,
      openFlags: 1
    }),
    `a000000000000000${unique}${entryHex}07000000000000000100000000000000`
  )
})

test('encode - small replies', (t) => {
  t.is(encoded({ kind: 'written', sizeBytes: 5 }), `1800000000000000${unique}0500000000000000`)
  t.is(encoded({ kind: 'position', offset: 2 ** 40 }), `1800000000000000${unique}0000000000010000`)
  t.is(encoded({ kind: 'data', data: Buffer.from('ab') }), `1200000000000000${unique}6162`)
  t.is(encoded({ kind: 'data', data: Buffer.alloc(0) }), `1000000000000000${unique}`)
  t.is(
    encoded({ kind: 'open', handle: 3 as HandleId, regular: true, openFlags: 9 }),
    `2000000000000000${unique}03000000000000000900000000000000`
  )
})

test('encode - statfs and init are padded with zeros', (t) => {
  const encoder = new ReplyEncoder()
  encoder.encode(0, 0, { kind: 'attr', attr, attrValidMs: 0 })
  const statfs = Buffer.concat(
    encoder.encode(6, 1, {
      kind: 'statfs',
      statfs: {
        blockSize: 4096,
        blocks: 1,
        blocksFree: 2,
        blocksAvailable: 3,
        files: 4,
        filesFree: 5,
        nameMax: 255
      }
    })
  ).toString('hex')
  t.is(
    statfs,
    `6000000000000000${unique}010000000000000002000000000000000300000000000000` +
      `0400000000000000050000000000000000100000ff00000000100000${'00'.repeat(28)}`
  )
  const init = Buffer.concat(
    encoder.encode(6, 1, {
      kind: 'init',
      major: 7,
      minor: 45,
      maxReadahead: 131072,
      flags: 0x40000001,
      flags2: 0x10,
      maxBackground: 128,
      congestionThreshold: 96,
      maxWrite: 1048576,
      maxPages: 256
    })
  ).toString('hex')
  t.is(
    init,
    `5000000000000000${unique}070000002d000000000002000100004080006000000010000100000000010000` +
      `10000000${'00'.repeat(28)}`
  )
})

test('encode - numbers no field can hold are refused', (t) => {
  t.exception(() => encoded({ kind: 'attr', attr: { ...attr, size: -1 }, attrValidMs: 0 }))
  t.exception(() => encoded({ kind: 'attr', attr, attrValidMs: -1 }))
  t.exception(() => encoded({ kind: 'position', offset: 2 ** 60 }))
})

test('dirent packer - plain entries are padded to eight bytes', (t) => {
  const packer = new DirentPacker({ sizeBytes: 64 })
  const entry = { ino: 5 as Ino, name: Buffer.from('abc'), type: 0o040000, cookie: 2 ** 40 }
  t.ok(packer.add(entry))
  t.is(
    packer.bytes().toString('hex'),
    '05000000000000000000000000010000030000000400000061626300' + '00000000'
  )
  t.ok(packer.add(entry))
  t.absent(packer.add(entry))
  t.absent(packer.tooSmall)
  t.is(packer.bytes().length, 64)
})

test('dirent packer - no room for the first entry', (t) => {
  const packer = new DirentPacker({ sizeBytes: 31 })
  t.absent(packer.add({ ino: 5 as Ino, name: Buffer.from('abc'), type: 0o040000, cookie: 1 }))
  t.ok(packer.tooSmall)
})
