import test from 'brittle'
import { Errno } from '../../../src/fs/errno.ts'
import { FILE_SIZE_MAX } from '../../../src/fs/op.ts'
import { InitFlag, Opcode } from '../../../src/mount/fuse/abi.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import type { RequestBody } from '../../../src/mount/fuse/request.ts'
import { bodyOf, initBody, message, readBody, strings, u32, u64, writeBody } from './kernel-side.ts'

const decoder = new RequestDecoder()

function decoded(bytes: Buffer): RequestBody {
  const request = decoder.decode(bytes)
  if (!request.ok) throw new Error(`malformed: ${request.reason}`)
  return request.body
}

function refused(bytes: Buffer): number {
  const request = decoder.decode(bytes)
  return request.ok ? 0 : request.errno
}

test('decode - golden bytes of a LOOKUP', (t) => {
  const bytes = Buffer.from(
    '2e000000' + // length 46
      '01000000' + // LOOKUP
      '0600000001000000' + // unique
      '0500000000000800' + // nodeid 2^51 + 5
      'e8030000' + // uid 1000
      '64000000' + // gid 100
      '4d000000' + // pid 77
      '00000000' +
      '68656c6c6f00', // hello
    'hex'
  )
  const request = decoder.decode(bytes)
  t.alike(request, {
    ok: true,
    header: {
      opcode: 1,
      uniqueLow: 6,
      uniqueHigh: 1,
      nodeid: 2 ** 51 + 5,
      uid: 1000,
      gid: 100,
      pid: 77
    },
    body: { op: 'lookup', name: Buffer.from('hello') }
  } as never)
})

test('decode - golden bytes of a WRITE', (t) => {
  const bytes = Buffer.from(
    '53000000100000000200000000000000010000000000000000000000000000000000000000000000' +
      '0900000000000000' + // fh 9
      '0010000001000000' + // offset 2^32 + 4096
      '03000000' + // size
      '04000000' + // KILL_SUIDGID
      '8877665544332211' + // lock owner
      '01840000' + // WRONLY|APPEND|LARGEFILE
      '00000000' +
      '616263',
    'hex'
  )
  t.alike(decoded(bytes), {
    op: 'write',
    handle: 9,
    offset: 2 ** 32 + 4096,
    data: Buffer.from('abc'),
    writeFlags: 4,
    flags: 0o102001,
    lockOwner: undefined
  } as never)
  bytes[60] = 6
  const owned = decoded(bytes)
  t.is(owned.op === 'write' ? owned.lockOwner : 0n, 0x1122334455667788n, 'when the flag says so')
})

test('decode - names and what goes with them', (t) => {
  t.alike(decoded(message(Opcode.SYMLINK, strings('a', '../b c'))), {
    op: 'symlink',
    name: Buffer.from('a'),
    target: Buffer.from('../b c')
  })
  t.alike(decoded(message(Opcode.MKNOD, bodyOf(u32(0o10644, 259, 0o22, 0), strings('p')))), {
    op: 'mknod',
    mode: 0o10644,
    rdev: 259,
    umask: 0o22,
    name: Buffer.from('p')
  })
  t.alike(decoded(message(Opcode.RENAME2, bodyOf(u64(7), u32(2, 0), strings('a', 'b')))), {
    op: 'rename',
    name: Buffer.from('a'),
    newParent: 7,
    newName: Buffer.from('b'),
    flags: 2
  } as never)
  t.alike(decoded(message(Opcode.RENAME, bodyOf(u64(7), strings('a', 'b')))), {
    op: 'rename',
    name: Buffer.from('a'),
    newParent: 7,
    newName: Buffer.from('b'),
    flags: 0
  } as never)
  t.alike(decoded(message(Opcode.CREATE, bodyOf(u32(0o302, 0o644, 0, 0), strings('f')))), {
    op: 'create',
    flags: 0o302,
    mode: 0o644,
    umask: 0,
    name: Buffer.from('f')
  })
  t.alike(decoded(message(Opcode.TMPFILE, bodyOf(u32(2, 0o600, 0o77, 0), strings('/')))), {
    op: 'tmpfile',
    flags: 2,
    mode: 0o600,
    umask: 0o77
  })
})

test('decode - rename flags that go together', (t) => {
  const rename = (flags: number): number =>
    refused(message(Opcode.RENAME2, bodyOf(u64(7), u32(flags, 0), strings('a', 'b'))))
  t.alike([0, 1, 2, 4, 5].map(rename), [0, 0, 0, 0, 0])
  t.alike([3, 6, 7, 8].map(rename), [Errno.EINVAL, Errno.EINVAL, Errno.EINVAL, Errno.EINVAL])
})

test('decode - COPY_FILE_RANGE and its bounds', (t) => {
  const copy = (from: bigint | number, node: bigint | number, to: bigint, length: bigint): Buffer =>
    message(Opcode.COPY_FILE_RANGE, u64(3, from, node, 4, to, length, 0))
  t.alike(decoded(copy(2n ** 40n, 9, 5n, 100n)), {
    op: 'copy',
    sourceHandle: 3,
    sourceOffset: 2 ** 40,
    target: 9,
    handle: 4,
    offset: 5,
    length: 100
  } as never)
  const far = decoded(copy(0, 9, 0n, 2n ** 63n))
  t.is(far.op === 'copy' ? far.length : 0, 0xfffff000, 'one answer counts no further')
  t.is(refused(copy(2n ** 63n, 9, 0n, 1n)), Errno.EINVAL)
  t.is(refused(copy(0, 9, 2n ** 63n - 1n, 1n)), Errno.EFBIG)
  t.is(refused(copy(0, 0, 0n, 1n)), Errno.ESTALE)
  t.is(refused(message(Opcode.COPY_FILE_RANGE_64, u64(3, 0, 9, 4, 0, 1, 1))), Errno.EINVAL)
})

test('decode - SETXATTR as agreed at INIT', (t) => {
  const own = new RequestDecoder()
  const body = (...head: number[]) => bodyOf(u32(...head), strings('user.a'), Buffer.from('v'))
  const plain = own.decode(message(Opcode.SETXATTR, body(1, 2)))
  own.begin(InitFlag.SETXATTR_EXT)
  const extended = own.decode(message(Opcode.SETXATTR, body(1, 2, 1, 0)))
  const expected = {
    op: 'setxattr',
    name: Buffer.from('user.a'),
    value: Buffer.from('v'),
    flags: 2
  }
  t.alike(plain.ok && plain.body, { ...expected, killSetGid: false } as never)
  t.alike(extended.ok && extended.body, { ...expected, killSetGid: true } as never)
})

test('decode - SETATTR takes only the fields named in valid', (t) => {
  const body = bodyOf(
    u32(0x1 | 0x8 | 0x10 | 0x100 | 0x40 | 0x800, 0),
    u64(5, 77, 0, -1n, 12, 13),
    u32(999_999_999, 1, 2, 0o104755, 0, 1, 2, 0)
  )
  t.alike(decoded(message(Opcode.SETATTR, body)), {
    op: 'setattr',
    changes: {
      mode: 0o4755,
      size: 77,
      handle: 5,
      atime: { sec: -1, nsec: 999_999_999 },
      mtime: 'now',
      killSuidGid: true
    }
  } as never)
})

test('decode - hostile names', (t) => {
  const lookup = (name: Uint8Array): number => refused(message(Opcode.LOOKUP, name))
  t.is(lookup(strings('a'.repeat(255))), 0)
  t.is(lookup(strings('a'.repeat(256))), Errno.ENAMETOOLONG)
  t.is(lookup(strings('a/b')), Errno.EINVAL)
  t.is(lookup(strings('')), Errno.EINVAL)
  t.is(lookup(strings('.')), Errno.EINVAL)
  t.is(lookup(strings('..')), Errno.EINVAL)
  t.is(lookup(strings('...')), 0)
  t.is(lookup(strings('a\0b')), Errno.EINVAL)
  t.is(lookup(Buffer.from('no end')), Errno.EINVAL)
  t.is(lookup(Buffer.from([0xff, 0xfe, 0])), 0, 'names are bytes')
  const symlink = (target: string): number => refused(message(Opcode.SYMLINK, strings('s', target)))
  t.is(symlink('x'.repeat(4095)), 0)
  t.is(symlink('x'.repeat(4096)), Errno.ENAMETOOLONG)
  t.is(symlink(''), Errno.ENOENT)
})

test('decode - offsets and sizes at their limits', (t) => {
  const write = (offset: bigint | number, length: number): number =>
    refused(message(Opcode.WRITE, writeBody({ handle: 1, offset, data: Buffer.alloc(length) })))
  t.is(write(FILE_SIZE_MAX - 1, 1), 0)
  t.is(write(FILE_SIZE_MAX, 1), Errno.EFBIG)
  t.is(write(2n ** 53n, 1), Errno.EFBIG)
  t.is(write(2n ** 63n, 1), Errno.EFBIG)
  t.is(write(0, 1024 * 1024), 0)

  const far = decoded(message(Opcode.READ, readBody(1, 2n ** 62n, 4096)))
  t.is(far.op === 'read' ? far.offset : 0, FILE_SIZE_MAX, 'reading far out finds the end of file')
  t.is(refused(message(Opcode.READ, readBody(1, 0, 1024 * 1024 + 1))), Errno.EINVAL)
  t.is(refused(message(Opcode.READ, readBody(1, 0, 1024 * 1024))), 0)

  const size = (value: bigint | number): number =>
    refused(
      message(
        Opcode.SETATTR,
        bodyOf(u32(8, 0), u64(0, value, 0, 0, 0, 0), u32(0, 0, 0, 0, 0, 0, 0, 0))
      )
    )
  t.is(size(FILE_SIZE_MAX), 0)
  t.is(size(FILE_SIZE_MAX + 1), Errno.EFBIG)

  const allocate = (offset: bigint | number, length: bigint | number): number =>
    refused(message(Opcode.FALLOCATE, bodyOf(u64(1, offset, length), u32(0, 0))))
  t.is(allocate(0, 1), 0)
  t.is(allocate(0, 0), Errno.EINVAL)
  t.is(allocate(FILE_SIZE_MAX, 1), Errno.EFBIG)

  t.is(refused(message(Opcode.LSEEK, bodyOf(u64(1, 2n ** 60n), u32(3, 0)))), Errno.ENXIO)
  t.is(refused(message(Opcode.LSEEK, bodyOf(u64(1, 0), u32(0, 0)))), Errno.EINVAL)
})

test('decode - a payload shorter than its size', (t) => {
  const body = writeBody({ handle: 1, offset: 0, data: Buffer.alloc(10) })
  t.is(refused(message(Opcode.WRITE, body.subarray(0, 49))), Errno.EINVAL)
  t.is(refused(message(Opcode.WRITE, Buffer.concat([body, Buffer.alloc(1)]))), Errno.EINVAL)
  t.is(refused(message(Opcode.SETXATTR, bodyOf(u32(65537, 0), strings('n')))), Errno.E2BIG)
  t.is(refused(message(Opcode.SETXATTR, bodyOf(u32(4, 0), strings('n')))), Errno.EINVAL)
  t.is(refused(message(Opcode.SETXATTR, bodyOf(u32(0, 4), strings('n')))), Errno.EINVAL)
  t.is(refused(message(Opcode.GETXATTR, bodyOf(u32(0, 0), strings('n'.repeat(256))))), Errno.ERANGE)
})

test('decode - headers', (t) => {
  t.alike(decoder.decode(Buffer.alloc(39)), {
    ok: false,
    header: undefined,
    errno: Errno.EINVAL,
    reason: 'message of 39 bytes'
  })
  const wrongLength = message(Opcode.STATFS, Buffer.alloc(0))
  wrongLength.writeUInt32LE(41, 0)
  t.is(refused(wrongLength), Errno.EINVAL)
  t.is(refused(message(Opcode.GETATTR, Buffer.alloc(16), { nodeid: 0n })), Errno.ESTALE)
  t.is(refused(message(Opcode.GETATTR, Buffer.alloc(16), { nodeid: 2n ** 53n })), Errno.ESTALE)
  t.is(decoded(message(4711, Buffer.alloc(3), { nodeid: 0n })).op, 'unsupported')
  t.is(decoded(message(Opcode.POLL, Buffer.alloc(24))).op, 'unsupported')
})

test('decode - extensions at the end are left out', (t) => {
  const bytes = message(Opcode.MKDIR, bodyOf(u32(0o755, 0), strings('d'), Buffer.alloc(16, 1)))
  t.is(refused(bytes), Errno.EINVAL)
  bytes.writeUInt16LE(2, 36)
  t.is(decoded(bytes).op, 'mkdir')
  bytes.writeUInt16LE(100, 36)
  t.is(refused(bytes), Errno.EINVAL)
})

test('decode - INIT of old and new kernels', (t) => {
  t.alike(decoded(message(Opcode.INIT, u32(7, 31, 4096, 0xff), { nodeid: 0n })), {
    op: 'init',
    major: 7,
    minor: 31,
    maxReadahead: 4096,
    flags: 0xff,
    flags2: 0
  })
  const init = decoded(message(Opcode.INIT, initBody(), { nodeid: 0n }))
  t.is(init.op === 'init' ? init.flags2 : 0, 0xffffffff)
})

test('decode - forgets', (t) => {
  const batch = bodyOf(u32(2, 0), u64(5, 1, 6, 1))
  t.alike(decoded(message(Opcode.BATCH_FORGET, batch, { nodeid: 0n })), {
    op: 'batchForget',
    forgotten: [
      { ino: 5, lookups: 1 },
      { ino: 6, lookups: 1 }
    ]
  })
  t.alike(decoded(message(Opcode.FORGET, u64(3), { nodeid: 5n })), { op: 'forget', lookups: 3 })
  const lying = bodyOf(u32(0x10000001, 0), u64(5, 1))
  t.is(refused(message(Opcode.BATCH_FORGET, lying, { nodeid: 0n })), Errno.EINVAL)
})
