import test from 'brittle'
import { checkState } from '../../src/fs/check.ts'
import { ROOT_INO } from '../../src/fs/primitives.ts'
import { name, openFixture, reapOrphans, root } from './fixture.ts'

/** Each statement breaks one invariant of a sound state. */
const DAMAGES: readonly (readonly [string, string, RegExp])[] = [
  ['wrong link count', 'UPDATE inode SET nlink = 7 WHERE mode = 33188', /nlink 7/],
  ['wrong directory links', 'UPDATE inode SET nlink = 9 WHERE ino = 1', /nlink 9/],
  ['dangling dentry', 'DELETE FROM inode WHERE mode = 33188', /does not exist/],
  ['lost dentry', "DELETE FROM dentry WHERE name = CAST('d' AS BLOB)", /nlink/],
  ['type of dentry', 'UPDATE dentry SET type = 4096', /type differs/],
  ['bad name', "UPDATE dentry SET name = CAST('..' AS BLOB) WHERE type = 32768", /bad name/],
  ['cookie', 'UPDATE inode SET last_cookie = 2 WHERE ino = 1', /not counted/],
  ['extent beyond size', 'UPDATE inode SET size = 3 WHERE mode = 33188', /beyond size/],
  ['extent outside its slice', 'UPDATE extent SET delta = 4', /inside its slice/],
  ['overlap', 'UPDATE extent SET length = 9 WHERE offset = 0', /overlaps/],
  ['bytes', 'UPDATE inode SET bytes = 1 WHERE mode = 33188', /bytes of data/],
  ['cycle', 'UPDATE inode SET parent = ino WHERE mode = 16877 AND ino > 1', /not reachable/],
  ['lost root', 'UPDATE inode SET mode = 33188 WHERE ino = 1', /root directory/],
  ['stray attribute', "INSERT INTO xattr VALUES (99, x'01', x'01')", /attribute of inode 99/],
  ['shared and not there', 'INSERT INTO shared_slice VALUES (1, 2, 3, 4)', /no extent there/],
  ['not shared', 'DELETE FROM shared_slice WHERE base = 0', /not shared/]
]

test('check - finds every kind of damage, and nothing in a sound state', async (t) => {
  const fixture = openFixture(await t.tmp())
  const { fs, state } = fixture
  t.teardown(() => state.close())
  const { attr, handle } = await fs.create(root, ROOT_INO, name('f'), 0o644, 0o102)
  const options = { append: true, killSuidGid: false }
  await fs.write(root, attr.ino, handle, 0, name('hello'), options)
  await fs.write(root, attr.ino, handle, 0, name('hello'), options)
  await fs.mkdir(root, ROOT_INO, name('d'), 0o755)
  const { ino } = attr
  const clone = { source: ino, sourceHandle: handle, sourceOffset: 0, ino, handle, offset: 10 }
  await fs.copyRange(root, { ...clone, length: 5 })
  t.alike(checkState(state), [])
  for (const [what, statement, expected] of DAMAGES) {
    state.database.exec('SAVEPOINT damage')
    state.database.exec(statement)
    const problems = checkState(state)
    t.ok(
      problems.some((problem) => expected.test(problem)),
      `${what}: ${problems.join('; ')}`
    )
    state.database.exec('ROLLBACK TO damage; RELEASE damage')
  }
  t.alike(checkState(state), [])
  const slice = state.extents(ino, 0, 1)[0]?.slice
  if (!slice) return t.fail('no extent')
  state.tables.freed.add(slice)
  t.alike(checkState(state), [`slice ${slice.segment}:${slice.offset} is freed and in use`])
  await fs.unlink(root, ROOT_INO, name('f'))
  await fs.release(ino, handle)
  await reapOrphans(fixture)
  t.alike(checkState(state), [`slice ${slice.segment}:${slice.offset} is freed twice`])
})
