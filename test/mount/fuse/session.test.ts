import test from 'brittle'
import { InitFlag, InitFlag2 } from '../../../src/mount/fuse/abi.ts'
import type { BodyOf } from '../../../src/mount/fuse/request.ts'
import { negotiate } from '../../../src/mount/fuse/session.ts'

const everything: BodyOf<'init'> = {
  op: 'init',
  major: 7,
  minor: 45,
  maxReadahead: 131072,
  flags: 0x7fffffff,
  flags2: 0xffff
}

test('negotiate - a kernel that offers everything', (t) => {
  const result = negotiate(everything)
  if (result.kind !== 'agreed') return t.fail(result.kind)
  const { session, reply } = result
  const never =
    InitFlag.WRITEBACK_CACHE |
    InitFlag.ATOMIC_O_TRUNC |
    InitFlag.EXPORT_SUPPORT |
    InitFlag.NO_OPEN_SUPPORT
  t.is(reply.flags & never, 0)
  t.ok(reply.flags & InitFlag.AUTO_INVAL_DATA)
  t.ok(reply.flags & InitFlag.POSIX_LOCKS)
  t.ok(reply.flags & InitFlag.FLOCK_LOCKS)
  t.ok(reply.flags & InitFlag.HANDLE_KILLPRIV_V2)
  t.ok(reply.flags & InitFlag.POSIX_ACL)
  t.ok(reply.flags & InitFlag.DONT_MASK)
  t.ok(reply.flags & InitFlag.SETXATTR_EXT)
  t.is(reply.flags2, InitFlag2.DIRECT_IO_ALLOW_MMAP)
  t.is(reply.maxWrite, 1024 * 1024)
  t.is(reply.maxPages, 256)
  t.alike(
    [session.minor, session.directIoMmap, session.incEpoch, session.expireOnly],
    [45, true, true, true]
  )
})

test('negotiate - only what the kernel offers', (t) => {
  const flags =
    InitFlag.BIG_WRITES |
    InitFlag.MAX_PAGES |
    InitFlag.AUTO_INVAL_DATA |
    InitFlag.POSIX_LOCKS |
    InitFlag.FLOCK_LOCKS
  const result = negotiate({ ...everything, minor: 31, flags, maxReadahead: 2 ** 30 })
  if (result.kind !== 'agreed') return t.fail(result.kind)
  t.is(result.reply.flags, flags)
  t.is(result.reply.flags2, 0, 'flags2 needs INIT_EXT')
  t.is(result.reply.minor, 31)
  t.is(result.reply.maxReadahead, 1024 * 1024)
  t.absent(result.session.incEpoch)
  t.absent(result.session.directIoMmap)
})

test('negotiate - kernels too new, too old or without what is needed', (t) => {
  const newer = negotiate({ ...everything, major: 8 })
  t.is(newer.kind, 'again')
  t.is(newer.kind === 'again' ? newer.reply.major : 0, 7)
  t.is(negotiate({ ...everything, major: 6 }).kind, 'refused')
  const older = negotiate({ ...everything, minor: 30 })
  t.is(older.kind === 'refused' ? older.reason : '', 'the kernel speaks FUSE 7.30, 7.31 is needed')
  t.is(negotiate({ ...everything, flags: 0 }).kind, 'refused')
})
