import { copyFileSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import type { Epoch, Ino, Seq } from '../../../src/fs/primitives.ts'
import { Checkpointer } from '../../../src/fs/state/checkpointer.ts'
import { openState } from '../../../src/fs/state/open-state.ts'
import type { StateStore } from '../../../src/fs/state/state-store.ts'
import { name, WRITER } from '../fixture.ts'

function fill(state: StateStore, from: number, count: number, seq: number): void {
  for (let i = from; i < from + count; i++) {
    state.apply(
      {
        type: 'create',
        parent: 1 as Ino,
        name: name(`n${i}`),
        ino: (2 ** 45 + i) as Ino,
        mode: 0o100644,
        uid: 0,
        gid: 0,
        rdev: 0,
        target: new Uint8Array(0),
        cookie: 3 + i,
        time: { sec: 1, nsec: 1 }
      },
      { writer: WRITER, seq: seq as Seq }
    )
  }
  state.commit({ epoch: 1 as Epoch, applied: new Map([[WRITER, seq as Seq]]) })
}

test('checkpointer - a commit is in the database file itself afterwards', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  const checkpointer = new Checkpointer({ state })
  t.teardown(() => state.close(), { order: 2 })
  t.teardown(() => checkpointer.close(), { order: 1 })
  fill(state, 0, 100, 7)
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
  const state = openState(await t.tmp())
  const checkpointer = new Checkpointer({ state })
  t.teardown(() => state.close(), { order: 2 })
  t.teardown(() => checkpointer.close(), { order: 1 })
  let seq = 0
  const positions: number[] = []
  for (let round = 0; round < 10; round++) {
    fill(state, round * 500, 250, ++seq)
    const run = checkpointer.run().then(({ applied }) => positions.push(applied.get(WRITER) ?? 0))
    fill(state, round * 500 + 250, 250, ++seq)
    await run
  }
  t.ok(positions.every((position, at) => position >= at * 2 + 1))
  t.is(state.counts().inodes, 5001)
})

test('checkpointer - the WAL starts over, so it does not grow for ever', async (t) => {
  const directory = await t.tmp()
  const state = openState(directory)
  const walLimitBytes = 256 * 1024
  const checkpointer = new Checkpointer({ state }, { walLimitBytes })
  t.teardown(() => state.close(), { order: 2 })
  t.teardown(() => checkpointer.close(), { order: 1 })
  let largest = 0
  for (let round = 0; round < 40; round++) {
    fill(state, round * 300, 300, round + 1)
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
