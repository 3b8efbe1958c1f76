import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'brittle'
import {
  StateDirectory,
  StateInUseError
} from '../../../src/replication/storage/state-directory.ts'
import { flipBit, openJournal } from './support.ts'

const HOLDER = fileURLToPath(new URL('./hold-state-lock.js', import.meta.url))

async function startHolder(dir: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HOLDER, dir], { stdio: ['pipe', 'pipe', 'inherit'] })
  const { stdout } = child
  if (!stdout) throw new Error('no stdout')
  await once(stdout, 'data')
  return child
}

test('state directory - modes are narrowed, the lock writes the pid file', async (t) => {
  const dir = join(await t.tmp(), 'state')
  const state = new StateDirectory(dir)
  mkdirSync(dir)
  chmodSync(dir, 0o755)
  state.prepare()
  for (const path of [dir, state.journal, state.segments, state.logs, state.salvage]) {
    t.is(statSync(path).mode & 0o777, 0o700)
  }
  const lock = state.lock()
  t.is(readFileSync(state.pid, 'utf8'), `${process.pid}\n`)
  t.is(state.runningPid(), process.pid)
  await t.exception(() => state.lock(), StateInUseError)
  lock.release()
  lock.release()
  t.absent(existsSync(state.pid))
  t.is(state.runningPid(), undefined)
  state.lock().release()
})

test('state directory - the lock of a killed process is gone, its pid file means nothing', async (t) => {
  const dir = join(await t.tmp(), 'state')
  const state = new StateDirectory(dir)
  state.prepare()
  const child = await startHolder(dir)
  t.teardown(() => child.kill('SIGKILL'))
  try {
    state.lock()
    t.fail('locked twice')
  } catch (error) {
    if (!(error instanceof StateInUseError)) throw error
    t.is(error.pid, child.pid)
  }
  t.is(state.runningPid(), child.pid)
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
  t.is(readFileSync(state.pid, 'utf8'), `${child.pid}\n`, 'the pid file stays behind')
  t.is(state.runningPid(), undefined)
  state.lock().release()
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
