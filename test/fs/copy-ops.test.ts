import test from 'brittle'
import type { CopyRequest, HandleId } from '../../src/fs/filesystem-api.ts'
import { RANGE_END } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { openChecked, PLAIN } from './checked-fixture.ts'
import type { Fixture } from './fixture.ts'
import { errnoOf, freedSlices, name, root, user } from './fixture.ts'

interface File {
  readonly ino: Ino
  readonly handle: HandleId
}

async function file({ fs }: Fixture, text: string, content: string): Promise<File> {
  const { attr, handle } = await fs.create(root, ROOT_INO, name(text), 0o6755, 0o102)
  if (content !== '') await fs.write(root, attr.ino, handle, 0, name(content), PLAIN)
  return { ino: attr.ino, handle }
}

async function content({ fs }: Fixture, { ino, handle }: File): Promise<string> {
  return Buffer.from(await fs.read(root, ino, handle, 0, 1 << 16)).toString('latin1')
}

function range(from: File, sourceOffset: number, to: File, offset: number, length: number) {
  const source = { source: from.ino, sourceHandle: from.handle, sourceOffset }
  return { ...source, ino: to.ino, handle: to.handle, offset, length } satisfies CopyRequest
}

test('copy - a slice lives as long as one of its homes', async (t) => {
  const fixture = await openChecked(t)
  const { fs, state } = fixture
  const from = await file(fixture, 'from', 'hello world')
  const to = await file(fixture, 'to', 'HELLO')
  t.is(await fs.copyRange(root, range(from, 6, to, 5, 100)), 5, 'up to the end of the source')
  t.is(await content(fixture, to), 'HELLOworld')
  t.is((await fs.getattr(root, to.ino)).blocks, 1)
  await fs.setattr(root, from.ino, { size: 0 })
  t.alike(freedSlices(state), [], 'the copy holds it')
  t.is(await content(fixture, to), 'HELLOworld')
  t.is(await fs.copyRange(root, range(to, 5, to, 0, 3)), 3)
  t.is(await content(fixture, to), 'worLOworld')
  await fs.setattr(root, to.ino, { size: 2 })
  t.alike(freedSlices(state).length, 1, 'only what was written there')
  await fs.setattr(root, to.ino, { size: 0 })
  t.alike(freedSlices(state).length, 2)
})

test('copy - holes are copied, and the same range again changes nothing', async (t) => {
  const fixture = await openChecked(t)
  const { fs, state } = fixture
  const from = await file(fixture, 'from', 'ab')
  await fs.write(root, from.ino, from.handle, 8, name('cd'), PLAIN)
  const to = await file(fixture, 'to', 'x'.repeat(12))
  for (let round = 0; round < 2; round++) {
    t.is(await fs.copyRange(root, range(from, 0, to, 1, 10)), 10)
    t.is(await content(fixture, to), 'xab\0\0\0\0\0\0cdx')
    t.is(await fs.lseek(root, to.ino, to.handle, 3, 3), 9)
  }
  t.alike(freedSlices(state), [], 'the ends of its own slice are still there')
})

test('copy - both ranges are wanted exclusively, the end of file when it grows', async (t) => {
  const fixture = await openChecked(t)
  const { fs, tokens } = fixture
  const from = await file(fixture, 'from', 'x'.repeat(100))
  const to = await file(fixture, 'to', 'y'.repeat(50))
  tokens.whenAsked = async () => undefined
  await fs.copyRange(root, range(from, 10, to, 20, 20))
  await fs.copyRange(root, range(from, 10, to, 40, 20))
  await fs.copyRange(root, range(from, 0, from, 80, 10))
  const mode = 'exclusive'
  t.alike(tokens.asked, [
    [
      { ino: to.ino, mode, range: { start: 20, end: 40 } },
      { ino: from.ino, mode, range: { start: 10, end: 30 } }
    ],
    [
      { ino: to.ino, mode, range: { start: 40, end: RANGE_END } },
      { ino: from.ino, mode, range: { start: 10, end: 30 } }
    ],
    [{ ino: from.ino, mode, range: { start: 0, end: 90 } }]
  ])
})

test('copy - what another member has just appended is copied as well', async (t) => {
  const fixture = await openChecked(t)
  const { fs, tokens } = fixture
  const from = await file(fixture, 'from', 'one')
  const to = await file(fixture, 'to', '')
  tokens.whenAsked = async () => {
    tokens.whenAsked = undefined
    await fs.write(root, from.ino, from.handle, 3, name('two'), PLAIN)
  }
  t.is(await fs.copyRange(root, range(from, 0, to, 0, 100)), 6)
  t.is(await content(fixture, to), 'onetwo')
})

test('copy - one op takes a bounded number of extents', async (t) => {
  const fixture = await openChecked(t)
  const { fs, log } = fixture
  const from = await file(fixture, 'from', '')
  const to = await file(fixture, 'to', '')
  for (let at = 0; at < 1500; at++) {
    await fs.write(root, from.ino, from.handle, at, name('z'), PLAIN)
  }
  log.record = true
  t.is(await fs.copyRange(root, range(from, 0, to, 0, 1500)), 1024)
  t.is(await fs.copyRange(root, range(from, 1024, to, 1024, 9999)), 476)
  t.is(log.ops.length, 2)
  t.is(await content(fixture, to), 'z'.repeat(1500))
})

test('copy - takes away set-id bits of all but root, and refuses what cannot be', async (t) => {
  const fixture = await openChecked(t)
  const { fs } = fixture
  const from = await file(fixture, 'from', 'hello')
  const to = await file(fixture, 'to', '')
  const permissions = async () => ((await fs.getattr(root, to.ino)).mode & 0o7777).toString(8)
  await fs.copyRange(root, range(from, 0, to, 0, 5))
  t.is(await permissions(), '6755')
  await fs.copyRange(user, range(from, 0, to, 0, 5))
  t.is(await permissions(), '755')
  const errno = (request: CopyRequest) => errnoOf(() => fs.copyRange(root, request))
  t.is(await errno(range(from, 0, from, 2, 3)), 'EINVAL')
  t.is(await errno(range(from, 0, to, 2 ** 53 - 4096, 1)), 'EFBIG')
  t.is(await errno(range(from, -1, to, 0, 1)), 'EINVAL')
  t.is(await errno({ ...range(from, 0, to, 0, 1), sourceHandle: 99 as HandleId }), 'EBADF')
  t.is(await errno({ ...range(from, 0, to, 0, 1), source: (2 ** 50) as Ino }), 'ESTALE')
  t.is(await fs.copyRange(root, range(from, 5, to, 0, 1)), 0, 'behind the end of file')
})
