import test from 'brittle'
import type { HandleId } from '../../../src/fs/filesystem-api.ts'
import { InitFlag, Opcode, WriteFlag } from '../../../src/mount/fuse/abi.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { flagNames, printReply, printRequest } from '../../../src/mount/fuse/print.ts'
import { bodyOf, message, readBody, strings, u32, u64, writeBody } from './kernel-side.ts'

const decoder = new RequestDecoder()

function printed(opcode: number, body: Uint8Array): string {
  const request = decoder.decode(message(opcode, body, { unique: 2n ** 62n, pid: 7 }))
  if (!request.ok) throw new Error(request.reason)
  const prefix = '> 4611686018427387904 '
  const line = printRequest(request)
  if (!line.startsWith(prefix)) throw new Error(line)
  return line.slice(prefix.length).replace(' ino=1 uid=1000 gid=100 pid=7', '')
}

test('print - flags by name, unknown bits in hexadecimal', (t) => {
  t.is(flagNames(0, WriteFlag), '0')
  t.is(flagNames(5, WriteFlag), 'CACHE|KILL_SUIDGID')
  t.is(flagNames(0x80000001, InitFlag), 'ASYNC_READ|0x80000000')
})

test('print - requests', (t) => {
  const data = Buffer.from('abc')
  t.is(
    printed(
      Opcode.WRITE,
      writeBody({ handle: 4, offset: 10, data, writeFlags: 4, flags: 0o102001 })
    ),
    'WRITE fh=4 offset=10 size=3 writeFlags=KILL_SUIDGID flags=WRONLY|APPEND|LARGEFILE'
  )
  t.is(printed(Opcode.READDIR, readBody(4, 7, 4096)), 'READDIR fh=4 cookie=7 size=4096')
  t.is(
    printed(Opcode.RENAME2, bodyOf(u64(9), u32(1, 0), strings('a"', '\x01\xff'))),
    'RENAME2 name="a\\"" parent=9 newName="\\u0001\\xff" flags=NOREPLACE'
  )
  t.is(
    printed(Opcode.SETATTR, bodyOf(u32(0x108, 0), u64(0, 5, 0, 0, 0, 0), Buffer.alloc(32))),
    'SETATTR changes={"size":5,"mtime":"now"}'
  )
  t.is(printed(Opcode.FLUSH, u64(4, 0, 0xabc)), 'FLUSH fh=4 owner=0xabc')
  t.is(printed(Opcode.LSEEK, bodyOf(u64(4, 5), u32(4, 0))), 'LSEEK fh=4 offset=5 whence=HOLE')
  t.is(printed(Opcode.INTERRUPT, u64(8)), 'INTERRUPT unique=8')
  t.is(printed(4711, Buffer.alloc(8)), 'OPCODE_4711')
})

test('print - replies', (t) => {
  const header = { opcode: Opcode.OPEN, uniqueLow: 8, uniqueHigh: 0 }
  t.is(
    printReply(header, { kind: 'open', handle: 4 as HandleId, regular: true, openFlags: 1 }),
    '< 8 OPEN fh=4 openFlags=DIRECT_IO'
  )
  t.is(printReply(header, { kind: 'error', errno: 5 }), '< 8 OPEN EIO')
  t.is(printReply(header, { kind: 'error', errno: 300 }), '< 8 OPEN errno 300')
  t.is(printReply(header, { kind: 'data', data: Buffer.alloc(9) }), '< 8 OPEN bytes=9')
})
