import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'brittle'
import { StateDirectory } from '../../../src/replication/storage/state-directory.ts'
import { flipBit, openJournal } from './support.ts'

test('state directory - modes are narrowed', async (t) => {
  const dir = join(await t.tmp(), 'state')
  const state = new StateDirectory(dir)
  mkdirSync(dir)
  chmodSync(dir, 0o755)
  state.prepare()
  for (const path of [dir, state.journal, state.segments, state.logs, state.salvage]) {
    t.is(statSync(path).mode & 0o777, 0o700)
  }
})

test('counters - grow over reopens and are never lost silently', async (t) => {
  const dir = join(await t.tmp(), 'state')
  const state = new StateDirectory(dir)
  state.prepare()
  t.is(state.nextIncarnation(), 1)
  t.is(state.nextInoRange(), 1)
  const again = new StateDirectory(dir)
  t.is(again.nextIncarnation(), 2)
  t.is(again.nextInoRange(), 2)
  t.is(again.nextIncarnation(), 3)
  await openJournal(state.journal).close()
  const sound = readFileSync(state.counters)
  flipBit(state.counters, sound.length - 5)
  await t.exception(() => state.nextIncarnation(), /damaged/)
  rmSync(state.counters)
  await t.exception(() => state.nextInoRange(), /missing though there is a journal/)
  writeFileSync(state.counters, sound)
  t.is(state.nextIncarnation(), 4)
})
