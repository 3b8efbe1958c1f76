import test from 'brittle'
import { SLICE_MAX_BYTES } from '../../src/fs/op.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { APPEND, deferred, makeFile, openChecked, PLAIN, readText } from './checked-fixture.ts'
import { errnoOf, INLINE, name, root } from './fixture.ts'

test('data-ops - appends that run at the same time do not overwrite each other', async (t) => {
  const fixture = await openChecked(t)
  const { fs, tokens } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  tokens.whenAsked = async () => undefined
  const lines = Array.from({ length: 50 }, (_, i) => `line ${i}\n`)
  await Promise.all(lines.map((line) => fs.write(root, ino, handle, 0, name(line), APPEND)))
  tokens.whenAsked = undefined
  const text = await readText(fixture, ino, handle)
  t.alike(text.trimEnd().split('\n').sort(), lines.map((line) => line.trimEnd()).sort())
})

test('data-ops - a write is one op; small ones carry their payload', async (t) => {
  const fixture = await openChecked(t)
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  log.record = true
  const data = Buffer.alloc(SLICE_MAX_BYTES * 2 + 5)
  for (let i = 0; i < data.length; i += 4) data.writeUInt8(i % 251, i)
  await fs.write(root, ino, handle, 100, data, PLAIN)
  await fs.write(root, ino, handle, 0, data.subarray(0, INLINE), PLAIN)
  await fs.write(root, ino, handle, 0, new Uint8Array(0), PLAIN)
  t.is(log.ops.length, 2)
  const [big] = log.ops
  t.is(big?.type === 'write' && big.slices.length, 3)
  t.is(log.payloads[0], undefined)
  t.is(log.payloads[1]?.length, INLINE)
  const expected = Buffer.concat([Buffer.alloc(100), data])
  data.copy(expected, 0, 0, INLINE)
  const read = await fs.read(root, ino, handle, 0, expected.length + 10)
  t.ok(expected.equals(read))
  t.ok(expected.subarray(777, 300_000).equals(await fs.read(root, ino, handle, 777, 299_223)))
})

test('data-ops - a read waits for slices that have to be fetched, and fails as they do', async (t) => {
  const fixture = await openChecked(t)
  const { fs, slices, tokens } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  await fs.write(root, ino, handle, 10, name('world'), PLAIN)
  const read = slices.read.bind(slices)
  const fetched = deferred()
  slices.read = async (...args) => {
    await fetched.promise
    read(...args)
  }
  const content = readText(fixture, ino, handle)
  await fs.getattr(root, ino)
  t.is(tokens.held, 0, 'no token is held while bytes are fetched')
  fetched.resolve()
  t.is(await content, 'hello\0\0\0\0\0world')
  slices.punch(0)
  t.is(await errnoOf(() => fs.read(root, ino, handle, 0, 3)), 'EIO')
  t.is(await errnoOf(() => fs.read(root, ino, handle, 10, 3)), 'ok')
})

test('data-ops - slices behind each other are read as one, and kept once', async (t) => {
  const fixture = await openChecked(t)
  const { fs, slices } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  const data = Buffer.alloc(5 * SLICE_MAX_BYTES)
  for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(i, i)
  await fs.write(root, ino, handle, 1000, data, PLAIN)
  const content = Buffer.concat([Buffer.alloc(1000), data])
  const cached = { ...root, keepsBytes: true }
  t.ok(content.equals(await fs.read(cached, ino, handle, 0, content.length + 10)))
  const from = 1000 + SLICE_MAX_BYTES + 7
  t.ok(content.subarray(from).equals(await fs.read(root, ino, handle, from, content.length)))
  t.alike(slices.runs.splice(0), [
    { slices: 5, once: true },
    { slices: 3, once: false }
  ])
  await fs.read(cached, ino, handle, 0, SLICE_MAX_BYTES)
  await fs.write(root, ino, handle, 1000 + SLICE_MAX_BYTES, name('other'), PLAIN)
  data.write('other', SLICE_MAX_BYTES)
  const changed = Buffer.concat([Buffer.alloc(1000), data])
  t.ok(changed.equals(await fs.read(cached, ino, handle, 0, content.length)))
  t.alike(slices.runs, [], 'neither little nor what is in pieces')
})

test('data-ops - a run that is not what was written is read slice by slice', async (t) => {
  const fixture = await openChecked(t)
  const { fs, slices } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, Buffer.alloc(2 * SLICE_MAX_BYTES, 7), PLAIN)
  slices.readRun = () => false
  t.ok(Buffer.alloc(2 * SLICE_MAX_BYTES, 7).equals(await fs.read(root, ino, handle, 0, 1e6)))
  slices.punch(SLICE_MAX_BYTES)
  t.is(await errnoOf(() => fs.read(root, ino, handle, 0, 1e6)), 'EIO')
})

test('data-ops - room for an answer is kept only where something may write to it later', async (t) => {
  const fixture = await openChecked(t)
  const { fs, slices } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  const room = Buffer.alloc(5)
  let kept = 0
  const ctx = { ...root, answerRoom: () => room, keepAnswerRoom: () => kept++ }
  t.is(await fs.read(ctx, ino, handle, 0, 100), room)
  t.is(room.toString(), 'hello')
  t.is(kept, 0)
  const read = slices.read.bind(slices)
  slices.read = async (...args) => {
    await Promise.resolve()
    read(...args)
  }
  t.is(await fs.read(ctx, ino, handle, 0, 5), room)
  t.is(kept, 1, 'its bytes came later')
})

test('data-ops - a file removed while its bytes were on the way answers ESTALE', async (t) => {
  const fixture = await openChecked(t)
  const { fs, slices, state } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  const room = deferred()
  slices.appended = room.promise
  const write = errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN))
  await fs.unlink(root, ROOT_INO, name('a'))
  state.apply({ type: 'reap', ino })
  room.resolve()
  t.is(await write, 'ESTALE')
})

test('data-ops - when space is short what needs some fails, what frees some works', async (t) => {
  const fixture = await openChecked(t)
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.write(root, ino, handle, 0, name('hello'), PLAIN)
  log.availableBytes = 0
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), PLAIN)), 'ENOSPC')
  t.is(await errnoOf(() => makeFile(fixture, 'b')), 'ENOSPC')
  t.is(await errnoOf(() => fs.mkdir(root, ROOT_INO, name('d'), 0o755)), 'ENOSPC')
  t.is(await errnoOf(() => fs.setxattr(root, ino, name('user.a'), name('x'), 0)), 'ENOSPC')
  t.is(await errnoOf(() => fs.fallocate(root, ino, handle, 0, 0, 100)), 'ENOSPC')
  t.is(await readText(fixture, ino, handle), 'hello')
  await fs.setattr(root, ino, { size: 0 })
  await fs.unlink(root, ROOT_INO, name('a'))
  t.alike((await fs.statfs(root)).blocksAvailable, 0)
  log.availableBytes = 2 ** 30
  t.is(await errnoOf(() => makeFile(fixture, 'b')), 'ok')
})

test('data-ops - sizes and offsets at the limit', async (t) => {
  const fixture = await openChecked(t)
  const { fs } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  const max = 2 ** 53 - 4096
  t.is(await errnoOf(() => fs.setattr(root, ino, { size: max + 1 })), 'EFBIG')
  t.is(await errnoOf(() => fs.write(root, ino, handle, max, name('x'), PLAIN)), 'EFBIG')
  t.is(await fs.write(root, ino, handle, max - 1, name('x'), PLAIN), 1)
  t.is((await fs.getattr(root, ino)).size, max)
  t.is((await fs.getattr(root, ino)).blocks, 1)
  t.is(await errnoOf(() => fs.write(root, ino, handle, 0, name('x'), APPEND)), 'EFBIG')
  t.is(await fs.lseek(root, ino, handle, 0, 3), max - 1)
  t.is(await fs.lseek(root, ino, handle, max - 1, 4), max)
  t.is(await errnoOf(() => fs.fallocate(root, ino, handle, 0, max, 1)), 'EFBIG')
  t.is(await errnoOf(() => fs.lseek(root, ino, handle, 0, 0)), 'EINVAL')
})

test('data-ops - fsync waits for the log', async (t) => {
  const fixture = await openChecked(t)
  const { fs, log } = fixture
  const { ino, handle } = await makeFile(fixture, 'a')
  await fs.fsync(root, ino, handle, true)
  t.is(log.durableCalls, 1)
  const directory = await fs.opendir(root, ROOT_INO)
  await fs.fsyncdir(root, ROOT_INO, directory)
  t.is(log.durableCalls, 2)
  await fs.flush(root, ino, handle, 0n)
  t.is(log.durableCalls, 2, 'close alone waits for nobody')
})
