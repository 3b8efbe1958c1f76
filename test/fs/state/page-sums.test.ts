import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import type { Test } from 'brittle'
import test from 'brittle'
import { openState } from '../../../src/fs/state/open-state.ts'
import { StateDamagedError } from '../../../src/fs/state/state-damaged-error.ts'
import { WRITER } from '../fixture.ts'
import { commitFiles, openCheckpointed } from './checkpointed.ts'

const PAGE_BYTES = 4096
const FILES = ['state.db', 'state.db-wal', 'state.db-sums'] as const

/** The files as a crash would leave them; `from` may give some of them from an earlier moment. */
function copyFiles(directory: string, to: string, only: readonly string[] = FILES): string {
  mkdirSync(to, { recursive: true })
  for (const file of only) {
    if (existsSync(join(directory, file))) copyFileSync(join(directory, file), join(to, file))
  }
  return to
}

function flipBit(file: string, offset: number, bit: number): () => void {
  const good = readFileSync(file)
  const bad = Buffer.from(good)
  bad[offset] = (bad[offset] ?? 0) ^ (1 << bit)
  writeFileSync(file, bad)
  return () => writeFileSync(file, good)
}

/** Opens it, says what was not checked, and closes it. */
function reopen(t: Test, directory: string, seq: number, digest: string): string[] {
  const unchecked: string[] = []
  const state = openState(directory, { onUnchecked: (why) => unchecked.push(why) })
  t.is(state.position().applied.get(WRITER) ?? 0, seq)
  t.is(state.digest(), digest)
  state.close()
  return unchecked
}

test('page sums - a bit flipped in any page is found when the state is opened', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  commitFiles(state, 1, 300)
  const digest = state.digest()
  state.close()
  const file = join(directory, 'state.db')
  const pages = statSync(file).size / PAGE_BYTES
  t.ok(pages > 10)
  for (let page = 0; page < pages; page++) {
    const restore = flipBit(file, page * PAGE_BYTES + ((page * 997 + 200) % PAGE_BYTES), page % 8)
    t.exception(() => openState(directory), StateDamagedError)
    restore()
  }
  t.alike(reopen(t, directory, 1, digest), [], 'sound once the bit is back')
  const cut = readFileSync(file).subarray(0, (pages - 1) * PAGE_BYTES)
  writeFileSync(file, cut)
  t.exception(() => openState(directory), StateDamagedError)
})

test('page sums - a crash after any step leaves it sound', async (t) => {
  const { directory, state, checkpointer } = await openCheckpointed(t, { walLimitBytes: 32 * 1024 })
  const scratch = await t.tmp()
  let copies = 0
  let resets = 0
  let salts = ''
  for (let seq = 1; seq <= 12; seq++) {
    commitFiles(state, seq, 20 + seq)
    const digest = state.digest()
    const committed = copyFiles(directory, join(scratch, String(copies++)))
    if (seq % 2 === 0) await checkpointer.run()
    const checkpointed = copyFiles(directory, join(scratch, String(copies++)))
    const between = copyFiles(committed, join(scratch, String(copies++)), ['state.db-sums'])
    copyFiles(directory, between, ['state.db', 'state.db-wal'])
    for (const copy of [committed, checkpointed, between]) {
      t.alike(reopen(t, copy, seq, digest), [])
    }
    t.alike(reopen(t, between, seq, digest), [], 'and again, without a WAL')
    const now = readFileSync(join(directory, 'state.db-wal')).toString('hex', 16, 24)
    if (now !== salts) resets++
    salts = now
  }
  t.ok(resets > 2, `the WAL began ${resets} times`)
})

test('page sums - damage after a crash is found, where the WAL does not replace the page', async (t) => {
  const { directory, state, checkpointer } = await openCheckpointed(t)
  commitFiles(state, 1, 300)
  await checkpointer.run()
  t.ok(readFileSync(join(directory, 'state.db')).length > PAGE_BYTES * 10)
  commitFiles(state, 2, 1)
  const crashed = copyFiles(directory, join(await t.tmp(), 'crashed'))
  const file = join(crashed, 'state.db')
  const other = new BetterSqlite3(file)
  t.is(other.prepare('SELECT count(*) FROM dentry').pluck().get(), 301)
  // The last connection copies the WAL, and takes it away.
  other.close()
  t.absent(existsSync(`${file}-wal`))
  const unchecked: string[] = []
  openState(crashed, { onUnchecked: (why) => unchecked.push(why) }).close()
  t.alike(unchecked, ['it was closed by another program'])
  flipBit(file, PAGE_BYTES * 5 + 3000, 2)
  t.exception(() => openState(crashed), StateDamagedError)
})

test('page sums - frames that were durable and are gone are damage', async (t) => {
  const { directory, state, checkpointer } = await openCheckpointed(t)
  commitFiles(state, 1, 300)
  await checkpointer.run()
  commitFiles(state, 2, 1)
  const digest = state.digest()
  const scratch = await t.tmp()
  const sound = copyFiles(directory, join(scratch, 'sound'))
  t.alike(reopen(t, sound, 2, digest), [])
  const broken = copyFiles(directory, join(scratch, 'broken'))
  flipBit(join(broken, 'state.db-wal'), 32 + 2 * (24 + PAGE_BYTES) + 100, 1)
  t.exception(() => openState(broken), /WAL has \d+ frames, \d+ were durable/)
})

test('page sums - without a sound file of sums the structure is checked, and new ones are made', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  commitFiles(state, 1)
  const digest = state.digest()
  state.close()
  const why = ['there are no checksums of its pages']
  flipBit(join(directory, 'state.db-sums'), 40, 3)
  t.alike(reopen(t, directory, 1, digest), why)
  t.alike(reopen(t, directory, 1, digest), [])
  const bare = copyFiles(directory, join(await t.tmp(), 'bare'), ['state.db'])
  t.alike(reopen(t, bare, 1, digest), why)
  flipBit(join(bare, 'state.db'), PAGE_BYTES * 4 + 1000, 6)
  t.exception(() => openState(bare), StateDamagedError)
})
