import test from 'brittle'
import { RENAME_TOKEN } from '../../src/fs/ports/token-service.ts'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { makeFile, NO_FLAGS, openChecked } from './checked-fixture.ts'
import { errnoOf, found, name, root } from './fixture.ts'

test('rename-ops - a name that changes hands during the wait is asked for again', async (t) => {
  const fixture = await openChecked(t)
  const { fs, tokens } = fixture
  const first = await makeFile(fixture, 'a')
  const second = await makeFile(fixture, 'b')
  let waits = 0
  tokens.whenAsked = async () => {
    if (waits++ > 0) return
    const { whenAsked } = tokens
    tokens.whenAsked = undefined
    await fs.rename(root, ROOT_INO, name('b'), ROOT_INO, name('a'), NO_FLAGS)
    tokens.whenAsked = whenAsked
  }
  await fs.unlink(root, ROOT_INO, name('a'))
  const asked = tokens.asked.map((wants) => wants.map(({ ino }) => ino))
  t.alike(asked.slice(-2), [
    [ROOT_INO, first.ino],
    [ROOT_INO, second.ino]
  ])
  tokens.whenAsked = undefined
  t.is((await fs.getattr(root, second.ino)).nlink, 0)
})

test('rename-ops - a rename or unlink that waits names the files behind its own', async (t) => {
  const fixture = await openChecked(t)
  const { fs, tokens, log } = fixture
  const first = await makeFile(fixture, 'first')
  const second = await makeFile(fixture, 'second')
  await fs.mkdir(root, ROOT_INO, name('directory'), 0o755)
  const third = await makeFile(fixture, 'third')
  for (let i = 0; i < 300; i++) log.allocateIno()
  await makeFile(fixture, 'made later')
  tokens.whenAsked = async () => {}
  await fs.rename(root, ROOT_INO, name('first'), ROOT_INO, name('renamed'), NO_FLAGS)
  t.alike(tokens.ahead.splice(0), [[second.ino, third.ino]])
  await fs.unlink(root, ROOT_INO, name('second'))
  t.alike(tokens.ahead.splice(0), [[third.ino, first.ino]], 'it was renamed behind them')
})

test('rename-ops - names that never stand still end the attempt', async (t) => {
  const fixture = await openChecked(t)
  const { fs, tokens } = fixture
  await makeFile(fixture, 'a')
  let round = 0
  tokens.whenAsked = async () => {
    const { whenAsked } = tokens
    tokens.whenAsked = undefined
    await makeFile(fixture, `new${round}`)
    await fs.rename(root, ROOT_INO, name(`new${round++}`), ROOT_INO, name('a'), NO_FLAGS)
    tokens.whenAsked = whenAsked
  }
  t.is(await errnoOf(() => fs.lookup(root, ROOT_INO, name('a'))), 'EIO')
  tokens.whenAsked = undefined
})

test('rename-ops - only a directory that changes its parent takes the rename token', async (t) => {
  const { fs, tokens } = await openChecked(t)
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, ROOT_INO, name('b'), 0o755)
  await fs.mknod(root, a.ino, name('f'), 0o100644, 0)
  await fs.mknod(root, a.ino, name('g'), 0o100644, 0)
  await fs.mkdir(root, a.ino, name('d'), 0o755)
  const asks = async (from: Ino, old: string, to: Ino, next: string, exchange = false) => {
    tokens.asked.length = 0
    tokens.whenAsked = async () => undefined
    await fs.rename(root, from, name(old), to, name(next), { noReplace: false, exchange })
    tokens.whenAsked = undefined
    t.ok(tokens.asked.flat().every(({ mode }) => mode === 'exclusive'))
    return tokens.asked.flat().some(({ ino }) => ino === RENAME_TOKEN)
  }
  t.is(await asks(a.ino, 'f', b.ino, 'f'), false, 'a file')
  t.is(await asks(a.ino, 'd', a.ino, 'e'), false, 'a directory in its parent')
  t.is(await asks(a.ino, 'e', b.ino, 'e'), true, 'a directory to another parent')
  t.is(await asks(a.ino, 'g', b.ino, 'e', true), true, 'a file in exchange for a directory')
})

test('rename-ops - a directory never comes below itself', async (t) => {
  const { fs } = await openChecked(t)
  const a = await fs.mkdir(root, ROOT_INO, name('a'), 0o755)
  const b = await fs.mkdir(root, a.ino, name('b'), 0o755)
  const c = await fs.mkdir(root, b.ino, name('c'), 0o755)
  const move = (exchange: boolean, from: Ino, old: string, to: Ino, next: string) =>
    errnoOf(() => fs.rename(root, from, name(old), to, name(next), { noReplace: false, exchange }))
  t.is(await move(false, ROOT_INO, 'a', c.ino, 'x'), 'EINVAL')
  t.is(await move(false, ROOT_INO, 'a', a.ino, 'x'), 'EINVAL')
  t.is(await move(true, b.ino, 'c', ROOT_INO, 'a'), 'EINVAL')
  t.is(await move(false, b.ino, 'c', ROOT_INO, 'a'), 'ENOTEMPTY')
})

test('rename-ops - rename leaves a whiteout behind when asked to', async (t) => {
  const fixture = await openChecked(t)
  const { fs, log } = fixture
  await makeFile(fixture, 'a')
  log.record = true
  const flags = { noReplace: true, exchange: false, whiteout: true }
  await fs.rename(root, ROOT_INO, name('a'), ROOT_INO, name('b'), flags)
  const left = await found(fs.lookup(root, ROOT_INO, name('a')))
  t.alike([left.mode, left.rdev], [0o020000, 0])
  t.is(log.together.at(-1)?.length, 2)
  const swap = { ...flags, noReplace: false, exchange: true }
  const both = () => fs.rename(root, ROOT_INO, name('a'), ROOT_INO, name('b'), swap)
  t.is(await errnoOf(both), 'EINVAL')
})
