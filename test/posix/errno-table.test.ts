/** What each operation answers for each kind of object it may be pointed at. */
import type { Test } from 'brittle'
import test from 'brittle'
import type { Ino } from '../../src/fs/primitives.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import type { Fixture } from '../fs/fixture.ts'
import { errnoOf, found, name, openFixture, reapOrphans, root } from '../fs/fixture.ts'

const KINDS = ['file', 'dir', 'full', 'symlink', 'fifo', 'removedDir', 'gone'] as const
type Kind = (typeof KINDS)[number]
type World = Fixture & { readonly inos: Record<Kind, Ino> }

const PLAIN = { noReplace: false, exchange: false }

async function world(t: Test): Promise<World> {
  const fixture = openFixture(await t.tmp())
  const { fs, state } = fixture
  t.teardown(() => state.close())
  const file = await fs.mknod(root, ROOT_INO, name('file'), 0o100644, 0)
  const dir = await fs.mkdir(root, ROOT_INO, name('dir'), 0o755)
  const full = await fs.mkdir(root, ROOT_INO, name('full'), 0o755)
  await fs.mknod(root, full.ino, name('x'), 0o100644, 0)
  const symlink = await fs.symlink(root, ROOT_INO, name('symlink'), name('file'))
  const fifo = await fs.mknod(root, ROOT_INO, name('fifo'), 0o010644, 0)
  const removed = await fs.mkdir(root, ROOT_INO, name('removed'), 0o755)
  await fs.rmdir(root, ROOT_INO, name('removed'))
  const gone = await fs.mknod(root, ROOT_INO, name('gone'), 0o100644, 0)
  await fs.unlink(root, ROOT_INO, name('gone'))
  await reapOrphans(fixture, [gone.ino])
  const inos = {
    file: file.ino,
    dir: dir.ino,
    full: full.ino,
    symlink: symlink.ino,
    fifo: fifo.ino,
    removedDir: removed.ino,
    gone: gone.ino
  }
  return { ...fixture, inos }
}

type Row = readonly [what: string, run: (w: World, kind: Kind) => unknown, string]

/** Expected, in the order of KINDS. */
const ON_INODE: readonly Row[] = [
  [
    'lookup in it',
    ({ fs, inos }, kind) => found(fs.lookup(root, inos[kind], name('nothing'))),
    'ENOTDIR ENOENT ENOENT ENOTDIR ENOTDIR ENOENT ESTALE'
  ],
  [
    'mknod in it',
    ({ fs, inos }, kind) => fs.mknod(root, inos[kind], name('n'), 0o100644, 0),
    'ENOTDIR ok ok ENOTDIR ENOTDIR ENOENT ESTALE'
  ],
  [
    'create in it',
    ({ fs, inos }, kind) => fs.create(root, inos[kind], name('n'), 0o644, 0o102),
    'ENOTDIR ok ok ENOTDIR ENOTDIR ENOENT ESTALE'
  ],
  [
    'rename into it',
    ({ fs, inos }, kind) => fs.rename(root, ROOT_INO, name('file'), inos[kind], name('n'), PLAIN),
    'ENOTDIR ok ok ENOTDIR ENOTDIR ENOENT ESTALE'
  ],
  [
    'link into it',
    ({ fs, inos }, kind) => fs.link(root, inos.file, inos[kind], name('n')),
    'ENOTDIR ok ok ENOTDIR ENOTDIR ENOENT ESTALE'
  ],
  [
    'link of it',
    ({ fs, inos }, kind) => fs.link(root, inos[kind], ROOT_INO, name('n')),
    'ok EPERM EPERM ok ok EPERM ESTALE'
  ],
  [
    'truncate',
    ({ fs, inos }, kind) => fs.setattr(root, inos[kind], { size: 0 }),
    'ok EISDIR EISDIR EINVAL EINVAL EISDIR ESTALE'
  ],
  [
    'chmod',
    ({ fs, inos }, kind) => fs.setattr(root, inos[kind], { mode: 0o700 }),
    'ok ok ok ok ok ok ESTALE'
  ],
  [
    'open to read',
    ({ fs, inos }, kind) => fs.open(root, inos[kind], 0),
    'ok ok ok ELOOP ok ok ESTALE'
  ],
  [
    'open to write',
    ({ fs, inos }, kind) => fs.open(root, inos[kind], 1),
    'ok EISDIR EISDIR ELOOP ok EISDIR ESTALE'
  ],
  [
    'opendir',
    ({ fs, inos }, kind) => fs.opendir(root, inos[kind]),
    'ENOTDIR ok ok ENOTDIR ENOTDIR ok ESTALE'
  ],
  [
    'readlink',
    ({ fs, inos }, kind) => fs.readlink(root, inos[kind]),
    'EINVAL EINVAL EINVAL ok EINVAL EINVAL ESTALE'
  ],
  [
    'setxattr',
    ({ fs, inos }, kind) => fs.setxattr(root, inos[kind], name('user.a'), name('v'), 0),
    'ok ok ok ok ok ok ESTALE'
  ]
]

const ON_NAME: readonly Row[] = [
  [
    'unlink',
    ({ fs }, kind) => fs.unlink(root, ROOT_INO, name(kind)),
    'ok EISDIR EISDIR ok ok ENOENT ENOENT'
  ],
  [
    'rmdir',
    ({ fs }, kind) => fs.rmdir(root, ROOT_INO, name(kind)),
    'ENOTDIR ok ENOTEMPTY ENOTDIR ENOTDIR ENOENT ENOENT'
  ],
  [
    'mkdir over it',
    ({ fs }, kind) => fs.mkdir(root, ROOT_INO, name(kind), 0o755),
    'EEXIST EEXIST EEXIST EEXIST EEXIST ok ok'
  ],
  [
    'rename of a file over it',
    async ({ fs }, kind) => {
      await fs.mknod(root, ROOT_INO, name('mover'), 0o100644, 0)
      await fs.rename(root, ROOT_INO, name('mover'), ROOT_INO, name(kind), PLAIN)
    },
    'ok EISDIR EISDIR ok ok ok ok'
  ],
  [
    'rename of a directory over it',
    async ({ fs }, kind) => {
      await fs.mkdir(root, ROOT_INO, name('mover'), 0o755)
      await fs.rename(root, ROOT_INO, name('mover'), ROOT_INO, name(kind), PLAIN)
    },
    'ENOTDIR ok ENOTEMPTY ENOTDIR ENOTDIR ok ok'
  ],
  [
    'rename with NOREPLACE',
    async ({ fs }, kind) => {
      await fs.mknod(root, ROOT_INO, name('mover'), 0o100644, 0)
      const flags = { noReplace: true, exchange: false }
      await fs.rename(root, ROOT_INO, name('mover'), ROOT_INO, name(kind), flags)
    },
    'EEXIST EEXIST EEXIST EEXIST EEXIST ok ok'
  ],
  [
    'rename with EXCHANGE',
    async ({ fs }, kind) => {
      await fs.mknod(root, ROOT_INO, name('mover'), 0o100644, 0)
      const flags = { noReplace: false, exchange: true }
      await fs.rename(root, ROOT_INO, name('mover'), ROOT_INO, name(kind), flags)
    },
    'ok ok ok ok ok ENOENT ENOENT'
  ]
]

for (const [what, run, expected] of [...ON_INODE, ...ON_NAME]) {
  test(`errno - ${what}`, async (t) => {
    const answers: string[] = []
    for (const kind of KINDS) {
      const one = await world(t)
      answers.push(await errnoOf(() => run(one, kind)))
    }
    t.is(answers.join(' '), expected, KINDS.join(' '))
  })
}

for (const [bad, expected] of [
  ['n'.repeat(256), 'ENAMETOOLONG'],
  ['', 'ENOENT'],
  ['a/b', 'EINVAL'],
  ['a\0b', 'EINVAL'],
  ['..', 'EINVAL']
] as const) {
  test(`errno - name ${JSON.stringify(bad.slice(0, 4))} of ${bad.length} bytes`, async (t) => {
    const { fs, inos } = await world(t)
    const to = (flags = PLAIN) =>
      fs.rename(root, ROOT_INO, name('file'), ROOT_INO, name(bad), flags)
    const runs: (() => unknown)[] = [
      () => fs.mknod(root, ROOT_INO, name(bad), 0o100644, 0),
      () => fs.mkdir(root, ROOT_INO, name(bad), 0o755),
      () => fs.symlink(root, ROOT_INO, name(bad), name('x')),
      () => fs.create(root, ROOT_INO, name(bad), 0o644, 0o102),
      () => fs.link(root, inos.file, ROOT_INO, name(bad)),
      () => fs.unlink(root, ROOT_INO, name(bad)),
      () => fs.rmdir(root, ROOT_INO, name(bad)),
      () => to()
    ]
    for (const run of runs) t.is(await errnoOf(run), expected)
  })
}
