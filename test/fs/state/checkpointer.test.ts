import { copyFileSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { Checkpointer } from '../../../src/fs/state/checkpointer.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import { WRITER } from '../fixture.ts'
import { commitFiles, openCheckpointed } from './checkpointed.ts'

test('checkpointer - a commit is in the database file itself afterwards', async (t) => {
  const { directory, state, checkpointer } = await openCheckpointed(t)
  commitFiles(state, 7)
  const digest = state.digest()
  const position = await checkpointer.run()
  t.alike(position.applied, new Map([[WRITER, 7]]))
  const copy = join(await t.tmp(), 'copy')
  mkdirSync(copy)
  copyFileSync(join(directory, 'state.db'), join(copy, 'state.db'))
  const reopened = openState(copy)
  t.is(reopened.digest(), digest, 'without any WAL')
  t.is(reopened.position().applied.get(WRITER), 7)
  reopened.close()
})

test('checkpointer - runs while the loop goes on writing and committing', async (t) => {
  const { state, checkpointer } = await openCheckpointed(t)
  let seq = 0
  const positions: number[] = []
  for (let round = 0; round < 10; round++) {
    commitFiles(state, ++seq, 250)
    const run = checkpointer.run().then(({ applied }) => positions.push(applied.get(WRITER) ?? 0))
    commitFiles(state, ++seq, 250)
    await run
  }
  t.ok(positions.every((position, at) => position >= at * 2 + 1))
  t.is(state.counts().inodes, 5001)
})

test('checkpointer - the WAL starts over, so it does not grow for ever', async (t) => {
  const walLimitBytes = 256 * 1024
  const { directory, state, checkpointer } = await openCheckpointed(t, { walLimitBytes })
  let largest = 0
  for (let round = 0; round < 40; round++) {
    commitFiles(state, round + 1, 300)
    await checkpointer.run()
    largest = Math.max(largest, statSync(join(directory, 'state.db-wal')).size)
  }
  t.ok(largest < 8 * walLimitBytes, `${largest} bytes`)
})

test('checkpointer - after close a run is refused', async (t) => {
  const state = openState(await t.tmp())
  t.teardown(() => state.close())
  const checkpointer = new Checkpointer({ state })
  await checkpointer.close()
  await t.exception(checkpointer.run(), /worker has ended/)
})
