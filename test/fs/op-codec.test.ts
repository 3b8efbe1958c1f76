import test from 'brittle'
import { DecodeError } from '../../src/fs/byte-codec.ts'
import type { Op } from '../../src/fs/op.ts'
import { FILE_SIZE_MAX } from '../../src/fs/op.ts'
import { decodeOps, encodeOps, OPS_MAX } from '../../src/fs/op-codec.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { isSoak, seed, size } from '../helpers/sizes.ts'
import { Random } from '../model/random.ts'
import { bytes, sampleOps, sampleSlice } from './op-samples.ts'

/** Versions 1 and 2: these bytes stand in logs and journals and must stay readable. */
const GOLDEN = [
  '010101010000000000000466696c6507000000002000a48302e8030000ffffffff00000000000380c49fd50c15cd5b07',
  '0101010100000000000001ff07000000002000ffc30200000000000000000000000003612f6280808080802001ffc99a3b',
  '0101020700000000200001000000000000016c0480c49fd50c15cd5b07',
  '01010301000000000000016c0700000000200080c49fd50c15cd5b07',
  '0101040100000000000001640700000000200080c49fd50c15cd5b07',
  '010105010000000000000161070000000020000162070000000020000000000000000000090080c49fd50c15cd5b07',
  '010105010000000000000161010000000000000162070000000020000200000000000001090a80c49fd50c15cd5b07',
  '010106070000000020000080c49fd50c15cd5b07',
  '010106070000000020001fed13010000000200000080c49fd50c15cd5b0780c49fd50c15cd5b0780c49fd50c15cd5b07',
  '0101070700000000200080e0ffffffffff0f80c49fd50c15cd5b0700',
  '010107070000000020000080c49fd50c15cd5b0701ed03',
  '0101080700000000200080808080200203000000001000802005efbeaddeabababababababababababababababababababababababababababababababab03000000001000802005efbeaddeabababababababababababababababababababababababababababababababab80c49fd50c15cd5b0700',
  '01010807000000002000000103000000001000802005efbeaddeabababababababababababababababababababababababababababababababab80c49fd50c15cd5b0701a403',
  '010109070000000020000180808080808080020180c49fd50c15cd5b07',
  '01010a0700000000200006757365722e78017680c49fd50c15cd5b07',
  '01010b0700000000200006757365722e7880c49fd50c15cd5b07',
  '01010c07000000002000',
  '02010d07000000002000a013e80300000000000080c49fd50c15cd5b07',
  '02010e070000000020008080808020020000000000000780808080802080c49fd50c15cd5b0700',
  '02010e0700000000200000070000000020000a0a80c49fd50c15cd5b0701ed03'
]

const time = { sec: 0, nsec: 0 }
const ino = 5 as Ino

/** Plain values, so that Buffer and Uint8Array compare equal. */
function plain(ops: readonly Op[]): unknown {
  return JSON.parse(
    JSON.stringify(ops, (_key, value) => {
      const isBytes = value?.type === 'Buffer'
      return isBytes ? Buffer.from(value.data).toString('hex') : value
    })
  )
}

test('op-codec - golden bytes of every op', (t) => {
  t.is(sampleOps.length, GOLDEN.length)
  for (const [at, op] of sampleOps.entries()) {
    t.is(encodeOps([op]).toString('hex'), GOLDEN[at], `${at} ${op.type}`)
  }
})

test('op-codec - what was encoded comes back', (t) => {
  t.alike(plain(decodeOps(encodeOps(sampleOps))), plain(sampleOps))
  t.alike(decodeOps(encodeOps([])), [])
})

test('op-codec - every truncation and every trailing byte is refused', (t) => {
  const encoded = encodeOps(sampleOps)
  let refused = 0
  for (let length = 0; length < encoded.length; length++) {
    try {
      decodeOps(encoded.subarray(0, length))
    } catch (error) {
      if (error instanceof DecodeError) refused++
    }
  }
  t.is(refused, encoded.length)
  t.exception(() => decodeOps(Buffer.concat([encoded, Buffer.from([0])])), /after the last op/)
})

test('op-codec - an accepted list is the only encoding of its ops, fuzzed', (t) => {
  const start = isSoak ? seed : 20261122
  t.comment(`TANDEMFS_TEST_SEED=${start}`)
  const random = new Random(start)
  const rounds = size(60_000, 3_000_000)
  const singles = sampleOps.map((op) => encodeOps([op]))
  let accepted = 0
  let wrong = 0
  for (let round = 0; round < rounds; round++) {
    const mutated = Buffer.from(random.pick(singles))
    const changes = 1 + random.below(3)
    for (let i = 0; i < changes; i++) mutated[random.below(mutated.length)] = random.below(256)
    try {
      const ops = decodeOps(mutated)
      accepted++
      if (!encodeOps(ops).equals(mutated)) wrong++
    } catch (error) {
      if (!(error instanceof DecodeError)) {
        t.fail(`${mutated.toString('hex')}: ${error}`)
        return
      }
    }
  }
  t.is(wrong, 0)
  t.ok(accepted > rounds / 60 && accepted < rounds - 1000, `${accepted} accepted`)
})

test('op-codec - noise is refused with a DecodeError', (t) => {
  const random = new Random(7)
  let refused = 0
  for (let round = 0; round < 5000; round++) {
    const noise = Buffer.from(Array.from({ length: random.below(80) }, () => random.below(256)))
    noise[0] = 1
    try {
      decodeOps(noise)
    } catch (error) {
      if (error instanceof DecodeError) refused++
      else t.fail(String(error))
    }
  }
  t.ok(refused > 4900, `${refused} refused`)
})

test('op-codec - another version is refused by its number', (t) => {
  t.exception(() => decodeOps(Buffer.from([3, 0])), /version 3/)
  t.exception(() => decodeOps(Buffer.from([0, 0])), /version 0/)
  const [tmpfile] = sampleOps.filter(({ type }) => type === 'tmpfile')
  const encoded = encodeOps(tmpfile === undefined ? [] : [tmpfile, { type: 'reap', ino }])
  t.is(encoded[0], 2)
  encoded[0] = 1
  t.exception(() => decodeOps(encoded), /not the version/)
  t.exception(() => decodeOps(Buffer.from([2, 0])), /not the version/)
})

test('op-codec - counts and lengths beyond the input are refused before use', (t) => {
  t.exception(() => decodeOps(Buffer.from([1, 0xff, 0xff, 0x7f])), /integer beyond/)
  t.exception(() => decodeOps(Buffer.from([1, 0x80, 0x20, 1])), /more ops than bytes/)
})

test('op-codec - bad names are refused on both sides', (t) => {
  const unlink = (name: string): Op => ({
    type: 'unlink',
    parent: ino,
    name: bytes(name),
    ino,
    time
  })
  for (const name of ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)]) {
    t.exception(() => encodeOps([unlink(name)]), /name/, JSON.stringify(name.slice(0, 5)))
  }
  const encoded = encodeOps([unlink('ab')])
  for (const [first, second] of ['/a', 'a/', '..', 'a\0'].map((two) => [...Buffer.from(two)])) {
    const bad = Buffer.from(encoded)
    bad.set([first ?? 0, second ?? 0], bad.indexOf('ab'))
    t.exception(() => decodeOps(bad), /dentry name/)
  }
})

test('op-codec - values out of range are refused when encoding', (t) => {
  const bad: Op[] = [
    { type: 'truncate', ino, size: FILE_SIZE_MAX + 1, time },
    { type: 'truncate', ino, size: -1, time },
    { type: 'truncate', ino, size: 1, time: { sec: 0, nsec: 1e9 } },
    { type: 'write', ino, offset: 0, slices: [], time },
    { type: 'write', ino, offset: 0, slices: [{ ...sampleSlice, length: 0 }], time },
    { type: 'setattr', ino, mode: 0o100644, ctime: time },
    { type: 'tmpfile', ino, mode: 0o100644, uid: 0, gid: 0, time }
  ]
  for (const op of bad) t.exception(() => encodeOps([op]), /./, JSON.stringify(op))
  const many = Array.from({ length: OPS_MAX + 1 }, (): Op => ({ type: 'reap', ino }))
  t.exception(() => encodeOps(many), /too many/)
})
