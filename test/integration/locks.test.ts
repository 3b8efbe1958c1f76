/** File locks of processes on two nodes: they exclude each other as on one kernel. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'brittle'
import { runCli } from '../helpers/cli.ts'
import {
  type HelperAnswer,
  type LockCommandKind,
  LockProcess,
  runFcntl
} from '../helpers/fcntl-helper.ts'
import { runChild } from '../helpers/run-child.ts'
import { finishVolume, type Pair, SharedVolume, scenario } from '../helpers/scenario.ts'
import { size } from '../helpers/sizes.ts'
import { residentBytes, waitFor } from '../helpers/system.ts'

const KINDS: readonly LockCommandKind[] = ['posix', 'ofd', 'flock']
const LIMIT_MS = 15 * 60_000
const GROWTH_MAX_MIB = 100
const volume = new SharedVolume()
let guards = 0

/** A file outside of the volume by which processes notice each other. */
function guardOf({ cluster }: Pair): string {
  return join(cluster.scratch, `guard-${++guards}`)
}

async function processes(t: Test, pair: Pair): Promise<{ a: LockProcess; b: LockProcess }> {
  const a = new LockProcess()
  const b = new LockProcess()
  t.teardown(() => {
    a.kill()
    b.kill()
  })
  await a.must(`open 0 ${pair.pathA('f')}`)
  await b.must(`open 0 ${pair.pathB('f')}`)
  return { a, b }
}

interface LockTexts {
  readonly path: string | null
  readonly state: string
  readonly type: string
  readonly member: string
  readonly pid: number
  readonly command: string | null
  readonly waiters: number
  readonly waitsFor: readonly { readonly member: string; readonly pid: number }[]
}

async function locksAt(target: string): Promise<LockTexts[]> {
  const answer = await runCli(['locks', target, '--json'])
  if (answer.code !== 0) throw new Error(answer.stderr)
  return JSON.parse(answer.stdout).locks
}

/** Until the authority knows of that many waits for files below the test's folder. */
async function untilWaiting(pair: Pair, count: number): Promise<void> {
  await waitFor(`${count} waiting`, 20_000, async () => {
    const rows = await locksAt(pair.pathA(''))
    return rows.filter((row) => row.state === 'waiting').length === count
  })
}

function clean(answers: readonly HelperAnswer[]): readonly (readonly (number | undefined)[])[] {
  return answers.map(({ done, errors, deadlocks, overlaps }) => [done, errors, deadlocks, overlaps])
}

/** Four processes make, lock and remove one name. */
function idiom(pair: Pair, guard: string, seconds: number): Promise<HelperAnswer[]> {
  const runs = [0, 1, 2, 3].map((index) => {
    const path = index % 2 === 0 ? pair.pathA('lock') : pair.pathB('lock')
    return runFcntl(['lockfile', path, guard, seconds], LIMIT_MS)
  })
  return Promise.all(runs)
}

function residentMib({ nodeA, nodeB }: Pair): number[] {
  return [nodeA, nodeB].map((node) => Math.round(residentBytes(node.pid() ?? 0) / 2 ** 20))
}

for (const kind of KINDS) {
  scenario(`locks - two nodes exclude each other, ${kind}`, {}, volume, async (t) => {
    const pair = await volume.pair()
    const { a, b } = await processes(t, pair)
    await a.must(`set ${kind} 0 write 0 0`)
    t.is(await b.outcome(`set ${kind} 0 write 0 0`), 'EAGAIN')
    t.is(await b.outcome(`set ${kind} 0 read 0 0`), 'EAGAIN')
    await a.must(`set ${kind} 0 read 0 0`)
    t.is(await b.outcome(`set ${kind} 0 read 0 0`), 'ok', 'shared after a downgrade')
    t.is(await b.outcome(`set ${kind} 0 write 0 0`), 'EAGAIN', 'no upgrade over the other')
    await a.must('close 0')
    t.is(await b.outcome(`wait ${kind} 0 write 0 0`), 'ok')
    if (kind !== 'flock') {
      await a.must(`open 0 ${pair.pathA('f')}`)
      const { type, start, length } = await a.must(`get ${kind} 0 read 5 5`)
      t.alike([type, start, length], ['write', 0, 0], 'F_GETLK tells of the other node')
    }
  })

  scenario(`locks - counters of 8 processes on 2 nodes, ${kind}`, {}, volume, async (t) => {
    const pair = await volume.pair()
    const guard = guardOf(pair)
    const rounds = size(50, 500)
    const ranges = kind === 'flock' ? 1 : 3
    const runs = Array.from({ length: 8 }, (_, index) => {
      const path = index % 2 === 0 ? pair.pathA('n') : pair.pathB('n')
      return runFcntl(['count', kind, path, guard, rounds, ranges], LIMIT_MS)
    })
    const answers = await Promise.all(runs)
    t.alike(
      clean(answers),
      answers.map(() => [rounds, 0, 0, 0]),
      'every round, no error, no EDEADLK, never two inside'
    )
    for (const path of [pair.pathA('n'), pair.pathB('n')]) {
      t.is((await runFcntl(['sum', path, ranges])).done, 8 * rounds, 'no increment is lost')
    }
    const seconds = Math.max(...answers.map((answer) => answer.us ?? 0)) / 1e6
    const longest = Math.max(...answers.map((answer) => answer.longestUs ?? 0)) / 1000
    t.comment(`${((8 * rounds) / seconds).toFixed(0)} increments/s, longest wait ${longest} ms`)
  })
}

scenario('locks - a real deadlock is told to one', {}, volume, async (t) => {
  const pair = await volume.pair()
  const { a, b } = await processes(t, pair)
  await a.must(`open 1 ${pair.pathA('g')}`)
  await b.must(`open 1 ${pair.pathB('g')}`)
  for (const [second, what] of [
    ['0 write 1 1', 'in one file'],
    ['1 write 0 1', 'over two files']
  ] as const) {
    await a.must('set posix 0 write 0 1')
    await b.must(`set posix ${second}`)
    const waits = [a.step(`wait posix ${second}`), b.step('wait posix 0 write 0 1')]
    const from = performance.now()
    const first = await Promise.race(waits)
    t.is(first.code, 'EDEADLK', what)
    t.comment(`told after ${(performance.now() - from).toFixed(0)} ms`)
    // Whoever was told gives up; the other gets what it waits for.
    const toldA = (await Promise.race([waits[0], Promise.resolve(undefined)])) !== undefined
    await (toldA ? a : b).must(
      toldA ? 'set posix 0 unlock 0 1' : `set posix ${second.replace('write', 'unlock')}`
    )
    t.ok((await waits[toldA ? 1 : 0])?.ok)
    for (const process of [a, b]) {
      await process.must('set posix 0 unlock 0 0')
      await process.must('set posix 1 unlock 0 0')
    }
  }
})

for (const kind of KINDS) {
  const name = `locks - the waiter of a killed process goes on, ${kind}`
  scenario(name, { daemons: true }, volume, async (t) => {
    const pair = await volume.pair()
    const { a, b } = await processes(t, pair)
    await a.must(`set ${kind} 0 write 0 0`)
    const granted = b.step(`wait ${kind} 0 write 0 0`)
    await untilWaiting(pair, 1)
    const from = performance.now()
    a.kill()
    t.ok((await granted).ok)
    t.comment(`granted ${(performance.now() - from).toFixed(1)} ms after SIGKILL`)
  })
}

scenario('locks - signals end waits and leave no trace', { daemons: true }, volume, async (t) => {
  const pair = await volume.pair()
  const { a, b } = await processes(t, pair)
  const c = new LockProcess()
  t.teardown(() => c.kill())
  await c.must(`open 0 ${pair.pathB('f')}`)
  await a.must('set posix 0 write 0 0')
  const first = b.step('wait posix 0 write 0 0')
  const second = c.step('wait posix 0 write 0 0')
  await untilWaiting(pair, 2)
  b.kill('SIGUSR1')
  t.is((await first).code, 'EINTR')
  await untilWaiting(pair, 1)
  c.kill()
  await c.exited
  await untilWaiting(pair, 0)
  void second
  await a.must('set posix 0 unlock 0 0')
  t.is(await b.outcome('set posix 0 write 0 0'), 'ok', 'nobody else got it')
})

scenario(
  'locks - the command tells who holds and who waits',
  { daemons: true },
  volume,
  async (t) => {
    const pair = await volume.pair()
    const { nodeA, nodeB } = pair
    const { a, b } = await processes(t, pair)
    await a.must('set posix 0 write 10 20')
    const granted = b.step('wait posix 0 read 0 0')
    await untilWaiting(pair, 1)
    const rows = await locksAt(pair.pathA('f'))
    const path = pair.pathA('f').slice(nodeA.mountPath.length + 1)
    const held = rows.find((row) => row.state === 'held')
    const waiting = rows.find((row) => row.state === 'waiting')
    t.alike(
      [held?.path, held?.type, held?.pid, held?.command, held?.waiters],
      [path, 'write', a.pid, 'fcntl-helper', 1]
    )
    t.alike([waiting?.path, waiting?.type, waiting?.pid], [path, 'read', b.pid])
    t.is(waiting?.member, nodeB.name)
    t.alike(waiting?.waitsFor, [{ member: held?.member ?? '', pid: a.pid }])
    const text = (await runCli(['locks', pair.pathA('f')])).stdout
    t.ok(text.includes(`${a.pid} (fcntl-helper)`) && text.includes('10-29'), text)
    const { report } = await nodeA.status()
    t.alike(report['locks'], { held: 1, waiting: 1 })
    t.ok(
      (await locksAt(pair.pathB('f'))).some((row) => row.pid === b.pid),
      'node B knows its own'
    )
    await a.must('close 0')
    t.ok((await granted).ok)
    await b.must('close 0')
    await waitFor('no locks', 20_000, async () => (await locksAt(pair.pathA(''))).length === 0)
  }
)

scenario('locks - ping_pong on both nodes', {}, volume, async (t) => {
  const pair = await volume.pair()
  const seconds = size(2, 10)
  for (const mode of ['-', 'rw'] as const) {
    const file = `pp-${mode}`
    // Both start together, or one would count locks it took alone.
    await runFcntl(['pingpong', pair.pathA(file), 3, 0, '-', 0])
    const [a, b] = await Promise.all([
      runFcntl(['pingpong', pair.pathA(file), 3, seconds, mode, 0]),
      runFcntl(['pingpong', pair.pathB(file), 3, seconds, mode, 0])
    ])
    t.alike([a.errors, b.errors], [0, 0])
    if (mode === 'rw') t.alike([a.increment, b.increment], [2, 2], 'data increment')
    t.comment(`ping_pong ${mode}: ${a.locksPerSecond} and ${b.locksPerSecond} locks/s`)
  }
})

interface PingPong {
  readonly locksPerSecond: number
  readonly increment: number | undefined
}

/** The program of the Debian package ctdb, ended with SIGINT as from a terminal. */
function pingPong(path: string, flags: readonly string[], seconds: number): Promise<PingPong> {
  const child = spawn('ping_pong', [...flags, path, '3'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGINT'), seconds * 1000)
    const limit = setTimeout(() => child.kill('SIGKILL'), seconds * 1000 + 20_000)
    child.once('error', reject)
    child.once('close', () => {
      clearTimeout(timer)
      clearTimeout(limit)
      const rates = [...output.matchAll(/(\d+) locks\/sec/g)].map((match) => Number(match[1]))
      const increments = [...output.matchAll(/data increment = (\d+)/g)].map((match) => match[1])
      resolve({
        locksPerSecond: Math.max(0, ...rates),
        increment: increments.includes('2') ? 2 : Number(increments.at(-1))
      })
    })
  })
}

const ctdb = { programs: ['ping_pong'] }
scenario('locks - ping_pong of ctdb on both nodes', ctdb, volume, async (t) => {
  const pair = await volume.pair()
  const seconds = size(3, 15)
  for (const flags of [[], ['-rw']]) {
    const file = `ctdb${flags.join('')}`
    const [a, b] = await Promise.all([
      pingPong(pair.pathA(file), flags, seconds),
      pingPong(pair.pathB(file), flags, seconds)
    ])
    t.ok(a.locksPerSecond > 0 && b.locksPerSecond > 0)
    if (flags.length > 0) t.alike([a.increment, b.increment], [2, 2], 'data increment')
    t.comment(`${flags.join(' ')} best second: ${a.locksPerSecond} and ${b.locksPerSecond} locks/s`)
  }
})

scenario('locks - alone with a file', {}, volume, async (t) => {
  const pair = await volume.pair()
  for (const [node, path] of [
    ['A', pair.pathA('alone-a')],
    ['B', pair.pathB('alone-b')]
  ] as const) {
    for (const kind of KINDS) {
      const { ok, pairsPerSecond, p50Us, p99Us } = await runFcntl([
        'pair',
        kind,
        path,
        size(2000, 20000)
      ])
      t.ok(ok)
      t.comment(
        `${node} ${kind}: ${pairsPerSecond} lock+unlock/s, p50 ${p50Us} us, p99 ${p99Us} us`
      )
    }
  }
})

scenario('locks - 4 writers, each its own region', {}, volume, async (t) => {
  const pair = await volume.pair()
  const regionBytes = 1024 * 1024
  const count = size(256, 2560)
  const run = async (file: string, nodes: number): Promise<number> => {
    await pair.a.call('write', { path: pair.pathA(file), text: '' })
    const runs = [0, 1, 2, 3].map((index) => {
      const path = index % nodes === 0 ? pair.pathA(file) : pair.pathB(file)
      return runFcntl(['region', path, index, regionBytes, count], LIMIT_MS)
    })
    const answers = await Promise.all(runs)
    t.ok(answers.every((answer) => answer.ok))
    return answers.reduce((sum, answer) => sum + (answer.writesPerSecond ?? 0), 0)
  }
  const oneNode = await run('one', 1)
  const twoNodes = await run('two', 2)
  t.comment(`4 writers: ${oneNode} writes/s on one node, ${twoNodes} on two`)
  t.is(
    await pair.a.call('digest', { path: pair.pathA('one') }),
    await pair.b.call('digest', { path: pair.pathB('two') }),
    'the same bytes'
  )
})

scenario('locks - mbox and Maildir delivery from both nodes', {}, volume, async (t) => {
  const pair = await volume.pair()
  const count = size(50, 1000)
  const writers = ['a1', 'b1', 'a2', 'b2']
  const answers = await Promise.all(
    writers.map((tag) => {
      const path = tag.startsWith('a') ? pair.pathA('mbox') : pair.pathB('mbox')
      return runFcntl(['mbox', path, tag, count], LIMIT_MS)
    })
  )
  t.ok(answers.every((answer) => answer.ok))
  const text = await pair.b.call('readText', { path: pair.pathB('mbox') })
  const messages = text.split(/^From /m).slice(1)
  const whole = new Set<string>()
  for (const message of messages) {
    const match =
      /^(\w+) Thu Jan {2}1 00:00:00 1970\nSubject: (\w+ \d+)\n\nbody of (\w+ \d+)\n\n$/.exec(
        message
      )
    if (match !== null && match[2] === match[3]) whole.add(match[2] ?? '')
  }
  t.is(messages.length, writers.length * count, 'messages in the mbox')
  t.is(whole.size, writers.length * count, 'each of them whole, and once')

  for (const folder of ['tmp', 'new', 'cur']) {
    await pair.a.call('makeFolders', { path: pair.pathA(`maildir/${folder}`) })
  }
  const delivered = await Promise.all(
    writers.map((tag) => {
      const path = tag.startsWith('a') ? pair.pathA('maildir') : pair.pathB('maildir')
      return runChild('./maildir-writer.js', [path, tag, String(count)], LIMIT_MS)
    })
  )
  t.alike(delivered, ['ok', 'ok', 'ok', 'ok'])
  t.is(
    (await pair.a.call('readdir', { path: pair.pathA('maildir/new') })).length,
    writers.length * count
  )
  t.is((await pair.b.call('readdir', { path: pair.pathB('maildir/tmp') })).length, 0)
})

scenario('locks - sqlite in rollback journal mode from both nodes', {}, volume, async (t) => {
  const pair = await volume.pair()
  const count = size(60, 500)
  const from = performance.now()
  const outputs = await Promise.all([
    runChild('./sqlite-writer.js', [pair.pathA('db'), 'A', String(count)], LIMIT_MS),
    runChild('./sqlite-writer.js', [pair.pathB('db'), 'B', String(count)], LIMIT_MS)
  ])
  t.alike(outputs, ['ok', 'ok'])
  const seconds = (performance.now() - from) / 1000
  t.comment(`${((2 * count) / seconds).toFixed(0)} transactions/s`)
  const check = await runChild('./sqlite-check.js', [pair.pathB('db')])
  t.is(check, JSON.stringify({ integrity: 'ok', rows: 2 * count, totals: 2 * count }))
})

scenario(
  'locks - the lock file idiom from both nodes',
  { minutes: 15, daemons: true },
  volume,
  async (t) => {
    const pair = await volume.pair()
    const guard = guardOf(pair)
    const seconds = size(3, 600)
    // What a first while of work takes is no leak.
    await idiom(pair, guard, size(1, 60))
    const before = residentMib(pair)
    const answers = await idiom(pair, guard, seconds)
    t.alike(
      answers.map(({ ok, overlaps }) => [ok, overlaps]),
      answers.map(() => [true, 0]),
      'never two holders'
    )
    const done = answers.map((answer) => answer.done ?? 0)
    t.ok(
      done.every((count) => count > 0),
      `everybody had turns: ${done}`
    )
    t.alike(await locksAt(pair.pathA('')), [], 'no lock is left')
    t.alike(await locksAt(pair.pathB('')), [])
    const after = residentMib(pair)
    t.ok(
      after.every((mib, index) => mib < (before[index] ?? 0) + GROWTH_MAX_MIB),
      `memory of the daemons: ${before} MiB, then ${after} MiB`
    )
  }
)

finishVolume(volume)
