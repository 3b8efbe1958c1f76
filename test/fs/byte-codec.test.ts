import test from 'brittle'
import { ByteReader, ByteWriter } from '../../src/fs/byte-codec.ts'

test('byte-codec - unsigned integers at every length', (t) => {
  for (let bit = 0; bit <= 53; bit++) {
    for (const value of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) {
      if (value > Number.MAX_SAFE_INTEGER) continue
      const writer = new ByteWriter()
      writer.uint(value)
      writer.u56(value)
      const reader = new ByteReader(writer.finish())
      if (reader.uint(Number.MAX_SAFE_INTEGER) !== value) t.fail(`uint ${value}`)
      if (reader.u56() !== value) t.fail(`u56 ${value}`)
      if (reader.left !== 0) t.fail(`left over at ${value}`)
    }
  }
  t.pass()
})

test('byte-codec - signed integers around zero and at the ends', (t) => {
  const max = 2 ** 47
  for (const value of [0, 1, -1, 63, -64, 64, max, -max]) {
    const writer = new ByteWriter()
    writer.int(value)
    t.is(new ByteReader(writer.finish()).int(max), value)
  }
})

test('byte-codec - an integer that is not in its shortest form is refused', (t) => {
  t.exception(() => new ByteReader(Buffer.from([0x80, 0x00])).uint(1000), /shortest/)
  t.exception(() => new ByteReader(Buffer.alloc(12, 0x80)).uint(2 ** 53 - 1), /too long/)
})

test('byte-codec - the writer grows and is empty after finish', (t) => {
  const writer = new ByteWriter()
  const block = Buffer.alloc(5000, 7)
  writer.bytes(block)
  writer.bytes(block)
  const first = writer.finish()
  t.is(writer.length, 0)
  writer.u8(9)
  t.alike(writer.finish(), Buffer.from([9]))
  const reader = new ByteReader(first)
  t.alike(reader.bytes(5000), block)
  t.exception(() => reader.bytes(4999), /beyond 4999/)
})
