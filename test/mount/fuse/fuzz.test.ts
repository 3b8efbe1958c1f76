import test from 'brittle'
import { Opcode } from '../../../src/mount/fuse/abi.ts'
import { RequestDecoder } from '../../../src/mount/fuse/decode.ts'
import { FuseDispatcher } from '../../../src/mount/fuse/dispatch.ts'
import { openGate } from '../../../src/mount/fuse/gate.ts'
import { uncachedPolicy } from '../../../src/mount/fuse/policy.ts'
import { printRequest } from '../../../src/mount/fuse/print.ts'
import { SeededRandom } from '../../helpers/random.ts'
import { isSoak, seed, size } from '../../helpers/sizes.ts'
import {
  bodyOf,
  FakeChannel,
  initBody,
  initMessage,
  ManualClock,
  MemoryLogger,
  message,
  readBody,
  strings,
  u32,
  u64,
  writeBody
} from './kernel-side.ts'
import { NaiveFilesystem } from './naive-filesystem.ts'

const ROUNDS = size(20_000, 2_000_000)
const LONG = { timeout: size(1, 60) * 60_000 }
const FUZZ_SEED = Number(process.env['FUZZ_SEED'] ?? (isSoak ? seed : 20261122))

const seeds: readonly Buffer[] = [
  message(Opcode.LOOKUP, strings('name')),
  message(Opcode.SYMLINK, strings('name', 'target')),
  message(Opcode.MKDIR, bodyOf(u32(0o755, 0), strings('d'))),
  message(Opcode.RENAME2, bodyOf(u64(9), u32(1, 0), strings('a', 'b'))),
  message(Opcode.CREATE, bodyOf(u32(0o101, 0o644, 0, 0), strings('f'))),
  message(Opcode.WRITE, writeBody({ handle: 4, offset: 100, data: Buffer.alloc(300, 1) })),
  message(Opcode.READ, readBody(4, 0, 4096)),
  message(Opcode.READDIR, readBody(4, 0, 4096)),
  message(Opcode.SETATTR, bodyOf(u32(0xfff, 0), u64(1, 2, 3, 4, 5, 6), Buffer.alloc(32))),
  message(Opcode.SETXATTR, bodyOf(u32(3, 0), strings('user.a'), Buffer.from('abc'))),
  message(Opcode.BATCH_FORGET, bodyOf(u32(1, 0), u64(1, 1))),
  message(Opcode.FALLOCATE, bodyOf(u64(1, 2, 3), u32(0, 0))),
  message(Opcode.TMPFILE, bodyOf(u32(2, 0o600, 0, 0), strings('/'))),
  message(Opcode.COPY_FILE_RANGE, u64(1, 0, 9, 2, 0, 100, 0)),
  message(Opcode.STATX, Buffer.alloc(24)),
  message(Opcode.INIT, initBody()),
  message(Opcode.INTERRUPT, u64(8))
]

function mutated(random: SeededRandom): Buffer {
  const bytes = Buffer.from(random.pick(seeds))
  const changes = random.below(6)
  for (let i = 0; i < changes; i += 1) bytes[random.below(bytes.length)] = random.below(256)
  if (random.chance(0.3)) bytes.writeUInt32LE(random.below(64), 4)
  const kept = random.chance(0.4) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes
  const grown = random.chance(0.2)
    ? Buffer.concat([kept, Buffer.alloc(random.below(40), random.below(256))])
    : kept
  // Mostly a true length, so that the bodies are looked at and not only the header.
  if (grown.length >= 4 && random.chance(0.9)) grown.writeUInt32LE(grown.length, 0)
  return grown
}

function noise(random: SeededRandom): Buffer {
  const bytes = Buffer.alloc(random.below(200))
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = random.below(256)
  if (bytes.length >= 8) {
    bytes.writeUInt32LE(bytes.length, 0)
    bytes.writeUInt32LE(random.below(60), 4)
  }
  return bytes
}

test('decode - random, truncated and mutated requests never throw', (t) => {
  t.comment(`FUZZ_SEED=${FUZZ_SEED}`)
  const random = new SeededRandom(FUZZ_SEED)
  const decoder = new RequestDecoder()
  let valid = 0
  let refused = 0
  let wrong = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const request = decoder.decode(random.chance(0.7) ? mutated(random) : noise(random))
    if (request.ok) {
      valid += 1
      if (printRequest(request).includes('\n')) wrong += 1
    } else {
      refused += 1
      if (!(request.errno > 0 && request.errno < 512)) wrong += 1
    }
  }
  t.is(wrong, 0)
  t.is(valid + refused, ROUNDS)
  t.ok(valid > 1000 && refused > 1000, 'both kinds were seen')
})

test(
  'dispatch - every mutated request is answered at most once and leaves nothing behind',
  LONG,
  async (t) => {
    const random = new SeededRandom(FUZZ_SEED)
    const channel = new FakeChannel()
    const dispatcher = new FuseDispatcher({
      channel,
      fs: new NaiveFilesystem(),
      policy: uncachedPolicy,
      gate: openGate,
      clock: new ManualClock(),
      logger: new MemoryLogger(),
      killPending: () => false
    })
    dispatcher.start()
    await channel.ask(initMessage())
    const sent = new Map<bigint, number>()
    for (let round = 0; round < size(5000, 200_000); round += 1) {
      const bytes = mutated(random)
      if (bytes.length >= 16) bytes.writeBigUInt64LE(BigInt(1000 + round * 2), 8)
      if (bytes.length >= 40) sent.set(BigInt(1000 + round * 2), bytes.readUInt32LE(4))
      channel.send(bytes)
      if (round % 100 === 0) await dispatcher.idle()
    }
    await dispatcher.idle()
    t.is(channel.buffersHeld, 0)
    const answers = new Map<bigint, number>()
    for (const { unique } of channel.replies) answers.set(unique, (answers.get(unique) ?? 0) + 1)
    let unanswered = 0
    let doubled = 0
    for (const [unique, opcode] of sent) {
      const count = answers.get(unique) ?? 0
      if (count > 1) doubled += 1
      const isForget = opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET
      if (count === 0 && !isForget && opcode !== Opcode.NOTIFY_REPLY) unanswered += 1
    }
    t.is(doubled, 0)
    t.is(unanswered, 0)
  }
)
