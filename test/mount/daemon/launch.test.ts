import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type Test } from 'brittle'
import { ControlClient } from '../../../src/mount/daemon/control-client.ts'
import {
  type DaemonArguments,
  formatDaemonArguments
} from '../../../src/mount/daemon/daemon-arguments.ts'
import { launchDaemon } from '../../../src/mount/daemon/launch.ts'
import { DEFAULT_SETTINGS } from '../../../src/mount/daemon/mount-options.ts'
import { stateFiles } from '../../../src/mount/daemon/state-files.ts'
import { UserError } from '../../../src/mount/daemon/user-error.ts'
import { exitCodeOf } from './support.ts'

const program = fileURLToPath(new URL('./fake-daemon.js', import.meta.url))
const WAIT = { timeoutMs: 10_000 }

async function prepare(t: Test, behave: string): Promise<DaemonArguments> {
  const stateDir = path.join(await t.tmp(), 'state')
  mkdirSync(stateDir)
  writeFileSync(path.join(stateDir, 'behave'), behave)
  return {
    stateDir,
    mountPoint: '/nowhere',
    source: 'mail',
    settings: { ...DEFAULT_SETTINGS, noExec: true, mountTimeoutMs: 20_000 },
    foreground: false,
    logLevel: 'info',
    witness: false
  }
}

async function connect(daemon: DaemonArguments): Promise<ControlClient> {
  const client = await ControlClient.connect(daemon.stateDir)
  if (client === undefined) throw new Error('nobody serves')
  return client
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function untilGone(pid: number): Promise<void> {
  await until(`process ${pid} has ended`, () => !existsSync(`/proc/${pid}`))
}

async function rejection(promise: Promise<unknown>): Promise<UserError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof UserError) return error
    throw error
  }
  throw new Error('did not reject')
}

function log(daemon: DaemonArguments): string {
  return readFileSync(stateFiles(daemon.stateDir).log, 'utf8')
}

test('launch - ready, status, unmount, and nothing is left', async (t) => {
  const daemon = await prepare(t, 'ready')
  const files = stateFiles(daemon.stateDir)
  const { pid } = await launchDaemon(daemon, { program })
  t.is(Number(readFileSync(files.pid, 'utf8')), pid)
  t.is(statSync(files.pid).mode & 0o777, 0o600)
  t.is(statSync(files.log).mode & 0o777, 0o600)
  const session = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[3]
  t.is(Number(session), pid, 'it leads a session of its own')
  const client = await connect(daemon)
  t.is((await client.request('status', {}, WAIT)).pid, pid)
  t.is((await client.request('invite', { role: 'data', ttlMs: 5000 }, WAIT)).code, 'tandemfs1-fake')
  t.alike(await client.request('stop', { lazy: false }, WAIT), { pid })
  await client.closed()
  await untilGone(pid)
  t.is(readFileSync(path.join(daemon.stateDir, 'stopped'), 'utf8'), 'unmount false 1')
  t.absent(existsSync(files.pid))
  t.absent(existsSync(files.control))
  const text = log(daemon)
  t.ok(text.includes('"noExec":true') && text.includes('"cwd":"/"'), 'options arrive')
  t.ok(text.includes('"mayCollect":true'), 'dead-buffers.ts can ask for its collections')
  t.ok(text.includes('raw output'), 'its outputs go to the log')
})

test('launch - the error of the daemon is handed back', async (t) => {
  const table = [
    ['fail', 10, 'the fake says so'],
    ['fault', 11, 'a fault in start'],
    ['address-in-use', 8, 'EADDRINUSE'],
    ['throw-in-compose', 11, 'composing failed'],
    ['exit', 11, 'exit code 77'],
    ['kill', 11, 'SIGKILL']
  ] as const
  for (const [behave, exitCode, why] of table) {
    const daemon = await prepare(t, behave)
    const error = await rejection(launchDaemon(daemon, { program }))
    t.is(error.exitCode, exitCode, behave)
    t.ok(error.why.includes(why), error.message)
    if (behave !== 'kill' && behave !== 'exit') {
      t.absent(existsSync(stateFiles(daemon.stateDir).pid))
    }
  }
})

test('launch - a daemon that is not ready in time is stopped', async (t) => {
  const prepared = await prepare(t, 'hang')
  const daemon = { ...prepared, settings: { ...prepared.settings, mountTimeoutMs: 1000 } }
  const error = await rejection(launchDaemon(daemon, { program }))
  t.is(error.exitCode, 14)
  t.ok(error.why.includes('within 1 s'))
  t.absent(existsSync(stateFiles(daemon.stateDir).pid), 'it broke the start off and cleaned up')
})

test('launch - a state directory in use is refused, a dead daemon is no obstacle', async (t) => {
  const daemon = await prepare(t, 'ready')
  const first = await launchDaemon(daemon, { program })
  t.is((await rejection(launchDaemon(daemon, { program }))).exitCode, 5)
  t.is(Number(readFileSync(stateFiles(daemon.stateDir).pid, 'utf8')), first.pid, 'pid is kept')
  process.kill(first.pid, 'SIGKILL')
  await untilGone(first.pid)
  t.is(await ControlClient.connect(daemon.stateDir), undefined, 'its socket is dead')
  const second = await launchDaemon(daemon, { program })
  process.kill(second.pid, 'SIGTERM')
  await untilGone(second.pid)
  t.is(readFileSync(path.join(daemon.stateDir, 'stopped'), 'utf8'), 'signal true 1')
})

test('launch - the daemon stops when the command is interrupted before it is ready', async (t) => {
  const daemon = await prepare(t, 'hang')
  const args = formatDaemonArguments(daemon)
  const child = spawn(process.execPath, [program, ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc']
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await until('it starts', () => existsSync(stateFiles(daemon.stateDir).control))
  child.disconnect()
  await ended
  t.ok(readFileSync(path.join(daemon.stateDir, 'stopped'), 'utf8').startsWith('launcher-gone'))
})

test('unmount - a mount in use is refused and served on, lazy takes it away', async (t) => {
  const daemon = await prepare(t, 'busy')
  const { pid } = await launchDaemon(daemon, { program })
  const client = await connect(daemon)
  const error = await rejection(client.request('stop', { lazy: false }, WAIT))
  t.is(error.exitCode, 13)
  t.ok(error.remedy.includes('fuser') && error.remedy.includes('--lazy'), error.message)
  t.is((await client.request('status', {}, WAIT)).pid, pid, 'still served')
  await client.request('stop', { lazy: true }, WAIT)
  await untilGone(pid)
  client.close()
})

test('unmount - a stop that fails ends the daemon and says so', async (t) => {
  const daemon = await prepare(t, 'stop-fails')
  const { pid } = await launchDaemon(daemon, { program })
  const client = await connect(daemon)
  t.is(await exitCodeOf(client.request('stop', { lazy: false }, WAIT)), 11)
  await untilGone(pid)
  t.ok(log(daemon).includes('cannot stop'))
  client.close()
})

test('daemon - a fault nobody handles ends it with a log line', async (t) => {
  const table = [
    ['fatal', 'disk gone'],
    ['uncaught', 'nobody catches'],
    ['rejection', 'lost']
  ] as const
  for (const [behave, message] of table) {
    const daemon = await prepare(t, behave)
    const { pid } = await launchDaemon(daemon, { program })
    await untilGone(pid)
    const line = log(daemon)
      .split('\n')
      .find((text) => text.includes('fatal'))
    t.ok(line?.includes(message) && line.includes('"exitCode":11'), behave)
    t.absent(existsSync(path.join(daemon.stateDir, 'stopped')), 'it does not go on')
  }
})

test('daemon - it ends when somebody else unmounts', async (t) => {
  const daemon = await prepare(t, 'unmounted')
  const { pid } = await launchDaemon(daemon, { program })
  await untilGone(pid)
  t.ok(readFileSync(path.join(daemon.stateDir, 'stopped'), 'utf8').startsWith('unmounted'))
})

test('launch - in the foreground the exit code is that of the daemon', async (t) => {
  const daemon = { ...(await prepare(t, 'unmounted')), foreground: true }
  const { ended } = await launchDaemon(daemon, { program })
  t.is(await ended, 0)
  const fatal = { ...(await prepare(t, 'fatal')), foreground: true }
  t.is(await (await launchDaemon(fatal, { program })).ended, 11)
})
